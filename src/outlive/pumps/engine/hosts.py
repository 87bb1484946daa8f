"""What has an engine: a thread of this process, or a process of its own."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod

from ...seats import OwnSeats
from ...viewers import Seat, Viewer
from .framings import Framing

__all__ = ["Host", "ThreadHost"]


class Host(ABC):
    """Takes viewers, each with its socket."""

    @abstractmethod
    def take(self, run: str | None, address: str) -> Seat:
        """Take a seat for a viewer that will be handed over; raises EngineError, TooManyViewers.

        Who has one knows that the engine is there. See `SeatTable.take`.
        """

    @abstractmethod
    def adopt(
        self, sock: socket.socket, viewer: Viewer, framing: Framing, head: bytes = b""
    ) -> None:
        """Have a viewer's bytes sent to a socket, behind `head`; both are the engine's from now on.

        Raises EngineError where that cannot be: they are still the caller's, and nothing was sent.
        """


class ThreadHost(Host):
    """The engine in a thread of this process."""

    def take(self, run: str | None, address: str) -> Seat:
        # Each has a descriptor, and no thread.
        return OwnSeats(1 << 20).take(None, run, address)

    def adopt(
        self, sock: socket.socket, viewer: Viewer, framing: Framing, head: bytes = b""
    ) -> None:
        from . import threads

        threads.adopt(sock, viewer, framing, head=head)
