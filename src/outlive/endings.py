"""Who has something going on an event loop is told when the server around it is about to end.

Servers let requests go on until they end by themselves, which streams do not, and tell nobody.
Nothing of a server is changed: signals are heard on their way to it, and its state is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = ["end_with_server", "watch_ending"]

#: Between two looks whether a server was asked to end; uvicorn and hypercorn look as often.
LOOK_SECONDS = 0.1


@contextlib.contextmanager
def end_with_server() -> Iterator[None]:
    """Cancel the current task, where this is within one, when the server around it is to end.

    uvicorn ends by a signal that kills, granian without a look at what is left on its loop.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:
        # In a thread.
        task = None
    if task is None:
        yield
        return
    stop = watch_ending(functools.partial(_cancel, task))
    try:
        yield
    finally:
        stop()


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


def watch_ending(callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback`, once and in the running loop, when its server was asked to end.

    Returns how to stop.
    """
    loop = asyncio.get_running_loop()
    lookout = _lookouts.get(loop) or _Lookout(loop)
    lookout.watchers.add(callback)
    return functools.partial(lookout.watchers.discard, callback)


class _Lookout:
    """Looks for all who watch on a loop, as long as there are any.

    It hears SIGTERM before the server's own handler, which then does what it would have done. Of
    uvicorn, which takes other ways to its end, too, and hypercorn, whose processes get no signal,
    it asks whether they are on their way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.watchers: set[Callable[[], None]] = set()
        self._loop = loop
        self._former = signal.getsignal(signal.SIGTERM)
        self._server: Any = getattr(self._former, "__self__", None)
        self._event = _find_event()
        self._handler = self._make_handler()
        # Others look there for their server, too.
        functools.update_wrapper(self._handler, self._former, ["__self__"], [])  # type: ignore[arg-type]
        _lookouts[loop] = self
        if self._hears:
            signal.signal(signal.SIGTERM, self._handler)
        loop.call_later(LOOK_SECONDS, self._look)

    @property
    def _hears(self) -> bool:
        # Only there may handlers be set; and where there is none, the process ends at once.
        return callable(self._former) and threading.current_thread() is threading.main_thread()

    def _make_handler(self) -> Callable[[int, FrameType | None], None]:
        def hear(number: int, frame: FrameType | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                self._loop.call_soon_threadsafe(self._tell)
            if callable(self._former):
                self._former(number, frame)

        return hear

    def _look(self) -> None:
        if self._is_ending():
            self._tell()
        if self.watchers:
            self._loop.call_later(LOOK_SECONDS, self._look)
            return
        del _lookouts[self._loop]
        if self._hears and signal.getsignal(signal.SIGTERM) is self._handler:
            signal.signal(signal.SIGTERM, self._former)

    def _is_ending(self) -> bool:
        if self._event is not None:
            return bool(self._event.is_set())
        server = self._server
        if not hasattr(server, "should_exit"):
            return False
        # Older ones have it elsewhere.
        limit = getattr(server, "limit_max_requests", None)
        return bool(server.should_exit or (limit and server.server_state.total_requests >= limit))

    def _tell(self) -> None:
        watchers = list(self.watchers)
        self.watchers.clear()
        for callback in watchers:
            callback()


def _find_event() -> Any:  # noqa: ANN401 - an event of multiprocessing, which may not be imported
    """Find what hypercorn tells its processes with; multiprocessing has no public name for it."""
    library = sys.modules.get("multiprocessing")
    process = None if library is None else library.current_process()
    event = getattr(process, "_kwargs", {}).get("shutdown_event")
    return event if hasattr(event, "is_set") else None


_lookouts: dict[asyncio.AbstractEventLoop, _Lookout] = {}
