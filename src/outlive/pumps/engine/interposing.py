"""Take a connection from a server of WSGI that never knows: it answers into a dummy.

When the server asks for the first chunk, the connection is duplicated, and one end of a socketpair
put over the server's own descriptor. When it asks for the second, what it wrote is read from the
other end. Is that a plain head of HTTP/1 and the first chunk, the engine takes the connection;
otherwise it is put back, and the pump goes on that holds the server's thread. What a server had
already read of further requests, pipelined, is answered into the dummy: they end unanswered, with
the connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ...errors import EngineError
from ...viewers import Viewer
from .framings import CHUNKED, CLOSED, Framing

if TYPE_CHECKING:
    from .hosts import Host

__all__ = ["Interposed", "can_interpose", "hand_over", "read_framing"]

#: Bytes of a first chunk. Middleware may cut it up, and what nobody reads yet has room for 278
#: writes, however small: beyond them its server would wait for ever.
_FIRST_SIZE = 48
#: Bytes that are read for it, where nothing opens the stream.
_READ_SIZE = 32 * 1024
#: Bytes that are read at once of what a server wrote.
_RECEIVE_SIZE = 64 * 1024
#: Seconds that a client has to take what is put back.
_PATIENCE = 60.0


def can_interpose(connection: object, address: str | None = None) -> bool:
    """Tell whether this is a plain socket, with the other end at an address, where that is known.

    Others, as gevent's and those of TLS, have more than a descriptor.
    """
    if type(connection) is not socket.socket or socket.socket.__module__ != "socket":
        return False
    try:
        peer = connection.getpeername()
        # The ends of a dummy have no names: a server that goes on with one is at its end.
        if isinstance(peer, tuple):
            return address is None or peer[0] == address
        return bool(connection.getsockname())
    except OSError:
        return False


class _Pump(Protocol):
    """What goes on where the connection stays with its server."""

    def __next__(self) -> bytes: ...
    def close(self) -> None: ...


class Interposed:
    """What a server of WSGI iterates over: it is at its end once the engine has the connection."""

    def __init__(self, viewer: Viewer, connection: socket.socket, host: Host, pump: _Pump) -> None:
        self._viewer = viewer
        self._fd = connection.fileno()
        self._host = host
        self._pump = pump
        self._beginnings = self._begin()
        self._part = b""
        self._dummy: _Dummy | None = None
        self._is_taken = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._dummy is not None:
            self._judge(self._dummy)
        if self._is_taken:
            raise StopIteration
        part = next(self._beginnings, None)
        if part is None:
            return next(self._pump)
        self._part = part
        return part

    def _begin(self) -> Iterator[bytes]:
        """Give the first chunk, with the dummy in place: two, where a server writes none of nothing.

        So does cheroot, as PEP 3333 has it: then there is no head before the first byte of a text.
        """
        viewer = self._viewer
        opening = self._cut(viewer.open())
        yield from self._lay_over(opening)
        if not opening:
            chunk = viewer.feed.read(viewer.place, size=_READ_SIZE)
            opening = self._cut(b"".join(viewer.take(chunk, monotonic())))
            yield from self._lay_over(opening) if opening else ()

    def _cut(self, data: bytes) -> bytes:
        """Leave all but a few bytes to whoever goes on."""
        viewer = self._viewer
        if not viewer.finished:
            data, viewer.opening = data[:_FIRST_SIZE], data[_FIRST_SIZE:]
        return data

    def _lay_over(self, part: bytes) -> Iterator[bytes]:
        if not self._viewer.finished:
            # Without a descriptor left for it, the server keeps the connection.
            with contextlib.suppress(OSError):
                self._dummy = _Dummy(self._fd)
        yield part

    def _judge(self, dummy: _Dummy) -> None:
        """Give the connection to the engine, or back to the server."""
        written = dummy.read()
        framing = read_framing(written, self._part)
        if framing is not None:
            with contextlib.suppress(OSError, EngineError):
                self._host.adopt(dummy.real, self._viewer, framing, head=written)
                self._is_taken = True
                return
        self._dummy = None
        if written or self._part:
            self._beginnings = iter(())
        dummy.put_back(written)

    def close(self) -> None:
        """End it, unless the engine has it; the server has written its last to the dummy."""
        dummy, self._dummy = self._dummy, None
        if not self._is_taken:
            self._pump.close()
            if dummy is not None:
                # What the server wrote, and writes now, is for the client: its own answer to an error.
                dummy.put_back(dummy.read())
        elif dummy is not None:
            dummy.close()


def hand_over(viewer: Viewer, connection: socket.socket, host: Host, framing: Framing) -> bool:
    """Give the engine a connection on which the head is sent; False where its server keeps it."""
    try:
        dummy = _Dummy(connection.fileno())
    except OSError:
        return False
    try:
        host.adopt(dummy.real, viewer, framing)
    except (OSError, EngineError):
        dummy.put_back(b"")
        return False
    dummy.close()
    return True


class _Dummy:
    """One end of a socketpair in the place of a connection, which is duplicated before."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._blocks = os.get_blocking(fd)
        with contextlib.ExitStack() as failed:
            self.real = failed.enter_context(socket.socket(fileno=os.dup(fd)))
            self._end, inner = socket.socketpair()
            failed.pop_all()
        # Whatever an application has for `socket.setdefaulttimeout`.
        self._end.settimeout(0)
        # As a server that waits by itself has it.
        os.set_blocking(inner.fileno(), self._blocks)
        self._inner = os.fstat(inner.fileno())
        os.dup2(inner.fileno(), fd, inheritable=False)
        inner.close()

    def read(self) -> bytes:
        """Get what the server wrote."""
        written = b""
        with contextlib.suppress(OSError):
            while data := self._end.recv(_RECEIVE_SIZE):
                written += data
        return written

    def put_back(self, written: bytes) -> None:
        """Give the connection back to the server, and what that wrote to the client."""
        real, fd = self.real, self._fd
        try:
            real.settimeout(_PATIENCE)
            real.sendall(written)
        finally:
            os.set_blocking(real.fileno(), self._blocks)
            # The server may have closed it: by now that could be another's.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(fd), self._inner):
                    os.dup2(real.fileno(), fd, inheritable=False)
            real.close()
            self._end.close()

    def close(self) -> None:
        """End what the server has, so that it reads no more, and writes to nobody."""
        # Or what was never read would be a reset.
        self.read()
        self._end.close()


