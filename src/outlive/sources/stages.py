"""Stages of work: how far each has come; and the user's own events."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import Self, TypeVar, overload

from ..entries import Kind
from ..errors import OutliveError, RunError, RunFinished
from ..runs import OwnRun, current_run

__all__ = ["Stage", "event", "stage", "track"]

_T = TypeVar("_T")

#: Between two entries of one stage; the first and the last one do not wait.
PAUSE_SECONDS = 0.2


class Stage:
    """A stage of a run; outside of runs, and once its run has ended, nobody hears of it.

    As a context it is done in the end, unless by an exception, and encloses the stages within. How
    far it has come is written at most five times a second, and in the end.
    """

    __slots__ = (
        "__weakref__", "_changed", "_current", "_done", "_lock", "_parent", "_run", "_stop", "_total",
        "_unit", "name",
    )  # fmt: skip

    def __init__(self, run: OwnRun | None, name: str, parent: str | None) -> None:
        self.name = name
        self._run = run
        self._parent = parent
        self._total: float | None = None
        self._unit: str | None = None
        self._current: float = 0
        self._done = False
        #: Whether somebody will look at it: the one question that each step asks.
        self._changed = run is None
        # A signal handler may call while it writes.
        self._lock = threading.RLock()
        self._stop = None if run is None else run.before_end(self.settle)

    def announce(self, total: float | None, unit: str | None) -> Self:
        """Tell of it, and what it will have come to when it is done."""
        with self._lock:
            self._total = self._total if total is None else self._check(total)
            _check_text(f"unit of stage {self.name!r}", unit or "")
            self._unit = unit or self._unit
            self._write()
        return self

    def update(self, current: float) -> None:
        """Tell how far it has come."""
        self._current = self._check(current)
        if not self._changed:
            self._wake()

    def advance(self, count: float = 1) -> None:
        """Tell that it has come so much further."""
        self._current += count
        if not self._changed:
            self._wake()

    def __enter__(self) -> Self:
        _enclosing.set((*_enclosing.get(), self))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # Not by a token: tasks may be within the same stage at once, each in a context of its own.
        _enclosing.set(_enclosing.get()[:-1])
        self.leave(done=kind is None)

    def count(self, items: Iterable[_T]) -> Iterator[_T]:
        """Give out the items, each a step; done after the last one."""
        done = False
        try:
            for item in items:
                yield item
                # As `advance` does, without the cost of a call.
                self._current += 1
                if not self._changed:
                    self._wake()
            done = True
        finally:
            self.leave(done=done)

    async def count_async(self, items: AsyncIterable[_T]) -> AsyncIterator[_T]:
        """Do the same with what comes in its own time."""
        done = False
        try:
            async for item in items:
                yield item
                self.advance()
            done = True
        finally:
            self.leave(done=done)

    def leave(self, *, done: bool) -> None:
        """Write how far it came, and no more."""
        with self._lock:
            if self._run is None or self._stop is None:
                return
            _open_stages(self._run).pop((self._parent, self.name), None)
            self._stop()
            self._stop = None
            self._done = done
            if done or self._changed:
                self._write()

    def settle(self) -> None:
        """Write what was not yet written."""
        with self._lock:
            if self._changed and self._stop is not None:
                self._write()

    def encloses(self, run: OwnRun) -> bool:
        """Tell whether it is a stage of this run."""
        return self._run is run

    def _wake(self) -> None:
        self._changed = True
        _looker().changed.put(self)

    def _check(self, number: float) -> float:
        try:
            math.isfinite(number)
        except (TypeError, ValueError, OverflowError):
            raise RunError(f"stage {self.name!r}: give a number, not {number!r}") from None
        return number

    def _write(self) -> None:
        # In this order: what changes from here on wakes again.
        self._changed = self._run is None
        state = {
            "name": self.name,
            "parent": self._parent,
            "current": _finite(self._current) or 0,
            "total": _finite(self._total),
            "unit": self._unit,
            "done": self._done,
        }
        if self._run is not None:
            # Its process, or the run, may have ended: what was left over counts on.
            with contextlib.suppress(OutliveError):
                self._run.write(Kind.STAGE, json.dumps(state, default=float).encode())


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise RunError(f"{what}: give a text, not {text!r:.100}")


def _finite(number: float | None) -> float | None:
    """Leave out what JSON has no words for."""
    return number if number is not None and math.isfinite(number) else None


#: The stages that this code is within, the innermost last.
_enclosing: ContextVar[tuple[Stage, ...]] = ContextVar("outlive_stages", default=())

#: By parent and name.
_Stages = weakref.WeakValueDictionary[tuple[str | None, str], Stage]
#: The run itself keeps its stages, for its end: one that is never left must not keep the run.
_stages: weakref.WeakKeyDictionary[OwnRun, _Stages] = weakref.WeakKeyDictionary()


def _open_stages(run: OwnRun) -> _Stages:
    """Get the stages of a run that were told of and not left."""
    return _stages.setdefault(run, weakref.WeakValueDictionary())


def stage(name: str, total: float | None = None, unit: str | None = None) -> Stage:
    """Tell of a stage of the current run; the same again, until it is done, is the same stage.

    `with` it, what happens within belongs to it, and it is done in the end. `update` and
    `advance` tell how far it has come; both may be called as often as one likes. In a thread,
    stages belong to no other one, unless they are made within it there.

    Args:
        name: What it is called.
        total: What it will have come to when it is done; None where nobody knows.
        unit: What is counted, such as `rows`.
    """
    run = current_run()
    return _find_stage(run, name, anew=False).announce(total, unit)


def _find_stage(run: OwnRun | None, name: str, *, anew: bool) -> Stage:
    if run is None:
        return Stage(None, name, None)
    _check_text("stage", name)
    innermost = _enclosing.get()[-1:]
    parent = innermost[0].name if innermost and innermost[0].encloses(run) else None
    found = _open_stages(run).get((parent, name))
    if found is not None and anew:
        found.leave(done=False)
    if found is None or anew:
        found = _open_stages(run)[parent, name] = Stage(run, name, parent)
    return found


@overload
def track(
    iterable: Iterable[_T], stage: str = ..., total: float | None = ..., unit: str | None = ...
) -> Iterator[_T]: ...
@overload
def track(
    iterable: AsyncIterable[_T], stage: str = ..., total: float | None = ..., unit: str | None = ...
) -> AsyncIterator[_T]: ...
def track(
    iterable: Iterable[_T] | AsyncIterable[_T],
    stage: str = "rows",
    total: float | None = None,
    unit: str | None = None,
) -> Iterator[_T] | AsyncIterator[_T]:
    """Iterate, and tell how far that has come as a stage of the current run.

    The stage begins here and is done after the last item; where the loop is left before, it is
    not. It costs about 0.1 microseconds an item.

    Args:
        iterable: What to go through, with `for` or `async for`.
        stage: What the stage is called.
        total: How many items there are; by default the iterable's length, where it has one.
        unit: What an item is.
    """
    if total is None:
        with contextlib.suppress(TypeError):
            total = len(iterable)  # type: ignore[arg-type]
    run = current_run()
    if isinstance(iterable, AsyncIterable):
        return _find_stage(run, stage, anew=True).announce(total, unit).count_async(iterable)
    if run is None:
        return iter(iterable)
    return _find_stage(run, stage, anew=True).announce(total, unit).count(iterable)


def event(name: str, data: object, *, everywhere: bool = False) -> None:
    """Write an event of the current run: a name and any JSON; outside of runs, do nothing.

    With `everywhere`, the activity of all runs tells of it, too. Raises RunError where the data is
    no JSON.
    """
    run = current_run()
    if run is None:
        return
    _check_text("event", name)
    facts = {"name": name, "data": data}
    try:
        payload = json.dumps(facts, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RunError(f"event {name!r}: its data cannot be written as JSON: {error}") from None
    # Work that was left over by a run that has ended is outside of runs.
    with contextlib.suppress(RunFinished):
        run.write(Kind.EVENT, payload)
        if everywhere:
            run.announce(Kind.EVENT, facts)


class _Looker:
    """Writes the stages that have changed, all of them a few times a second.

    Not each step does, which need not ask the time then; and what stalls has told how far it came.
    """

    def __init__(self, pause: float = PAUSE_SECONDS) -> None:
        self.changed: SimpleQueue[Stage] = SimpleQueue()
        self._pause = pause
        threading.Thread(target=self._work, name="outlive-stages", daemon=True).start()

    def _work(self) -> None:
        while True:
            stages = {self.changed.get()}
            with contextlib.suppress(Empty):
                while True:
                    stages.add(self.changed.get_nowait())
            for one in stages:
                try:
                    one.settle()
                except Exception:  # noqa: BLE001 - all others wait for this thread
                    sys.excepthook(*sys.exc_info())
            del one, stages
            time.sleep(self._pause)


@functools.cache
def _looker() -> _Looker:
    return _Looker()


# A forked child has no threads of its parent.
os.register_at_fork(after_in_child=_looker.cache_clear)
