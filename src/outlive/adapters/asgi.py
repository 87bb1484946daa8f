"""Outlive as an ASGI application, and in the views of one (ASGI 3.0, HTTP 2.3)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any, Protocol

from ..pumps.awaiting import pump
from ..pumps.base import report
from ..web.access import PUBLIC, Access
from ..web.answers import Site, answer
from ..web.messages import Request, Response, Stream
from .base import Mark, Place, Work, make_site
from .base import respond as respond_to

__all__ = ["PUBLIC", "Application", "application", "respond"]

#: Between two looks whether the server around a stream was asked to end.
LOOK_SECONDS = 1.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HasScope(Protocol):
    """A request of Starlette or FastAPI, or anything that knows its scope."""

    @property
    def scope(self) -> Scope: ...


def application(*, access: Access, store: Place = None) -> Application:
    """Make the whole API and page of a store, to be mounted under any prefix.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs;
    PUBLIC lets everybody. The store is by default that of `outlive.start`.
    """
    return Application(make_site(access, store))


def respond(request: HasScope, work: Work, *, store: Place = None, mark: Mark | None = None) -> Any:  # noqa: ANN401 - a response of Starlette, which is not imported here
    r"""Answer a view's request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice.

    Args:
        request: The request, of Starlette or FastAPI.
        work: A run, a callable that returns one, as `lambda: outlive.start(job)` does, or
            `outlive.activity()`.
        store: Where the callable starts its runs; by default that of `outlive.start`.
        mark: In text, what breaks a silence, and after how many seconds: `(5, "*** Interval\n")`.
    """
    return _make_answer(respond_to(_request(request.scope), work, store=store, mark=mark))


def _make_answer(response: Response) -> Any:  # noqa: ANN401 - as above
    """Make what answers when a framework calls it; FastAPI knows responses by Starlette's class."""
    module = sys.modules.get("starlette.responses")
    kind = _Answer if module is None else type("_Answer", (_Answer, module.Response), {})
    return kind(response)


class _Answer:
    """A response that a framework may still change, and then calls."""

    background: Any = None

    def __init__(self, response: Response) -> None:
        self.status_code = response.status
        self.raw_headers = _encode_headers(response)
        self.body = response.body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as applications are called
        await _start(self.status_code, self.raw_headers, send)
        await _Sender().send_body(self.body, receive, send)
        if self.background is not None:
            await self.background()


class _Sender:
    """Sends bodies.

    `streams` are the open ones that will end, and when each last sent; `endless` are the others.
    """

    def __init__(self) -> None:
        self.streams: dict[asyncio.Task[None], float] = {}
        self.endless: set[asyncio.Task[None]] = set()
        #: Streams that ended with their run; their clients come back once, to be sent away.
        self.awaited = 0

    async def send_body(self, body: bytes | Stream, receive: Receive, send: Send) -> None:
        """Send the body of a response, whose head was sent."""
        if isinstance(body, Stream):
            await self._stream(body, receive, send)
        else:
            await send({"type": "http.response.body", "body": body})

    async def _stream(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Pump until the run ends; cut short, the response is left without its proper end."""
        current: asyncio.Task[None] = asyncio.ensure_future(self._pump(stream, send))
        if stream.viewer.format.ends:
            self.streams[current] = monotonic()
        else:
            self.endless.add(current)
        hangup = asyncio.ensure_future(_left(receive))
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


class Application(_Sender):
    """The whole API and page of a site."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        response = answer(_request(scope), self.site)
        await _start(response.status, _encode_headers(response), send)
        await self.send_body(response.body, receive, send)


def _encode_headers(response: Response) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in response.headers]


async def _start(status: int, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _left(receive: Receive) -> None:
    """Wait until the client is gone, or the server was asked to end."""
    hearing = asyncio.ensure_future(_disconnected(receive))
    server = _find_server()
    patience = None if server is None else LOOK_SECONDS
    try:
        while not hearing.done() and not (server is not None and server.should_exit):
            await asyncio.wait({hearing}, timeout=patience)
    finally:
        hearing.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _find_server() -> Any:  # noqa: ANN401 - uvicorn, which is not imported here
    """Find uvicorn, which tells when it was asked to end: it would wait for streams for ever."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if hasattr(server, "should_exit") else None


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
