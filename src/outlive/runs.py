"""A run as its own process sees it: written to, asked to end, ended; and the current one."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import ParamSpec, TypeVar, cast

from . import platforms
from .buffers import CURRENT_BUFFER, Buffer
from .entries import TEXT_KINDS, End, Kind, RunRecord, State
from .errors import RunFinished
from .journals.base import Journal, JournalWriter, Reader
from .stores import Store

__all__ = ["Run", "create_run", "current_run"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Between two times that what was written is made to survive a loss of power, too.
SYNC_SECONDS = 5.0


class Run:
    """A living run of this process."""

    def __init__(self, record: RunRecord, writer: JournalWriter) -> None:
        self.record = record
        #: What work in this process writes through; None where nobody captures it.
        self.buffer: Buffer | None = None
        self._writer = writer
        self._ending = threading.Event()
        self._ended = threading.Event()
        self._cancelled = threading.Event()
        self._stop_listening: Callable[[], None] = _do_nothing
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

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked the run to end; known only while it collects."""
        return self._cancelled.is_set()

    def collect(self, *, echo: bool = False) -> Buffer:
        """Make this process's work write through a buffer, and hear of requests to cancel.

        With `echo`, prints also go to where they would have gone without the run.
        """
        if self.buffer is None:
            self._start_syncer()
            self.buffer = Buffer(self._writer, echo=echo)
            self._stop_listening = self.on_cancel(self._cancelled.set)
        return self.buffer

    def enter(self) -> None:
        """Make this the current run, from here to the end of the context: a thread's, or a task's."""
        _current_run.set(self)
        CURRENT_BUFFER.set(self.buffer)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make this the current run for the code right here."""
        run, buffer = _current_run.set(self), CURRENT_BUFFER.set(self.buffer)
        try:
            yield
        finally:
            CURRENT_BUFFER.reset(buffer)
            _current_run.reset(run)

    def bind(self, function: Callable[_P, _T]) -> Callable[_P, _T]:
        """Make a function (`async` or not) belong to this run, wherever it is called.

        Pool workers need it: they work for whoever asks, and belong to no run by themselves.
        """

        @functools.wraps(function)
        def bound(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with self.current():
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def bound_async(*args: _P.args, **kwargs: _P.kwargs) -> object:
            with self.current():
                return await cast("Callable[_P, Awaitable[object]]", function)(*args, **kwargs)

        if inspect.iscoroutinefunction(function):
            return cast("Callable[_P, _T]", bound_async)
        return bound

    def wait(self, timeout: float | None = None) -> State:
        """Wait, at most `timeout` seconds, until the run has ended; returns how it fares."""
        self._ended.wait(timeout)
        return self.state

    def text(self) -> str:
        """Get the run's text so far: what was printed, logged and written to standard error."""
        if self.buffer is not None:
            self.buffer.flush()
        reader = Reader(self.journal)
        parts = []
        while entries := reader.read():
            parts += [entry.text for entry in entries if entry.kind in TEXT_KINDS]
        return b"".join(parts).decode(errors="replace")

    def cancel(self) -> None:
        """Ask the run to end, as anybody can who sees its store; raises RunFinished."""
        self.journal.request_cancel()

    def write(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        """Append to the run's journal, behind what was printed before."""
        if self.buffer is not None:
            if not self.buffer.add(kind, payload, origin):
                raise RunFinished(self.id)
            self.buffer.flush()
            return
        self._start_syncer()
        self._writer.append(kind, payload, origin)

    def _start_syncer(self) -> None:
        if self._syncer is None:
            # Not before: a process without threads can be forked safely.
            self._syncer = threading.Thread(target=self._sync, name="outlive-sync", daemon=True)
            self._syncer.start()

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
        self._stop_listening()
        if self.buffer is not None:
            self.buffer.close()
        self._ending.set()
        self._writer.close(end)
        self.record = replace(self.record, end=end, ended_at=time.time_ns())
        self._ended.set()

    def _sync(self) -> None:
        while not self._ending.wait(SYNC_SECONDS):
            self._writer.sync()


_current_run: ContextVar[Run | None] = ContextVar("outlive_run", default=None)


def current_run() -> Run | None:
    """Get the run that this code belongs to, if it belongs to one."""
    return _current_run.get()


def _do_nothing() -> None:
    pass


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
