"""Runs: the handle that anybody has, the run that this process writes, and the current one."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import json
import os
import secrets
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import ParamSpec, TypeVar, cast

from . import platforms
from .buffers import CURRENT_BUFFER, Buffer
from .entries import TEXT_KINDS, End, Kind, RunRecord, State, check_facts
from .errors import JournalError, RunError, RunFinished
from .journals.base import PAYLOAD_LIMIT, Journal, JournalWriter
from .journals.readers import Reader
from .stores import Store

__all__ = ["OwnRun", "Run", "cancelled", "claim_run", "create_run", "current_run", "find_run"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Between two times that what was written is made to survive a loss of power, too.
SYNC_SECONDS = 5.0
#: Between two looks whether the writer of a run that is waited for still lives.
_SETTLE_SECONDS = 1.0


class Run:
    """A run, of this process or of any other: what it is, how it fares, what it wrote.

    `id` names it, in its store and in the URLs of its page.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self.id = run_id
        self._store = store

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def record(self) -> RunRecord:
        """All that is known of the run without reading its output."""
        return self._store.record(self.id)

    @property
    def state(self) -> State:
        """How the run fares."""
        return self.record.end.state

    @property
    def journal(self) -> Journal:
        """The run's journal."""
        return self._store.journal(self.id)

    def wait(self, timeout: float | None = None) -> State:
        """Wait, at most `timeout` seconds, until the run has ended; returns how it fares then.

        It blocks: on a loop, `await asyncio.to_thread(run.wait)`.
        """
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        news = threading.Event()
        stop = self.journal.watch_life(news.set)
        try:
            while (state := self.state) is State.RUNNING:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                # A writer that dies tells nobody.
                news.wait(min(left, _SETTLE_SECONDS))
                news.clear()
            return state
        finally:
            stop()

    def text(self) -> str:
        """Get the run's text so far: what was printed, logged and written to standard error."""
        reader = Reader(self.journal)
        parts = []
        while entries := reader.read():
            parts += [entry.text for entry in entries if entry.kind in TEXT_KINDS]
        return b"".join(parts).decode(errors="replace")

    def cancel(self) -> None:
        """Ask the run to end, as anybody can who sees its store; raises RunFinished."""
        journal = self.journal
        journal.settle()
        journal.request_cancel()

    def bind(self, function: Callable[_P, _T]) -> Callable[_P, _T]:  # noqa: ARG002 - those of this process can
        """Make a function (`async` or not) belong to this run, wherever it is called.

        Pool workers need it: they work for whoever asks, and belong to no run by themselves.
        Raises RunError where another process writes the run.
        """
        raise RunError(f"run {self.id} is written by another process: bind functions there")


