"""Server-Sent Events whose data are whole entries, for our own page."""

from __future__ import annotations

from collections.abc import Hashable

from ..entries import Entry, Kind, Position
from .base import Format, describe_start, encode_entry, encode_json

__all__ = ["EntriesFormat"]


class EntriesFormat(Format):
    """One event per entry, its data the same object as in `ndjson`."""

    media_type = "text/event-stream; charset=utf-8"
    # A comment without the blank line behind it: with one, some clients see an empty event.
    heartbeat = b":\n"
    reconnects = True

    @property
    def likeness(self) -> Hashable:
        return type(self)

    def open(self, start: Entry, position: Position, *, resumed: bool) -> bytes:
        if resumed:
            return b""
        cursor = self.cursor(position)
        return _event(cursor, encode_json(describe_start(start, cursor, position.line)))

    def encode(self, entry: Entry) -> bytes:
        cursor = self.cursor(entry.after)
        event = _event(cursor, encode_entry(entry, cursor))
        return b"retry: 100\n" + event if entry.kind is Kind.END else event


def _event(cursor: str, data: bytes) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (cursor.encode(), data)
