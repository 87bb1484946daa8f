"""The outputs of a source: read in large pieces, written in whole lines and characters."""

from __future__ import annotations

import os
from time import monotonic

from ..entries import Kind, incomplete_suffix
from ..sources.base import has_data

__all__ = ["OutputBuffer"]

#: How long the beginning of a character waits for the rest of it.
_CHARACTER_SECONDS = 0.05

_BUFFER_SIZE = 256 * 1024
#: With so much read, an entry is written although more is there.
_ENOUGH = 128 * 1024


class OutputBuffer:
    """What was read of one output and not yet written.

    Entries of a flood end with a line where they can: the rest waits for the next read, which is
    there already. The beginning of a character waits for a moment.
    """

    def __init__(self, fd: int, kind: Kind) -> None:
        self.kind = kind
        self._fd = fd
        self._waits = os.get_blocking(fd)
        self._data = bytearray(_BUFFER_SIZE)
        self._view = memoryview(self._data)
        self._size = 0
        self.due = float("inf")

    def fill(self) -> tuple[bytes, bool]:
        """Read what there is; returns what is to be written, and whether the end was reached."""
        at_end, more = False, True
        while more and self._size < _ENOUGH:
            try:
                count = os.readv(self._fd, [self._view[self._size :]])
            except BlockingIOError:
                more = False
                break
            except OSError:
                # EIO: nobody has the pseudo-terminal open any more.
                count = 0
            at_end = count == 0
            self._size += count
            more = not at_end and not (self._waits and not has_data(self._fd))
        if at_end:
            return self.take(), True
        return self._take(self._complete(more=more and has_data(self._fd))), False

    def _complete(self, *, more: bool) -> int:
        """Count the bytes that can be written now."""
        lines = self._data.rfind(b"\n", 0, self._size) + 1 if more else 0
        if lines:
            return lines
        held = incomplete_suffix(bytes(self._view[max(0, self._size - 3) : self._size]))
        self.due = monotonic() + _CHARACTER_SECONDS if held else float("inf")
        return self._size - held

    def take(self) -> bytes:
        """Give everything out, complete or not."""
        self.due = float("inf")
        return self._take(self._size)

    def _take(self, count: int) -> bytes:
        data = bytes(self._view[:count])
        rest = bytes(self._view[count : self._size])
        self._view[: len(rest)] = rest
        self._size = len(rest)
        return data
