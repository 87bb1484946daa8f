"""The run's text as it is, for people and for programs that read text."""

from __future__ import annotations

from ..entries import TEXT_KINDS, Entry, Gap, Kind
from .base import Format

__all__ = ["TextFormat", "render_gap"]


class TextFormat(Format):
    """The bytes of `out`, `err` and `log`; nothing added, but a gap is a line in brackets."""

    media_type = "text/plain; charset=utf-8"

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self._open = False

    def encode(self, entry: Entry) -> bytes:
        if entry.kind in TEXT_KINDS:
            text = entry.text
            self._open = not text.endswith(b"\n") if text else self._open
            return text
        if entry.kind is Kind.GAP:
            newline = b"\n" if self._open else b""
            self._open = False
            return newline + render_gap(Gap.of(entry)).encode() + b"\n"
        return b""


def render_gap(gap: Gap) -> str:
    """Say in one line what is missing."""
    counts = [
        f"{count:,} {name if count != 1 else name[:-1]}"
        for count, name in ((gap.lines, "lines"), (gap.bytes, "bytes"))
        if count
    ]
    return f"[outlive: {', '.join(counts) or 'something'} missing here: {gap.reason}]"
