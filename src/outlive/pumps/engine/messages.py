"""What workers and their engine tell each other over a Unix socket, each in one message of it.

They are pickled: both ends are of one user, who is asked for, of one version and one installation.
A worker asks, and is answered in order; what needs no answer says so.
"""

from __future__ import annotations

import copy
import os
import pickle
import socket
import struct
from typing import Any, NamedTuple

from ...errors import OutliveError, TooManyViewers
from ...feeds import Place, find_feed
from ...formats import Format
from ...journals.base import Journal
from ...seats import Limits
from ...viewers import Viewer
from .framings import Framing
from .listeners import Address

__all__ = [
    "SIZE",
    "Answer",
    "Begin",
    "HandOver",
    "Hello",
    "Leave",
    "NameRun",
    "Take",
    "check_user",
    "decode",
    "encode",
    "receive",
]

#: Bytes of a message: what the kernel lets anybody send at once (net.core.wmem_default).
SIZE = 256 * 1024


class Hello(NamedTuple):
    """The first; with it comes where the worker's errors go, and the engine's from now on."""


class Take(NamedTuple):
    """May a viewer sit down? The worker counts seats; limits are those of its settings."""

    seat: int
    run: str | None
    address: str
    limits: Limits


class NameRun(NamedTuple):
    """Which run somebody came for who sits already."""

    seat: int
    run: str


class Leave(NamedTuple):
    """A seat is free again; not answered."""

    seat: int


class HandOver(NamedTuple):
    """All that a viewer is, with its socket: to be sent nothing before `Begin`.

    A worker that got no answer in time goes on by itself, and nobody else must.
    """

    seat: int | None
    run: str
    form: Format
    place: Place
    opening: bytes
    framing: Framing
    head: bytes
    address: Address | None

    @classmethod
    def of(cls, viewer: Viewer, framing: Framing, head: bytes, address: Address | None) -> HandOver:
        """Tell of a viewer; its seat is for others to add."""
        # What others' viewers have made of the shared one may be large.
        form = copy.copy(viewer.format)
        form.state = viewer.place.state
        run = viewer.feed.journal.run
        return cls(None, run, form, viewer.place, viewer.opening, framing, head, address)

    def make_viewer(self, journal: Journal, now: float) -> Viewer:
        """Make it anew."""
        return Viewer(find_feed(journal, self.form), self.place, self.opening, now)


class Begin(NamedTuple):
    """The viewer that was handed over is the engine's from now on; not answered."""


class Answer(NamedTuple):
    """Yes, or why not; where the seats are taken, by the facts of TooManyViewers."""

    refusal: str = ""
    limit: int = 0
    limited: str = ""

    @classmethod
    def of(cls, error: Exception) -> Answer:
        """Refuse."""
        if isinstance(error, TooManyViewers):
            return cls(str(error), error.limit, error.limited)
        known = isinstance(error, OutliveError | OSError)
        return cls(str(error) if known else f"{type(error).__name__}: {error}")


def encode(message: NamedTuple) -> bytes:
    """Write a message down; raises whatever a format does that cannot be."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def decode(data: bytes) -> Any:  # noqa: ANN401 - one of the above, or whatever somebody sent
    """Read a message; raises whatever comes of one that is none."""
    return pickle.loads(data)  # noqa: S301 - of our own user, see above


def receive(sock: socket.socket) -> tuple[bytes, int | None]:
    """Get a message, empty at the end, and its descriptor, unless there was none left for it."""
    room = socket.CMSG_SPACE(struct.calcsize("i"))
    data, others, _, _ = sock.recvmsg(SIZE, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in others:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return data, struct.unpack_from("i", content)[0]
    return data, None


def check_user(sock: socket.socket) -> None:
    """Raise PermissionError unless the other end is of our own user (unix(7), SO_PEERCRED)."""
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if _CREDENTIALS.unpack(found)[1] != os.geteuid():
        raise PermissionError("the engine there is another user's")


#: Process, user and group.
_CREDENTIALS = struct.Struct("iII")
