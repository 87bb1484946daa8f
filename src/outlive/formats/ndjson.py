"""One JSON object per line, for programs."""

from __future__ import annotations

from collections.abc import Hashable

from ..entries import Entry, Position
from .base import Format, describe_start, encode_entry, encode_json

__all__ = ["NdjsonFormat"]


class NdjsonFormat(Format):
    """One object per entry, each with the cursor that resumes behind it."""

    media_type = "application/x-ndjson"
    heartbeat = b"\n"

    @property
    def likeness(self) -> Hashable:
        return type(self)

    def open(self, start: Entry, position: Position, *, resumed: bool) -> bytes:
        if resumed:
            return b""
        return encode_json(describe_start(start, self.cursor(position), position.line)) + b"\n"

    def encode(self, entry: Entry) -> bytes:
        return encode_entry(entry, self.cursor(entry.after)) + b"\n"
