"""How a body goes over a connection that its server let go of."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CHUNKED", "CLOSED", "Framing"]


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
