"""The pump for asyncio: an iterator that waits in the task that takes its bytes, and no thread."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from time import monotonic

from ..journals.base import Reader
from ..viewers import Viewer
from .base import report, turns

__all__ = ["pump", "watch_ending"]

#: A turn that takes longer holds up everybody on its loop.
SLOW_SECONDS = 0.005
#: Between two looks whether the server was asked to end; uvicorn itself looks as often.
LOOK_SECONDS = 0.1


async def pump(viewer: Viewer, reader: Reader) -> AsyncGenerator[bytes, None]:
    """Give a viewer's bytes until its run ends; to be closed when the client is gone.

    Cut short, because the server is about to end or by a mistake of ours, it ends as if cancelled:
    so nobody gives the response a proper end. Only clients that reconnect by themselves get one,
    which says nothing about the run to them, and of which servers have nothing to log.
    """
    wake = asyncio.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(viewer.leave)
        stack.callback(reader.journal.watch(_bell(wake)))
        stack.callback(watch_ending(wake.set))
        try:
            steps = _Turns(turns(viewer, reader, wake), asks=viewer.format.asks)
            while not is_ending():
                step = await steps.take()
                if step is None:
                    return
                if isinstance(step, float):
                    await _sleep(wake, step)
                    continue
                if step:
                    yield step
                # To hear that the client is gone, a send to a lost connection waits for nothing;
                # and a long replay must not keep others from their turn.
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - a traceback is for whoever runs this
            report(error)
            raise asyncio.CancelledError from None
    if not viewer.format.reconnects:
        raise asyncio.CancelledError


class _Turns:
    """Takes turns: in a thread where they ask somebody, and from a slow one on until all is read."""

    def __init__(self, steps: Iterator[bytes | float], *, asks: bool) -> None:
        self._steps = steps
        self._asks = self._in_thread = asks

    async def take(self) -> bytes | float | None:
        """Take one; None is the end."""
        began = monotonic()
        if self._in_thread:
            step = await asyncio.to_thread(next, self._steps, None)
        else:
            step = next(self._steps, None)
        is_slow = self._in_thread or monotonic() - began > SLOW_SECONDS
        self._in_thread = self._asks or (is_slow and not isinstance(step, float))
        return step


def is_ending() -> bool:
    """Tell whether uvicorn, if that serves here, was asked to end: it would wait for streams."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))


def watch_ending(callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback` in the running loop once its server was asked to end; returns how to stop.

    All who watch share one look every tenth of a second.
    """
    loop = asyncio.get_running_loop()
    if loop not in _watchers:
        _watchers[loop] = set()
        loop.call_later(LOOK_SECONDS, _look, loop)
    watchers = _watchers[loop]
    watchers.add(callback)
    return lambda: watchers.discard(callback)


def _look(loop: asyncio.AbstractEventLoop) -> None:
    if is_ending():
        for callback in list(_watchers[loop]):
            callback()
    if _watchers[loop]:
        loop.call_later(LOOK_SECONDS, _look, loop)
    else:
        del _watchers[loop]


_watchers: dict[asyncio.AbstractEventLoop, set[Callable[[], None]]] = {}


def _bell(wake: asyncio.Event) -> Callable[[], None]:
    """Make what wakes a task from any thread."""
    loop = asyncio.get_running_loop()

    def ring() -> None:
        # One call per sleep is enough, however much is appended meanwhile.
        if not wake.is_set():
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                loop.call_soon_threadsafe(wake.set)

    return ring


async def _sleep(wake: asyncio.Event, seconds: float) -> None:
    """Wait for the bell, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