def read_framing(written: bytes, opening: bytes) -> Framing | None:
    """Find out how a server frames a body that begins like this; None where it is anything else."""
    head, found, body = written.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    version = status.partition(b" ")[0]
    if not found or version not in (b"HTTP/1.1", b"HTTP/1.0") or status[9:12] != b"200":
        return None
    pairs = (line.partition(b":") for line in lines)
    fields = [(name.lower(), value.strip().lower()) for name, _, value in pairs]
    headers = dict(fields)
    if b"content-length" in headers or headers.get(b"content-encoding", b"identity") != b"identity":
        return None
    coding = headers.get(b"transfer-encoding")
    if coding == b"chunked" and version == b"HTTP/1.1":
        return CHUNKED if _is_chunk(body, opening) else None
    if coding is None:
        # Of no length that is told, the end of the connection is the end (RFC 9112, section 6.3):
        # cheroot says no more to a client of HTTP/1.0.
        return CLOSED if body == opening else None
    return None


def _is_chunk(body: bytes, opening: bytes) -> bool:
    """Tell whether this is one chunk; a size has digits in either case (RFC 9112, section 7.1)."""
    if not opening:
        return not body
    size, _, data = body.partition(b"\r\n")
    return size.lower() == b"%x" % len(opening) and data == opening + b"\r\n"
