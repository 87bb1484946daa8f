"""A viewer on a socket: a block and a byte; and how a body is framed."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ...feeds import Place
from ...viewers import Viewer
from .sending import close, send

if TYPE_CHECKING:
    from .groups import Group

__all__ = ["PATIENCE", "VANISHED", "Block", "Connection", "Done"]

#: Called once nothing is sent any more, with whether all was; in the engine's thread.
Done = Callable[[bool], None]

#: Seconds that what was sent may stay without an answer: whoever vanished is dropped then.
VANISHED = 120.0
#: Seconds that a viewer may read nothing.
PATIENCE = 600.0
#: Bytes that wait in the kernel unsent: a viewer that stalls held 3.9 MB without this.
_UNSENT = 128 * 1024
_RESET = struct.pack("ii", 1, 0)
#: Of struct tcp_info: what was sent again, and probes of a shut window, each without an answer.
_INFO = struct.Struct("2xBB")
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


class Block:
    """Bytes for all who are at one place; where few need them, they go, and are read again.

    What is between two places always becomes the same bytes. `before` is None where that is not
    so: for what opens a stream, beats, and shows an unfinished line. `is_last` ends the body.
    """

    __slots__ = ("__weakref__", "after", "before", "data", "is_last", "size")

    def __init__(
        self, data: bytes, before: Place | None, after: Place, *, is_last: bool = False
    ) -> None:
        self.data: bytes | None = data
        self.size = len(data)
        self.before = before
        self.after = after
        self.is_last = is_last


class Connection:
    """One socket. At the head it has nothing but its group; behind it, a block, a byte, a viewer."""

    __slots__ = (
        "blocks", "done", "fd", "group", "is_over", "is_patient", "is_ready", "leave", "sent",
        "sock", "taken_at", "viewer",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, viewer: Viewer, done: Done) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        #: None at the head, where one viewer is enough for all.
        self.viewer: Viewer | None = viewer
        self.leave = viewer.leave
        self.done = done
        self.group: Group
        #: What it is being sent, and how much of the first was.
        self.blocks: tuple[Block, ...] = ()
        self.sent = 0
        #: As long as it is behind: when it took something last, or was given something to take.
        self.taken_at = 0.0
        self.is_ready = self.is_patient = False
        #: Whether all was sent, so that only its end is waited for.
        self.is_over = False

    def prepare(self) -> None:
        """Have the kernel keep little, send at once, and find out who is no more."""
        self.taken_at = monotonic()
        if self.sock.family == socket.AF_UNIX:
            return
        for name, value in (
            (socket.TCP_NODELAY, 1),
            (socket.TCP_USER_TIMEOUT, round(VANISHED * 1000)),
            (_NOTSENT_LOWAT, _UNSENT),
        ):
            self.sock.setsockopt(socket.IPPROTO_TCP, name, value)

    def give(self, blocks: tuple[Block, ...], sent: int = 0) -> None:
        """Have it sent these next; its time to take them begins now."""
        self.blocks, self.sent = blocks, sent
        self.taken_at = monotonic()

    def push(self, data: bytes) -> bool:
        """Send on in a block; tells whether all of it is sent. Raises OSError."""
        sent = send(self.fd, data, self.sent)
        if sent:
            self.taken_at = monotonic()
        self.sent += sent
        if self.sent < len(data):
            return False
        self.sent = 0
        return True

    def be_patient(self, *, is_patient: bool) -> None:
        """Have the kernel wait for one that is there, though it reads nothing.

        To the kernel, a window that stays shut is as bad as no answer at all.
        """
        if is_patient == self.is_patient or self.sock.family == socket.AF_UNIX:
            return
        with contextlib.suppress(OSError):
            if is_patient and not self._answers():
                return
            seconds = PATIENCE if is_patient else VANISHED
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
            self.is_patient = is_patient

    def _answers(self) -> bool:
        """Whether nothing waits for an answer for the second time."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        return not any(_INFO.unpack(info))

    def close(self, *, is_complete: bool) -> None:
        """Let go of it; cut short, it does not look complete."""
        if not is_complete and not self.group.framing.is_chunked:
            with contextlib.suppress(OSError):
                # Only a reset tells that there should be more.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        close(self.sock.detach())
