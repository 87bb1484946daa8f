"""Threads that a run starts belong to it; workers of pools, who work for anybody, do not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..runs import OwnRun, current_run

__all__ = ["follow_threads"]

#: Modules whose threads serve whoever asks; and ours.
_WORKERS = ("concurrent.futures.", "multiprocessing.pool.", "multiprocessing.queues.", "outlive.")


def follow_threads() -> None:
    """Let threads enter the run that starts them; once for the process, harmless outside of runs."""
    if not _original_start:
        _original_start.append(threading.Thread.start)
        threading.Thread.start = _start_inside  # type: ignore[method-assign]


#: What others put there before us; empty before the first run.
_original_start: list[Callable[[threading.Thread], None]] = []


def _start_inside(self: threading.Thread) -> None:
    run = current_run()
    if run is not None and not _is_worker(self):
        vars(self)["run"] = _Inside(run, self.run)
    _original_start[0](self)


class _Inside:
    """Enters the run and then does what the thread is for."""

    def __init__(self, run: OwnRun, work: Callable[[], None]) -> None:
        self._run = run
        self._work = work

    def __call__(self) -> None:
        # For good: the traceback of what fails here is printed by the thread afterwards.
        self._run.enter()
        work = self._work
        # A circle: the thread holds this, and its work holds the thread.
        del self._run, self._work
        work()


def _is_worker(thread: threading.Thread) -> bool:
    target: Any = getattr(thread, "_target", None)
    if getattr(target, "__name__", "") == "_handle_workers":
        # It starts the processes that replace a pool's dead ones.
        return False
    modules = (getattr(target, "__module__", None) or "", type(thread).__module__)
    return any(f"{module}.".startswith(_WORKERS) for module in modules)
