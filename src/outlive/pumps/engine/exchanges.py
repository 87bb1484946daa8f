"""Take a connection from a server of ASGI that lets go of it, and says so in the scope.

ASGI knows no way to a connection: that there is one is an extension of ours, which
`outlive.adapters.asgi.uvicorn` has. Without it, and where anything is odd, the awaiting pump goes on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...errors import EngineError
from ...seats import OwnSeats
from ...viewers import Viewer
from . import EngineSeats, find_engine
from .framings import Framing
from .hosts import Host

__all__ = ["EXTENSION", "Exchange", "Transfer", "find_seats", "find_transfer"]

#: Where a server that can let go of a connection offers an Exchange, in a scope's `extensions`.
EXTENSION = "outlive.exchange"
#: Rounds of the loop until middleware has passed on what opens a stream, and uvloop written it.
_ROUNDS = 5


class Exchange(Protocol):
    """A request and its response, on a connection of which the server can let go."""

    def copy(self, opening: bytes) -> tuple[socket.socket, Framing] | None:
        """Copy the connection, with how a body is framed there that began with `opening`.

        None where anything else was sent, or is yet to be. The server still has the connection.
        """

    def let_go(self) -> None:
        """Have the server close its own of both, as if the client had left; it sends nothing."""


def find_seats(scope: Mapping[str, Any]) -> OwnSeats | EngineSeats:
    """Find out where the viewer will sit who comes with a request."""
    return OwnSeats() if _find_exchange(scope) is None else EngineSeats()


def find_transfer(scope: Mapping[str, Any], viewer: Viewer) -> Transfer | None:
    """Find out whether an engine may have a viewer and its connection."""
    exchange = _find_exchange(scope)
    if exchange is None or viewer.format.asks:
        return None
    host = find_engine(viewer.feed.journal)
    return None if host is None else Transfer(viewer, exchange, host)


def _find_exchange(scope: Mapping[str, Any]) -> Exchange | None:
    exchange: Exchange | None = scope.get("extensions", {}).get(EXTENSION)
    return exchange


@dataclass(frozen=True)
class Transfer:
    """A viewer that is to go with its connection from a server to an engine."""

    viewer: Viewer
    exchange: Exchange
    host: Host

    async def take(self, opening: bytes) -> bool:
        """Hand over, once this is sent and nothing else; tells whether the engine goes on."""
        for _ in range(_ROUNDS):
            try:
                found = self.exchange.copy(opening)
            except OSError:
                return False
            if found is not None:
                return self._hand_over(*found)
            await asyncio.sleep(0)
        return False

    def _hand_over(self, sock: socket.socket, framing: Framing) -> bool:
        try:
            # Not in a thread: beside a busy loop it gets the GIL back late, after each question. Of a
            # thousand viewers 200 were handed over a second after they came; now all are.
            self.host.adopt(sock, self.viewer, framing)
        except EngineError:
            sock.close()
            return False
        self.exchange.let_go()
        return True
