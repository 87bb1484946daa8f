"""Outlive as an ASGI application (ASGI 3.0, HTTP 2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from ..pumps.awaiting import pump
from ..pumps.base import report
from ..web.answers import Site, answer
from ..web.messages import Request, Stream

__all__ = ["Application"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """The whole API and page of a site.

    `streams` are the open ones that will end, and when each last sent; `endless` are the others.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.streams: dict[asyncio.Task[None], float] = {}
        self.endless: set[asyncio.Task[None]] = set()
        #: Streams that ended with their run; their clients come back once, to be sent away.
        self.awaited = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        response = answer(_request(scope), self.site)
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [(k.encode(), v.encode()) for k, v in response.headers],
            }
        )
        if isinstance(response.body, Stream):
            await self._stream(response.body, receive, send)
        else:
            await send({"type": "http.response.body", "body": response.body})

    async def _stream(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Pump until the run ends; cut short, the response is left without its proper end."""
        current: asyncio.Task[None] = asyncio.ensure_future(self._pump(stream, send))
        if stream.viewer.format.ends:
            self.streams[current] = monotonic()
        else:
            self.endless.add(current)
        hangup = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({current, hangup}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.streams.pop(current, None)
            self.endless.discard(current)
            hangup.cancel()
            current.cancel()
        if current.done() and not current.cancelled():
            error = current.exception()
            if error is not None:
                report(error)
                return
            self.awaited += stream.viewer.format.reconnects
            await send({"type": "http.response.body", "body": b""})

    async def _pump(self, stream: Stream, send: Send) -> None:
        task = asyncio.current_task()

        async def send_body(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if task in self.streams:
                self.streams[task] = monotonic()

        await pump(stream.viewer, stream.reader, send_body)

    def close(self) -> None:
        """End all streams at once; to be called in their loop."""
        for task in (*self.streams, *self.endless):
            task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _request(scope: Scope) -> Request:
    prefix = scope.get("root_path", "")
    path = scope["path"]
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return Request(
        method=scope["method"],
        path=path.removeprefix(prefix) if prefix else path,
        prefix=prefix,
        query_string=scope["query_string"].decode("latin-1"),
        headers=headers,
        native=scope,
    )
