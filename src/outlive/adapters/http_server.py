"""Outlive on the standard library's own server: a handler class, and answers for `do_GET`."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import ClassVar
from urllib.parse import unquote

from .. import platforms
from ..errors import ConfigError
from ..pumps.blocking import BlockingPump
from ..pumps.engine import CHUNKED, CLOSED, EngineSeats, Framing
from ..pumps.engine.interposing import can_interpose, hand_over
from ..seats import OwnSeats
from ..web.access import PUBLIC, Access
from ..web.answers import Site, answer
from ..web.messages import Request, Response, Stream
from .base import Mark, Place, Work, find_host, make_site
from .base import respond as respond_to

__all__ = ["PUBLIC", "OutliveHandler", "respond"]

#: How much of a body that nobody wanted is taken, and for how many seconds.
LINGER_SIZE, LINGER_SECONDS = 1024 * 1024, 2.0


class OutliveHandler(BaseHTTPRequestHandler):
    """The whole API and page of a store: `class Handler(OutliveHandler, access=…): pass`.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs;
    PUBLIC lets everybody. What is not below the `prefix` is 404, unless a method of one's own
    answers it and leaves the rest to `super()`. The store is by default that of `outlive.start`.
    """

    _site: ClassVar[Site]
    _prefix: ClassVar[str]

    def __init_subclass__(cls, *, access: Access, prefix: str = "", store: Place = None) -> None:
        super().__init_subclass__()
        if prefix and not prefix.startswith("/"):
            raise ConfigError(f"prefix: begin it with a slash, as in '/live', not {prefix!r:.100}")
        cls._site = make_site(access, store)
        cls._prefix = prefix.rstrip("/")

    def setup(self) -> None:
        """Begin to serve a connection."""
        if not hasattr(self, "_site"):
            raise ConfigError(
                "say who may see the runs: class Handler(OutliveHandler, access=…), and serve that"
            )
        super().setup()

    def do_GET(self) -> None:
        """Answer any request that is below the prefix."""
        request = _read_request(self)
        path = request.path.removeprefix(self._prefix)
        if f"{self._prefix}{path}" != request.path or path[:1] not in ("", "/"):
            self.send_error(404)
            return
        _send(answer(replace(request, prefix=self._prefix, path=path), self._site), self)

    do_HEAD = do_POST = do_GET


def respond(
    handler: BaseHTTPRequestHandler, work: Work, *, store: Place = None, mark: Mark | None = None
) -> None:
    r"""Answer a handler's request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice.

    Args:
        handler: The handler, in its `do_GET` or the like.
        work: A run, a callable that returns one, as `lambda: outlive.start(job)` does, or
            `outlive.activity()`.
        store: Where the callable starts its runs; by default that of `outlive.start`.
        mark: In text, what breaks a silence, and after how many seconds: `(5, "*** Interval\n")`.
    """
    _send(respond_to(_read_request(handler), work, store=store, mark=mark), handler)


def _read_request(handler: BaseHTTPRequestHandler) -> Request:
    path, _, query = handler.path.partition("?")
    headers: dict[str, str] = {}
    for name, value in handler.headers.items():
        headers.setdefault(name.lower(), value)
    return Request(
        method=handler.command,
        path=unquote(path),
        query_string=query,
        headers=headers,
        native=handler,
        address=(handler.client_address or ("",))[0],
        seats=EngineSeats() if can_interpose(handler.connection) else OwnSeats(),
    )


def _send(response: Response, handler: BaseHTTPRequestHandler) -> None:
    """Send a response; whoever does not take it to its end has gone, which is no error."""
    has_body = _has_body(handler)
    handler.send_response(response.status)
    for header in response.headers:
        handler.send_header(*header)
    try:
        if isinstance(response.body, Stream):
            _stream(response.body, handler)
        else:
            if has_body:
                handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(response.body)
        handler.wfile.flush()
    except OSError:
        handler.close_connection = True
    if has_body:
        _linger(handler.connection)


def _stream(stream: Stream, handler: BaseHTTPRequestHandler) -> None:
    """Send a stream, as chunks where both ends know them: then one that is cut can be told.

    With its end, the connection has one, too: by then the engine has it, and not the handler.
    """
    is_chunked = min(handler.protocol_version, handler.request_version) >= "HTTP/1.1"
    framing = CHUNKED if is_chunked else CLOSED
    if is_chunked:
        handler.send_header("Transfer-Encoding", "chunked")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.flush()
    if not _hand_over(stream, handler, framing):
        _pump(stream, handler, framing)


def _hand_over(stream: Stream, handler: BaseHTTPRequestHandler, framing: Framing) -> bool:
    """Give the connection to the engine, behind the head; False where the handler keeps it."""
    connection, host = handler.connection, find_host(stream)
    return (
        host is not None
        and can_interpose(connection)
        and hand_over(stream.viewer, connection, host, framing)
    )


def _pump(stream: Stream, handler: BaseHTTPRequestHandler, framing: Framing) -> None:
    pump = BlockingPump(*stream, lambda: _is_over(handler))
    try:
        for data in pump:
            handler.wfile.write(framing.frame((data,)))
            handler.wfile.flush()
        handler.wfile.write(framing.end)
    finally:
        pump.close()


def _is_over(handler: BaseHTTPRequestHandler) -> bool:
    """Tell whether the client has gone, or the server was asked to end: it may wait for streams."""
    return platforms.is_left(handler.connection.fileno()) or _is_ending(handler.server)


def _is_ending(server: object) -> bool:
    # There is no public way to ask: it is closed only after `shutdown`, which waits for the
    # handler where there are no threads.
    ended = getattr(server, "_BaseServer__is_shut_down", None)
    asked = getattr(server, "_BaseServer__shutdown_request", False)
    return asked or (ended is not None and ended.is_set())


def _has_body(handler: BaseHTTPRequestHandler) -> bool:
    """Tell whether a request has a body, of which somebody may have read nothing."""
    length = handler.headers.get("Content-Length", "0").strip()
    return length != "0" or "Transfer-Encoding" in handler.headers


def _linger(connection: socket.socket) -> None:
    """Take what a client still sends, before the connection is closed (RFC 9112, section 9.6).

    To close while there is something to read would take back an answer that it has not read.
    """
    size, deadline = 0, monotonic() + LINGER_SECONDS
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while size < LINGER_SIZE and monotonic() < deadline:
            connection.settimeout(max(deadline - monotonic(), 0.01))
            data = connection.recv(65536)
            if not data:
                return
            size += len(data)
