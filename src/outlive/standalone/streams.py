"""The streams that are open, for a server that ends when its viewers have what there is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping
from time import monotonic
from typing import Any, cast

from ..adapters.asgi import Send, send_stream
from ..web.messages import Stream

__all__ = ["OpenStreams"]


class OpenStreams:
    """Sends streams, and knows which are open; all but `goodbye` belongs to their loop.

    `ending` are those that will end, and when each last sent; `endless` are the others.
    """

    def __init__(self) -> None:
        self.ending: dict[asyncio.Task[Any], float] = {}
        self.endless: set[asyncio.Task[Any]] = set()
        #: Streams that ended with their run; their clients come back once, to be sent away.
        self.awaited = 0
        self._lock = threading.Lock()

    async def send(self, stream: Stream, send: Send) -> None:
        """Send a stream, in a task of its own."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())

        async def send_on(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if task in self.ending:
                self.ending[task] = monotonic()

        if stream.viewer.format.ends:
            self.ending[task] = monotonic()
        else:
            self.endless.add(task)
        try:
            await send_stream(stream, send_on)
            with self._lock:
                self.awaited += stream.viewer.format.reconnects
        finally:
            self.ending.pop(task, None)
            self.endless.discard(task)

    def count(self) -> int:
        """Count those that are open."""
        return len(self.ending) + len(self.endless)

    def say_goodbye(self) -> None:
        """Note that the client of one came back; from any thread."""
        with self._lock:
            # One who reloads is sent away more often than once.
            self.awaited = max(0, self.awaited - 1)

    def cut_stalled(self, before: float) -> None:
        """End those of which nothing was taken since then."""
        for task, sent_at in list(self.ending.items()):
            if sent_at < before:
                task.cancel()

    def close(self) -> None:
        """End all at once."""
        for task in (*self.ending, *self.endless):
            task.cancel()
