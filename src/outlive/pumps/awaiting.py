"""The pump for asyncio: one task per viewer, no thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from time import monotonic

from ..journals.base import Reader
from ..viewers import Viewer

__all__ = ["pump"]

#: Between two looks whether the writer of a silent journal still lives.
SETTLE_SECONDS = 1.0
#: Bytes per send: how fine the progress of a slow client can be seen. A send costs about 60 µs
#: above copying, and the kernel lets a full socket take more only by the third of its buffer.
SEND_SIZE = 256 * 1024


async def pump(viewer: Viewer, reader: Reader, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Send a viewer everything until its run ends; to be cancelled when the client is gone."""
    wake = asyncio.Event()
    stop = reader.journal.watch(_bell(wake))
    try:
        while not viewer.finished:
            wake.clear()
            entries = reader.read()
            await _send(viewer.feed(entries, monotonic()), send)
            if entries:
                # Nothing may have come of them: a long replay must not keep others from their turn.
                await asyncio.sleep(0)
                continue
            await _sleep(wake, viewer.deadline())
            if not wake.is_set():
                reader.journal.settle()
                await _send(viewer.tick(monotonic()), send)
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


async def _sleep(wake: asyncio.Event, deadline: float) -> None:
    """Wait for the bell, at most until the deadline and for as long as nobody looks around."""
    seconds = min(max(deadline - monotonic(), 0.0), SETTLE_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


async def _send(data: bytes, send: Callable[[bytes], Awaitable[None]]) -> None:
    for place in range(0, len(data), SEND_SIZE):
        # A whole is not copied.
        await send(data[place : place + SEND_SIZE])
        # To hear that the client is gone: a send to a lost connection waits for nothing.
        await asyncio.sleep(0)
