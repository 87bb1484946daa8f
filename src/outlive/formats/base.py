"""What a format is, and the objects that the JSON formats send."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, ClassVar

from ..entries import TEXT_KINDS, Cursor, Entry, Gap, Kind, Position, RunRecord, render_time

__all__ = ["Format", "describe", "describe_start", "encode_entry", "encode_json", "render_gap"]


class Format(ABC):
    """Turns the entries that one viewer gets into bytes; knows nothing of time or sockets."""

    media_type: ClassVar[str]
    #: Sent when nothing else was for a while; empty where the format has no room for it.
    heartbeat: bytes = b""
    #: The seconds of that while; None leaves them to the viewer.
    silence: float | None = None
    #: Whether the client reconnects by itself, with the cursor it got last, until told to stop.
    reconnects: ClassVar[bool] = False
    #: Whether what it writes has an end.
    ends: ClassVar[bool] = True
    #: Whether to write an entry is to ask an application, which may take its time.
    asks: bool = False

    #: All that decides what the next entry becomes: given back to a format that is alike, it goes on.
    state: Any = None

    def __init__(self, run: str) -> None:
        self.run = run

    @property
    def likeness(self) -> Hashable:
        """What is equal for formats that write the same of the same; by itself, one is like no other."""
        return self

    def open(self, start: Entry, position: Position, *, resumed: bool) -> bytes:  # noqa: ARG002
        """Begin a stream at `position`; `resumed` tells that the client has seen what is before."""
        return b""

    @abstractmethod
    def encode(self, entry: Entry) -> bytes:
        """Write one entry, or keep what cannot be written before more is there."""

    def beat(self) -> bytes:
        """Write what tells that a silent run is still there, where it can be told now."""
        return self.heartbeat

    def partial(self) -> bytes:
        """Write what is there of an unfinished line, where that is new and the format has it."""
        return b""

    def cursor(self, position: Position) -> str:
        """Write a position as the client will send it back."""
        return str(Cursor(self.run, position))


def describe_start(start: Entry, cursor: str, line: int) -> dict[str, Any]:
    """Make the object that opens a stream: what the run is, and where the stream begins."""
    record = RunRecord.of(start)
    return {
        "id": cursor,
        "time": render_time(start.time),
        "kind": Kind.START.label,
        "origin": start.origin,
        "run": record.id,
        "title": record.title,
        "labels": record.labels,
        "owner": record.owner,
        "command": record.command,
        "line": line,
    }


def describe(entry: Entry, cursor: str) -> dict[str, Any]:
    """Make the object of an entry, as `entries` and `ndjson` send it."""
    common = {
        "id": cursor,
        "time": render_time(entry.time),
        "kind": entry.kind.label,
        "origin": entry.origin,
    }
    if entry.kind not in TEXT_KINDS or entry.kind is Kind.LOG:
        common |= entry.data
    if entry.kind not in TEXT_KINDS:
        return common
    text = entry.text
    try:
        return common | {"text": text.decode()}
    except UnicodeDecodeError:
        return common | {"bytes": base64.b64encode(text).decode()}


def encode_entry(entry: Entry, cursor: str) -> bytes:
    """Write the object of an entry, as `encode_json` would, large texts by all of their bytes.

    Replacing is twice as fast as the encoder, which looks at one character after the other.
    """
    text = entry.text if entry.kind in TEXT_KINDS else b""
    if len(text) < _LARGE or _RARE in text.translate(_RARITIES):
        return encode_json(describe(entry, cursor))
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    rest = encode_json(describe(entry._replace(skip=entry.skip + entry.text_size), cursor))
    return b'%b"text":"%b"}' % (rest.removesuffix(b'"text":""}'), text)


#: From so many bytes on, all of a text is looked at more quickly than one character after the other.
_LARGE = 1024
#: What replacing leaves to the encoder: it marks what is no ASCII, and rare control characters.
_RARE = b"\1"
_ESCAPES = [(bytes([code]), json.dumps(chr(code))[1:-1].encode()) for code in b'\\"\n\r\t\x1b\b']
_COMMON = {*range(0x20, 0x7F), *(plain[0] for plain, _ in _ESCAPES)}
_RARITIES = bytes(code not in _COMMON for code in range(256))


def encode_json(value: object) -> bytes:
    """Write JSON in one line of ASCII, so that no client has a reason to split it."""
    return _JSON.encode(value).encode()


# With options, `json.dumps` makes an encoder for each value, which costs more than to encode it.
_JSON = json.JSONEncoder(separators=(",", ":"))


def render_gap(gap: Gap) -> str:
    """Say in one line what is missing."""
    counts = [
        f"{count:,} {name if count != 1 else name[:-1]}"
        for count, name in ((gap.lines, "lines"), (gap.bytes, "bytes"))
        if count
    ]
    return f"[outlive: {', '.join(counts) or 'something'} missing here: {gap.reason}]"
