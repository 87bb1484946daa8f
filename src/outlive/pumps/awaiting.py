"""The pump for asyncio: one task per viewer, no thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ..journals.base import Reader
from ..viewers import Viewer
from .base import turns

__all__ = ["pump"]


async def pump(viewer: Viewer, reader: Reader, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Send a viewer everything until its run ends; to be cancelled when the client is gone."""
    wake = asyncio.Event()
    stop = reader.journal.watch(_bell(wake))
    try:
        for step in turns(viewer, reader, wake):
            if isinstance(step, float):
                await _sleep(wake, step)
                continue
            if step:
                await send(step)
            # To hear that the client is gone, a send to a lost connection waits for nothing; and
            # a long replay must not keep others from their turn.
            await asyncio.sleep(0)
    finally:
        stop()


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
