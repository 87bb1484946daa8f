"""A viewer on a socket: a block and a byte; and how a body is framed."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ...feeds import Place
from ...viewers import Viewer
from .sending import close, send

if TYPE_CHECKING:
    from .groups import Group

__all__ = ["CHUNKED", "CLOSED", "Block", "Connection", "Done", "Framing"]

#: Called once nothing is sent any more, with whether all was; in the engine's thread.
Done = Callable[[bool], None]

#: Seconds that what was sent may stay without an answer. It counts for a window that stays shut,
#: too: so it is also how long a viewer may read nothing.
_PATIENCE = 600
#: Bytes that wait in the kernel unsent: a viewer that stalls held 3.9 MB without this.
_UNSENT = 128 * 1024
_RESET = struct.pack("ii", 1, 0)
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


class Framing(NamedTuple):
    """How bytes become a body of HTTP/1.1: chunked, or ended by the end of the connection."""

    is_chunked: bool

    def frame(self, parts: tuple[bytes, ...]) -> bytes:
        """Make one chunk of the body (RFC 9112, section 7.1)."""
        if not self.is_chunked:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        size = sum(map(len, parts))
        return b"".join((b"%x\r\n" % size, *parts, b"\r\n"))

    @property
    def end(self) -> bytes:
        """What makes it complete."""
        return b"0\r\n\r\n" if self.is_chunked else b""


CHUNKED, CLOSED = Framing(is_chunked=True), Framing(is_chunked=False)


class Block:
    """Bytes for all who are at one place; where few need them, they go, and are read again.

    What is between two places always becomes the same bytes. `before` is None where that is not
    so: for what opens a stream, beats, and shows an unfinished line. `is_last` ends the body.
    """

    __slots__ = ("__weakref__", "after", "before", "data", "is_last", "next", "size")

    def __init__(
        self, data: bytes, before: Place | None, after: Place, *, is_last: bool = False
    ) -> None:
        self.data: bytes | None = data
        self.size = len(data)
        self.before = before
        self.after = after
        #: What follows it, the same for all; who is behind goes from one to the next.
        self.next: Block | None = None
        self.is_last = is_last


class Connection:
    """One socket. At the head it has nothing but its group; behind it, blocks and a place."""

    __slots__ = ("blocks", "done", "fd", "group", "is_over", "is_ready", "last", "leave", "sent", "sock", "viewer")  # fmt: skip

    def __init__(self, sock: socket.socket, viewer: Viewer, done: Done) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        #: None at the head, where one viewer is enough for all.
        self.viewer: Viewer | None = viewer
        self.leave = viewer.leave
        self.done = done
        self.group: Group
        self.blocks: deque[Block] | None = None
        #: The last of its blocks, which the next follows.
        self.last: Block | None = None
        self.sent = 0
        self.is_ready = False
        #: Whether all was sent, so that only its end is waited for.
        self.is_over = False

    def prepare(self) -> None:
        """Have the kernel keep little, send at once, and find out who is no more."""
        if self.sock.family == socket.AF_UNIX:
            return
        for name, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_USER_TIMEOUT, _PATIENCE * 1000),
            (_NOTSENT_LOWAT, _UNSENT),
        ):
            self.sock.setsockopt(socket.IPPROTO_TCP, name, value)

    def push(self, block: Block, data: bytes) -> bool:
        """Send on in a block; tells whether all of it is sent."""
        self.sent += send(self.fd, data, self.sent)
        if self.sent < block.size:
            return False
        self.sent = 0
        return True

    def close(self, *, is_complete: bool) -> None:
        """Let go of it; cut short, it does not look complete."""
        if not is_complete and not self.group.framing.is_chunked:
            with contextlib.suppress(OSError):
                # Only a reset tells that there should be more.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        close(self.sock.detach())
