"""A protocol for uvicorn that lets go of connections: its streams hold no task, as many as there are.

uvicorn app:app --http outlive.adapters.asgi.uvicorn:Protocol
"""

from __future__ import annotations

import functools
import os
import socket
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ...pumps.engine import Framing
from ...pumps.engine.exchanges import EXTENSION
from ...pumps.engine.interposing import read_framing

__all__ = ["Lending", "Protocol"]

#: Writes of a response of which a connection is taken: its head, and what opens its body.
_WRITES = 2


class Lending:
    """What makes any of uvicorn's protocols let go of the connections of streams."""

    app: Any

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        # Around all middleware: what that did to a response is in what is written.
        self.app = functools.partial(_serve, self.app)


class Protocol(Lending, AutoHTTPProtocol):  # type: ignore[misc,valid-type] # which, uvicorn finds out
    """HTTP by httptools where that is installed, and else by h11."""


async def _serve(app: Any, scope: Any, receive: Any, send: Any) -> Any:  # noqa: ANN401 - ASGI
    """Serve one request, whose application may take over its connection."""
    # What it gives are methods of what it keeps of each request.
    cycle = send.__self__
    if cycle.transport.get_extra_info("ssl_object") is not None:
        return await app(scope, receive, send)
    cycle.transport = _Recorder(cycle.transport)
    extensions = scope.setdefault("extensions", {})
    extensions[EXTENSION] = _Exchange(cycle)
    try:
        return await app(scope, receive, send)
    finally:
        # The cycle has the scope: what refers to itself is freed late.
        del extensions[EXTENSION]


class _Recorder:
    """A transport that remembers what began a response."""

    __slots__ = ("_transport", "_written")

    def __init__(self, transport: Any) -> None:  # noqa: ANN401 - of asyncio or uvloop
        self._transport = transport
        self._written: list[bytes] | None = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._transport, name)

    @property
    def written(self) -> bytes:
        """What was written, unless that is too much to begin a stream."""
        return b"".join(self._written or ())

    def write(self, data: bytes) -> None:
        """Write on."""
        if self._written is not None:
            self._written.append(data)
            if len(self._written) > _WRITES:
                self._written = None
        self._transport.write(data)


class _Exchange:
    """An Exchange of uvicorn's."""

    def __init__(self, cycle: Any) -> None:  # noqa: ANN401 - of h11 or httptools
        self._cycle = cycle

    def copy(self, opening: bytes) -> tuple[socket.socket, Framing] | None:
        transport = self._cycle.transport
        if transport.is_closing() or transport.get_write_buffer_size():
            return None
        framing = read_framing(transport.written, opening)
        if framing is None:
            return None
        sock = transport.get_extra_info("socket")
        return socket.socket(fileno=os.dup(sock.fileno())), framing

    def let_go(self) -> None:
        self._cycle.disconnected = True
        self._cycle.message_event.set()
        self._cycle.transport.abort()