class OwnRun(Run):
    """A run that this process writes; in a forked child of it, a handle like any other."""

    def __init__(self, store: Store, record: RunRecord, writer: JournalWriter) -> None:
        super().__init__(store, record.id)
        #: What work in this process writes through; None where nobody captures it.
        self.buffer: Buffer | None = None
        #: Whether the work knows that it was asked to end: then that is why it ended.
        self.was_told = False
        self._record = record
        self._writer = writer
        self._pid = os.getpid()
        self._ending = threading.Event()
        self._ended = threading.Event()
        self._cancelled = threading.Event()
        self._stop_listening: Callable[[], None] = _do_nothing
        self._origins = itertools.count()
        self._last_words: set[Callable[[], object]] = set()
        self._syncer: threading.Thread | None = None
        self._syncer_lock = threading.Lock()
        _own_runs[self.id] = self

    @property
    def record(self) -> RunRecord:
        return self._record if self.is_here else super().record

    @property
    def journal(self) -> Journal:
        return self._writer.journal if self.is_here else super().journal

    @property
    def is_here(self) -> bool:
        """Whether this process writes it, and not the one that it was forked from."""
        return os.getpid() == self._pid

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
        if not self.is_here:
            return super().wait(timeout)
        self._ended.wait(timeout)
        return self.state

    def text(self) -> str:
        if self.buffer is not None:
            self.buffer.flush()
        return super().text()

    def write(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        """Append to the run's journal, behind what was printed before.

        It is acknowledged on return, but where work of this process is collected: then it is in
        its order among the prints, and soon. Raises RunFinished; JournalError where it is
        too large.
        """
        if len(payload) > PAYLOAD_LIMIT and kind not in TEXT_KINDS:
            raise JournalError(f"no {kind.label} may have more than {PAYLOAD_LIMIT:,} bytes")
        if self.buffer is not None:
            if not self.buffer.add(kind, payload, origin):
                raise RunFinished(self.id)
            return
        self._start_syncer()
        self._writer.append(kind, payload, origin)

    def announce(self, kind: Kind, data: Mapping[str, object]) -> None:
        """Tell the store's activity something of this run."""
        self._store.announce(kind, json.dumps({**data, **self._record.as_sender()}).encode())

    def new_origin(self) -> int:
        """Get a number that tells one more part of the work apart; there are 65,535."""
        return next(self._origins) % 0xFFFF + 1

    def _start_syncer(self) -> None:
        if self._syncer is not None:
            return
        with self._syncer_lock:
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

        stop = journal.watch_life(look)
        look()
        return stop

    def before_end(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` before the end is recorded: it may still write; returns a stop."""
        self._last_words.add(callback)
        return functools.partial(self._last_words.discard, callback)

    def end(self, end: End) -> None:
        """Record how the run ended; nothing can be written afterwards."""
        for callback in list(self._last_words):
            callback()
        # What these belong to keeps the run, and what both hold open.
        self._last_words.clear()
        self._stop_listening()
        if self.buffer is not None:
            self.buffer.close()
        self._ending.set()
        self._writer.close(end)
        self._record = replace(self._record, end=end, ended_at=time.time_ns())
        self._ended.set()

    def _sync(self) -> None:
        while not self._ending.wait(SYNC_SECONDS):
            self._writer.sync()


#: So that a run of this process is one object, whoever asks for it.
_own_runs: weakref.WeakValueDictionary[str, OwnRun] = weakref.WeakValueDictionary()

_current_run: ContextVar[OwnRun | None] = ContextVar("outlive_run", default=None)


def current_run() -> OwnRun | None:
    """Get the run that this code belongs to, if it belongs to one."""
    return _current_run.get()


def cancelled() -> bool:
    """Tell whether somebody asked the current run to end; outside of runs, nobody did.

    Work in a thread cannot be ended from outside: it asks now and then, and returns. Its run is
    `cancelled` once it was told so here, whatever it does then. What never asks and finishes has
    succeeded, or failed, as if nobody had wanted it to end.
    """
    run = _current_run.get()
    if run is None or not run.cancelled:
        return False
    run.was_told = True
    return True


def _do_nothing() -> None:
    pass


def find_run(store: Store, run_id: str) -> Run:
    """Get a handle of a run: the run itself where this process writes it."""
    return _own_runs.get(run_id) or Run(store, run_id)


def create_run(
    store: Store,
    *,
    title: str,
    labels: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    owner: str | None = None,
    on_trouble: Callable[[OSError], None] | None = None,
) -> OwnRun:
    """Create a run in a store, written by this process.

    `on_trouble` is called once when entries begin to be lost, a full disk for example.
    """
    record = _make_record(None, title, labels, command, owner)
    writer = store.create(record)
    if on_trouble is not None:
        writer.on_trouble = on_trouble
    return OwnRun(store, record, writer)


def claim_run(
    store: Store,
    *,
    key: str | None,
    title: str,
    labels: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    owner: str | None = None,
) -> OwnRun | RunRecord:
    """Create a run in a store, unless one with its key lives there: then get the record of that."""
    record = _make_record(key, title, labels, command, owner)
    claimed = store.claim(record)
    return claimed if isinstance(claimed, RunRecord) else OwnRun(store, record, claimed)


def _make_record(
    key: str | None,
    title: str,
    labels: Mapping[str, str] | None,
    command: Sequence[str] | None,
    owner: str | None,
) -> RunRecord:
    check_facts(key=key, title=title, labels=labels, owner=owner)
    return RunRecord(
        id=secrets.token_hex(10),
        title=title,
        started_at=time.time_ns(),
        labels=dict(labels or {}),
        owner=owner,
        key=key,
        command=None if command is None else list(command),
        process=platforms.describe_process(os.getpid()),
    )
