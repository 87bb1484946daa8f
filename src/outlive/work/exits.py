"""What becomes of work at the interpreter's end.

Work that was started is waited for, as any thread is. Ctrl-C asks it to end, and once more leaves
it behind: then its run is lost, with all that it wrote until then. A development server that waited
would not serve what was changed: there, work is asked at once, and soon left behind. Work on a loop
of the caller ends with that loop, cancelled.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic

from ..entries import State
from ..errors import OutliveError
from ..runs import OwnRun
from ..surroundings import is_reloaded

__all__ = ["start_thread"]

#: At the end, nothing is said of so short a wait.
_PATIENCE_SECONDS = 1.0
#: How long work that was asked to end may hold up new code.
_RELOAD_SECONDS = 2.0


def start_thread(run: OwnRun, target: Callable[[], None]) -> None:
    """Start a thread that the interpreter's end waits for, in its own way."""

    def act() -> None:
        try:
            target()
        finally:
            _living.discard(run)

    _follow_exit()
    thread = threading.Thread(target=act, name=f"outlive {run.record.title}", daemon=True)
    _living.add(run)
    try:
        thread.start()
    except BaseException:
        # There may be too many threads already.
        _living.discard(run)
        raise


#: Runs for which a thread works, or writes how a task ended; those of its parent are not a child's.
_living: set[OwnRun] = set()
os.register_at_fork(after_in_child=_living.clear)


@functools.cache
def _follow_exit() -> None:
    # It ends the pools that work may still use, and is called after what is registered later.
    import concurrent.futures.thread  # noqa: F401

    # As pools do it: before other threads are waited for, and before `atexit`, by which what work
    # uses may be gone.
    threading._register_atexit(_wait_for_work)  # type: ignore[attr-defined]  # noqa: SLF001


def _wait_for_work() -> None:
    """Wait for all work at the interpreter's end; ask it to end where that end is a Ctrl-C."""
    if is_reloaded():
        _leave_soon()
        return
    # At a prompt, that was some Ctrl-C before.
    was_asked = getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")
    if was_asked:
        _ask_to_end()
    while _is_waiting(was_asked=was_asked):
        if was_asked:
            return
        was_asked = True
        _ask_to_end()


def _leave_soon() -> None:
    """Ask all work to end, and wait a little for it."""
    _ask_to_end()
    deadline = monotonic() + _RELOAD_SECONDS
    with contextlib.suppress(KeyboardInterrupt):
        while (living := list(_living)) and (left := deadline - monotonic()) > 0:
            living[0].wait(left)
    if living := list(_living):
        _say(f'{_count(living)} left behind, lost: isolation="process" outlives a reload')


def _is_waiting(*, was_asked: bool) -> bool:
    """Wait for all work; tells whether a Ctrl-C came before all was done."""
    told = was_asked
    try:
        while living := list(_living):
            # Not for the thread: after a Ctrl-C, one that lives is taken for dead (bpo-45274).
            if living[0].wait(_PATIENCE_SECONDS) is State.RUNNING and not told:
                told = True
                _say(f"waiting for {_count(living)} to end (Ctrl-C cancels it)")
    except KeyboardInterrupt:
        return True
    return False


def _ask_to_end() -> None:
    for run in list(_living):
        with contextlib.suppress(OutliveError):
            run.cancel()


def _count(runs: list[OwnRun]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _say(message: str) -> None:
    # There may be no standard error, or one that is closed; the wait goes on.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"outlive: {message}\n")
