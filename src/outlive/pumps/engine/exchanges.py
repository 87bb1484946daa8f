"""Take a connection from a server of ASGI that lets go of it, and says so in the scope.

ASGI knows no way to a connection: that there is one is an extension of ours, which
`outlive.adapters.asgi.uvicorn` has. Without it, and where anything is odd, the awaiting pump goes on.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from ...errors import EngineError
from ...viewers import Viewer
from .connections import Framing
from .threads import adopt

__all__ = ["EXTENSION", "Exchange", "find_exchange", "take_over"]

#: Where a server offers an Exchange, in the `extensions` of a scope.
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


def find_exchange(scope: Mapping[str, Any], viewer: Viewer) -> Exchange | None:
    """Find out whether the engine may take a viewer's connection: once its opening is sent."""
    if viewer.format.asks or not os.environ.get("OUTLIVE_ENGINE"):
        return None
    exchange: Exchange | None = scope.get("extensions", {}).get(EXTENSION)
    return exchange


async def take_over(exchange: Exchange, viewer: Viewer, opening: bytes) -> bool:
    """Have the engine go on with a stream that was opened; tells whether it does."""
    for _ in range(_ROUNDS):
        if _take(exchange, viewer, opening):
            return True
        await asyncio.sleep(0)
    return False


def _take(exchange: Exchange, viewer: Viewer, opening: bytes) -> bool:
    try:
        found = exchange.copy(opening)
    except OSError:
        return False
    if found is None:
        return False
    sock, framing = found
    try:
        adopt(sock, viewer, framing)
    except (OSError, EngineError):
        sock.close()
        return False
    exchange.let_go()
    return True
