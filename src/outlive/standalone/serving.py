"""uvicorn as we use it; imported in the server's thread, for it takes 0.1 s."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .. import platforms
from ..adapters.asgi import Application
from ..adapters.asgi.uvicorn import Lending
from .server import BACKLOG

__all__ = ["HttpServer", "make_http_server"]

#: Between two looks whether a client that asks for nothing is still at it.
REQUEST_SECONDS = 10.0
#: Descriptors that connections leave to the journal: it must be able to open its next segment.
SPARE_DESCRIPTORS = 64
#: Connections that asyncio accepts at once, before it looks at any of them: fewer than are spare.
ACCEPTED_AT_ONCE = 32


def make_http_server(
    application: Application, *, shutdown_seconds: float, has_engine: bool
) -> HttpServer:
    """Make the server; connections still open so long after its end are cut.

    With an engine, those of streams are let go.
    """
    platforms.keep_freed_memory()
    # What a client does wrong is not this program's to report on its terminal.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    config = uvicorn.Config(
        application,
        interface="asgi3",
        http=LendingProtocol if has_engine else DeadlineProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        log_config=None,
        access_log=False,
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=int(shutdown_seconds),
    )
    return HttpServer(config)


class HttpServer(uvicorn.Server):
    """Lets more connections wait than it accepts at once, which asyncio takes for one thing."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)


class DeadlineProtocol(H11Protocol):
    """Closes a connection that brings no whole request within ten to twenty seconds.

    uvicorn's keep-alive timeout starts anew with each byte: a client that sends its head byte by
    byte could hold a connection for as long as it likes.
    """

    _look: asyncio.TimerHandle | None = None
    _seen: object = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Of those that are free it is the lowest: so many are taken, the engine's included.
        taken = self.transport.get_extra_info("socket").fileno()
        if limit != resource.RLIM_INFINITY and taken > limit - SPARE_DESCRIPTORS:
            self.transport.abort()
        self._look = self.loop.call_later(REQUEST_SECONDS, self._look_again)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
            return
        # Garbage behind a good request: there is no place for a second answer in the first.
        self.cycle.disconnected = True
        self.transport.abort()

    def shutdown(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            super().shutdown()
            return
        # Cut short, its stream has ended before; a client that takes nothing holds up nobody.
        self.transport.abort()

    def _look_again(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._seen is self.cycle:
            self.transport.close()
            return
        self._seen = self.cycle if is_idle else ()
        self._look = self.loop.call_later(REQUEST_SECONDS, self._look_again)


class LendingProtocol(Lending, DeadlineProtocol):
    """Also lets go of the connections of streams."""
