"""Outlive as an ASGI application, and in the views of one (ASGI 3.0, HTTP 2.3)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Protocol, Unpack, cast

from ...pumps.awaiting import pump
from ...pumps.engine.exchanges import find_seats, find_transfer
from ...runs import Run
from ...web.access import PUBLIC, Access
from ...web.answers import Site, answer
from ...web.messages import Request, Response, Stream
from ...work.receptions import ReceiveOptions, Reception
from ..base import Mark, Place, Work, make_site
from ..base import respond as respond_to

__all__ = ["PUBLIC", "Application", "application", "receive", "respond", "send_stream"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
#: Sends what is pumped, and ends when that does.
SendStream = Callable[[Stream, Send], Coroutine[Any, Any, None]]


class HasScope(Protocol):
    """A request of Starlette or FastAPI, or anything that knows its scope."""

    @property
    def scope(self) -> Scope: ...


def application(*, access: Access, store: Place = None) -> Application:
    """Make the whole API and page of a store, to be mounted under any prefix.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs;
    PUBLIC lets everybody. The store is by default that of `outlive.start`.
    """
    # Starlette's, and so FastAPI's, of which neither need be there.
    module = sys.modules.get("starlette.exceptions")
    return Application(
        make_site(access, store, *([] if module is None else [module.HTTPException]))
    )


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _start(self.status_code, self.raw_headers, send)
        # What is to be done behind a response must not come before its end.
        if self.background is None and await _hand_over(self.body, scope, send):
            return
        await _send_body(self.body, receive, send, send_stream)
        if self.background is not None:
            await self.background()


async def receive(
    request: HasScope,
    function: Callable[..., object],
    *args: object,
    field: str | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Receive the file that a request brings, and start a function with it, as one run.

    All who watch the run or the activity see the bytes arrive. The rest of a form is afterwards
    where it always is, in `await request.form()`. What does not arrive whole is answered with an
    error, and starts nothing. See `outlive.receive`.

    Args:
        request: The request, of Starlette or FastAPI, whose body nobody has read.
        function: What to do with the file.
        args: What else to call it with.
        field: Which file of a form; by default the first. Of a request without a form, the body is
            the file, as `curl -T` sends it.
        options: Those of `outlive.receive`.
    """
    from .uploads import receive_upload

    begin = functools.partial(Reception, function, *args, **options)
    return await receive_upload(cast("Any", request), field, begin)


async def send_stream(stream: Stream, send: Send) -> None:
    """Send what is pumped."""
    async with contextlib.aclosing(pump(*stream)) as chunks:
        async for data in chunks:
            await send({"type": "http.response.body", "body": data, "more_body": True})


class Application:
    """The whole API and page of a site; `send_stream` sends what a stream is pumped."""

    def __init__(self, site: Site, send_stream: SendStream = send_stream) -> None:
        self.site = site
        self._send_stream = send_stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; where this is all that a server serves, also its life."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        if scope["type"] != "http":
            return
        # Files are read, and `access` may ask a database: 0.1 ms more, that nobody else waits.
        response = await asyncio.to_thread(answer, _request(scope), self.site)
        await _start(response.status, _encode_headers(response), send)
        if await _hand_over(response.body, scope, send):
            return
        await _send_body(response.body, receive, send, self._send_stream)


async def _live(receive: Receive, send: Send) -> None:
    """Have nothing to do when a server starts and ends (ASGI, lifespan protocol)."""
    while (kind := (await receive())["type"]) != "lifespan.shutdown":
        await send({"type": f"{kind}.complete"})
    await send({"type": f"{kind}.complete"})


def _encode_headers(response: Response) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in response.headers]


async def _start(status: int, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _hand_over(body: bytes | Stream, scope: Scope, send: Send) -> bool:
    """Give a body whose head is sent to the engine, where it may have it; tells whether it does."""
    transfer = find_transfer(scope, body.viewer) if isinstance(body, Stream) else None
    if transfer is None:
        return False
    opening = transfer.viewer.open()
    await send({"type": "http.response.body", "body": opening, "more_body": True})
    return await transfer.take(opening)


async def _send_body(
    body: bytes | Stream, receive: Receive, send: Send, send_stream: SendStream
) -> None:
    """Send the body of a response; a stream that is cut short is left without a proper end."""
    if isinstance(body, Stream):
        sending = asyncio.ensure_future(send_stream(body, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            sending.cancel()
        if not sending.done() or sending.cancelled():
            return
        sending.result()
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _left(receive: Receive) -> None:
    """Wait until the client is gone."""
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
        address=(scope.get("client") or ("",))[0],
        seats=find_seats(scope),
    )
