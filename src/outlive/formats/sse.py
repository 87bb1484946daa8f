"""Server-Sent Events by the line, for any `EventSource` (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import accumulate, chain, islice

from ..entries import TEXT_KINDS, Entry, Gap, Kind, Position, incomplete_suffix
from .base import Format, describe, describe_start, encode_json

__all__ = ["SseFormat"]

#: A longer line is sent in pieces; the clients buffer a whole event.
LINE_LIMIT = 1024 * 1024 - 8
#: Lines that are written in one operation, during which no other thread has its turn: 2 ms.
LINE_COUNT = 4096


class SseFormat(Format):
    """Every line an unnamed event, everything else a named one with JSON.

    User bytes reach nothing but `data`, where CR, LF and CRLF would end a field: a bare CR begins
    a further `data:` line.
    """

    media_type = "text/event-stream; charset=utf-8"
    heartbeat = b":\n"
    reconnects = True

    def __init__(self, run: str) -> None:
        super().__init__(run)
        # In pieces, or a line of 1 GB in small entries would be copied again at each of them.
        self._pieces: tuple[bytes, ...] = ()
        self._pending_size = 0
        self._pending_is_new = False

    @property
    def likeness(self) -> Hashable:
        return type(self)

    @property
    def state(self) -> Hashable:
        return self._pieces, self._pending_size, self._pending_is_new

    @state.setter
    def state(self, state: tuple[tuple[bytes, ...], int, bool]) -> None:
        self._pieces, self._pending_size, self._pending_is_new = state

    @property
    def _pending(self) -> bytes:
        """The unfinished line."""
        return b"".join(self._pieces)

    @_pending.setter
    def _pending(self, text: bytes) -> None:
        self._pieces = (text,) if text else ()
        self._pending_size = len(text)

    def _keep(self, text: bytes) -> None:
        """Add to the unfinished line; no byte is copied more than some twenty times."""
        self._pending_size += len(text)
        self._pending_is_new = True
        pieces = [*self._pieces]
        while pieces and len(pieces[-1]) <= len(text):
            text = pieces.pop() + text
        self._pieces = (*pieces, text)

    def open(self, start: Entry, position: Position, *, resumed: bool) -> bytes:  # noqa: ARG002
        cursor = self.cursor(position)
        data = describe_start(start, cursor, position.line)
        return b"id: %b\nevent: start\ndata: %b\n\n" % (cursor.encode(), encode_json(data))

    def encode(self, entry: Entry) -> bytes:
        if entry.kind in TEXT_KINDS:
            return self._encode_text(entry)
        before = b""
        if entry.kind is Kind.GAP and Gap.of(entry).cuts_line:
            # The rest of this line is missing, and the gap counts it among its lines.
            self._pending = b""
        elif entry.kind is Kind.END:
            before = b"retry: 100\n"
            if self._pending_size:
                before = self._line(self._pending, Position(entry.offset, 0, entry.line)) + before
                self._pending = b""
        cursor = self.cursor(entry.after)
        identity = b"" if self._pending_size else b"id: %b\n" % cursor.encode()
        data = encode_json(describe(entry, cursor))
        return before + b"%bevent: %b\ndata: %b\n\n" % (identity, entry.kind.label.encode(), data)

    def partial(self) -> bytes:
        if not self._pending_size or not self._pending_is_new:
            return b""
        self._pending_is_new = False
        text = self._pending
        text = text[: len(text) - incomplete_suffix(text)]
        shown = text.rstrip(b"\r").rpartition(b"\r")[2]
        return b"event: partial\ndata: %b\n\n" % _readable(shown)

    def _encode_text(self, entry: Entry) -> bytes:
        text = entry.text
        if b"\n" not in text and self._pending_size + len(text) <= LINE_LIMIT:
            self._keep(text)
            return b""
        before = self._pending
        text = before + text
        # Where in the entry's text the first line of `text` would have begun.
        begin = entry.skip - len(before)
        first = text.find(b"\n")
        split = b""
        if (first if first >= 0 else len(text)) > LINE_LIMIT:
            # A cursor cannot lead back into an entry before: the cut comes behind what was kept.
            size = _character_start(text, max(LINE_LIMIT, len(before)))
            if size == len(text) and incomplete_suffix(text):
                self._pending, self._pending_is_new = text, True
                return b""
            split = self._line(text[:size], Position(entry.offset, begin + size, entry.line))
            text, begin = text[size:], begin + size
        whole, newline, self._pending = text.rpartition(b"\n")
        self._pending_is_new = bool(self._pending_size)
        if not newline:
            return split
        return split + self._encode_lines(whole, begin, entry)

    def _encode_lines(self, text: bytes, begin: int, entry: Entry) -> bytes:
        """Write whole lines; the hot path: each look and each operation for all of them."""
        lines = text.split(b"\n")
        places = list(accumulate((len(line) + 1 for line in lines), initial=begin))[1:]
        if b"\r" in text:
            lines = [line.rstrip(b"\r").replace(b"\r", b"\ndata: ") for line in lines]
        if not _is_readable(text):
            lines = [_readable(line) for line in lines]
        last = b""
        if not self._pending_size:
            # Behind the last line stands the next entry: its cursor says so.
            last = b"data: %b\nid: %b\n\n" % (lines.pop(), self.cursor(entry.after).encode())
        prefix = b"%b-%012x" % (self.run.encode(), entry.offset)
        template = b"data: %b\nid: " + prefix + b"%05x%09x\n\n"
        numbers = range(entry.line + 1, entry.line + 1 + len(lines))
        rows = chain.from_iterable(zip(lines, places, numbers, strict=False))
        parts = []
        while values := tuple(islice(rows, 3 * LINE_COUNT)):
            parts.append(template * (len(values) // 3) % values)
        return b"".join([*parts, last])

    def _line(self, line: bytes, position: Position) -> bytes:
        text = _readable(line.rstrip(b"\r")).replace(b"\r", b"\ndata: ")
        return b"data: %b\nid: %b\n\n" % (text, self.cursor(position).encode())


def _readable(text: bytes) -> bytes:
    """Replace what is not UTF-8: a stream of events is nothing else."""
    return text if _is_readable(text) else text.decode(errors="replace").encode()


def _is_readable(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _character_start(text: bytes, place: int) -> int:
    """Move a place forward, by at most three bytes, to where no UTF-8 character is cut."""
    stop = min(place + 3, len(text))
    while place < stop and text[place] & 0xC0 == 0x80:  # RFC 3629, section 3: it continues one
        place += 1
    return place
