"""Take a connection from a server of WSGI that never knows: it answers into a dummy.

When the server asks for the first chunk, the connection is duplicated, and one end of a socketpair
put over the server's own descriptor. When it asks for the second, what it wrote is read from the
other end. Is that a plain head of HTTP/1 and the first chunk, the engine takes the connection;
otherwise it is put back, and the pump goes on that holds the server's thread.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator, Iterator
from typing import Any, Protocol

from ...viewers import Viewer
from .connections import CHUNKED, CLOSED, Framing
from .threads import adopt

__all__ = ["Interposed", "can_interpose", "read_framing"]

#: Bytes of a head; more than a socketpair holds would have the server wait for ever.
_LIMIT = 64 * 1024


def can_interpose(connection: Any) -> bool:  # noqa: ANN401 - a socket, or a file that reads one
    """Tell whether this may be a plain socket; whether it is turns out by what is written to it."""
    if connection is None:
        return False
    # Others, as gevent's and those of TLS, have more than a descriptor.
    if isinstance(connection, socket.socket) and type(connection) is not socket.socket:
        return False
    with contextlib.suppress(OSError, ValueError), _open_copy(connection.fileno()) as copy:
        return copy.type == socket.SOCK_STREAM and copy.family in _FAMILIES
    return False


_FAMILIES = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}


def _open_copy(fd: int) -> socket.socket:
    return socket.socket(fileno=os.dup(fd))


class _Pump(Protocol):
    """What goes on where the connection stays with its server."""

    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Interposed:
    """What a server of WSGI iterates over: it is at its end once the engine has the connection."""

    def __init__(self, viewer: Viewer, connection: Any, pump: _Pump) -> None:  # noqa: ANN401 - as above
        self._viewer = viewer
        self._fd: int = connection.fileno()
        self._pump = pump
        self._turns = self._iterate()
        self._dummy: socket.socket | None = None
        self._is_taken = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._turns)

    def _iterate(self) -> Generator[bytes, None, None]:
        opening = self._viewer.open()
        if len(opening) < _LIMIT:
            real = self._lay_over()
            try:
                yield opening
            except GeneratorExit:
                real.close()
                raise
            if self._take(real, opening):
                return
        else:
            yield opening
        yield from self._pump

    def _lay_over(self) -> socket.socket:
        """Put a dummy over the server's descriptor; gives the connection."""
        real = _open_copy(self._fd)
        self._dummy, inner = socket.socketpair()
        os.dup2(inner.fileno(), self._fd, inheritable=False)
        inner.close()
        return real

    def _take(self, real: socket.socket, opening: bytes) -> bool:
        """Give the connection to the engine, or back to the server."""
        written = self._read_dummy()
        framing = read_framing(written, opening)
        if framing is not None:
            self._is_taken = True
            adopt(real, self._viewer, framing, head=written)
            return True
        timeout = socket.getdefaulttimeout() or 60
        blocks = os.get_blocking(real.fileno())
        try:
            real.settimeout(timeout)
            real.sendall(written)
        finally:
            os.set_blocking(real.fileno(), blocks)
            os.dup2(real.fileno(), self._fd, inheritable=False)
            real.close()
        return False

    def _read_dummy(self) -> bytes:
        written = b""
        with contextlib.suppress(BlockingIOError):
            while self._dummy and (data := self._dummy.recv(_LIMIT, socket.MSG_DONTWAIT)):
                written += data
        return written

    def close(self) -> None:
        """End it, unless the engine has it; the server has written its last to the dummy."""
        self._turns.close()
        if self._dummy is not None:
            self._dummy.close()
        if not self._is_taken:
            self._pump.close()


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
    if coding is None and (version == b"HTTP/1.0" or headers.get(b"connection") == b"close"):
        return CLOSED if body == opening else None
    return None


def _is_chunk(body: bytes, opening: bytes) -> bool:
    """Tell whether this is one chunk; a size has digits in either case (RFC 9112, section 7.1)."""
    if not opening:
        return not body
    size, _, data = body.partition(b"\r\n")
    return size.lower() == b"%x" % len(opening) and data == opening + b"\r\n"
