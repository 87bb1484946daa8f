"""The run's text as it is, for people and for programs that read text."""

from __future__ import annotations

from collections.abc import Hashable

from ..entries import TEXT_KINDS, Entry, Gap, Kind
from ..errors import FormatError
from .base import Format, render_gap

__all__ = ["TextFormat"]


class TextFormat(Format):
    """The bytes of `out`, `err` and `log`; nothing added, but a gap is a line in brackets.

    `mark` is what breaks a silence: after how many seconds, and with what text. It is never put
    into a line: while one is unfinished there is none, so that who takes the marks out of the
    text has the output.
    """

    media_type = "text/plain; charset=utf-8"

    def __init__(self, run: str, mark: tuple[float, str] | None = None) -> None:
        super().__init__(run)
        self._open = False
        if mark is not None:
            seconds, text = mark
            if not seconds > 0:
                raise FormatError(f"a mark for silence needs more than 0 seconds, not {seconds}")
            self.silence, self.heartbeat = seconds, text.encode()

    @property
    def likeness(self) -> Hashable:
        return type(self), self.silence, self.heartbeat

    @property
    def state(self) -> Hashable:
        return self._open

    @state.setter
    def state(self, state: bool) -> None:
        self._open = state

    def beat(self) -> bytes:
        return b"" if self._open else self.heartbeat

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
