"""How applications that keep their viewers in their own process are fed: a queue for each viewer."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any


class Hub:
    """Everybody who watches; lines come through the Unix socket `FEED`."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str]] = set()

    async def listen(self) -> asyncio.Server:
        """Begin to take lines."""
        return await asyncio.start_unix_server(self._take, os.environ["FEED"])

    async def _take(self, reader: asyncio.StreamReader, _: object) -> None:
        while line := await reader.readline():
            self.say(line.decode().rstrip("\n"))

    def say(self, line: str) -> None:
        """Put a line into each queue."""
        for queue in self._queues:
            queue.put_nowait(line)

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines from now on."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


def with_hub(application: Any, hub: Hub) -> Any:  # noqa: ANN401
    """Wrap an ASGI application so that the hub listens while it runs."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        server = await hub.listen()
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        server.close()
        await send({"type": "lifespan.shutdown.complete"})

    return wrapped
