"""A run as its own process sees it: written to, asked to end, ended."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from . import platforms
from .entries import End, Kind, RunRecord, State
from .journals.base import Journal, JournalWriter
from .stores import Store

__all__ = ["Run", "create_run"]

#: Between two times that what was written is made to survive a loss of power, too.
SYNC_SECONDS = 5.0


class Run:
    """A living run of this process."""

    def __init__(self, record: RunRecord, writer: JournalWriter) -> None:
        self.record = record
        self._writer = writer
        self._ending = threading.Event()
        self._syncer: threading.Thread | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.id

    @property
    def state(self) -> State:
        """How the run fares."""
        return self.record.end.state

    @property
    def journal(self) -> Journal:
        """The run's journal."""
        return self._writer.journal

    def write(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        """Append to the run's journal."""
        if self._syncer is None:
            # Not before: a process without threads can be forked safely.
            self._syncer = threading.Thread(target=self._sync, name="outlive-sync", daemon=True)
            self._syncer.start()
        self._writer.append(kind, payload, origin)

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once, from any thread, when the run was asked to end; returns a stop."""
        journal = self.journal
        # Taken for good by the first look that sees it: many may look, in several threads.
        first = threading.Lock()

        def look() -> None:
            if journal.cancel_requested() and first.acquire(blocking=False):
                callback()

        stop = journal.on_cancel(look)
        look()
        return stop

    def end(self, end: End) -> None:
        """Record how the run ended; nothing can be written afterwards."""
        self._ending.set()
        self._writer.close(end)
        self.record = replace(self.record, end=end, ended_at=time.time_ns())

    def _sync(self) -> None:
        while not self._ending.wait(SYNC_SECONDS):
            self._writer.sync()


def create_run(
    store: Store,
    *,
    title: str,
    labels: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    owner: str | None = None,
    on_trouble: Callable[[OSError], None] | None = None,
) -> Run:
    """Create a run in a store, written by this process.

    `on_trouble` is called once when entries begin to be lost, a full disk for example.
    """
    record = RunRecord(
        id=secrets.token_hex(10),
        title=title,
        started_at=time.time_ns(),
        labels=dict(labels or {}),
        owner=owner,
        command=None if command is None else list(command),
        process=platforms.describe_process(os.getpid()),
    )
    writer = store.create(record)
    if on_trouble is not None:
        writer.on_trouble = on_trouble
    return Run(record, writer)
