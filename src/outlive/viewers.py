"""A viewer: a cursor, a format and a policy. No socket, no clock, no thread.

Whoever pumps asks `deadline` how long to sleep, gives new entries to `feed`, calls `tick` when
the deadline has come, and sends the bytes that both return until `finished`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from .entries import BEGINNING, Cursor, Entry, Kind, Position, parse_time
from .errors import CursorExpired, FormatError
from .formats import Format

__all__ = ["Origin", "Viewer", "locate", "parse_origin"]

#: Seconds; proxies cut what is silent for 60 (nginx, AWS) or 30 (HAProxy's examples).
HEARTBEAT = 15.0
#: Seconds between two looks at an unfinished line.
PARTIAL = 0.2


class Origin(NamedTuple):
    """Where a viewer asked to start; `what` is beginning, cursor, line, tail or time."""

    what: str = "beginning"
    value: int = 0
    cursor: Cursor | None = None


class Locator(Protocol):
    """What finding a start needs of a journal."""

    run: str

    def locate_line(self, line: int) -> Position: ...
    def locate_tail(self, lines: int) -> Position: ...
    def locate_time(self, time: int) -> Position: ...


def parse_origin(query: Mapping[str, str], last_event_id: str = "") -> Origin:
    """Read where to start; what a reconnecting client got last beats what its URL says.

    Raises FormatError or CursorExpired.
    """
    token = last_event_id or query.get("from", "")
    if token:
        return Origin("cursor", cursor=Cursor.parse(token))
    given = [name for name in ("line", "tail", "time") if name in query]
    if len(given) > 1:
        raise FormatError(f"one place to start is enough: {' or '.join(given)}")
    if not given:
        return Origin()
    name, text = given[0], query[given[0]]
    if name == "time":
        # A plus sign in a query is a blank, unless somebody escaped it.
        return Origin(name, parse_time(text.replace(" ", "+")))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise FormatError(f"{name} must be a number, not {text[:40]!r}")
    if name == "line" and not int(text):
        raise FormatError("lines are counted from 1")
    return Origin(name, int(text))


def locate(origin: Origin, journal: Locator) -> Position:
    """Find the position of a start in a journal."""
    if origin.cursor is not None:
        if origin.cursor.run != journal.run:
            raise CursorExpired(str(origin.cursor))
        return origin.cursor.position
    if origin.what == "line":
        return journal.locate_line(origin.value)
    if origin.what == "tail":
        return journal.locate_tail(origin.value)
    if origin.what == "time":
        return journal.locate_time(origin.value)
    return BEGINNING


class Viewer:
    """Decides what one viewer is sent, and when. Times are seconds of any steady clock."""

    #: To be called once nothing is sent any more, by whoever pumps; any number of times.
    leave: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, form: Format, opening: bytes, now: float) -> None:
        self.format = form
        self.finished = False
        self._opening = opening
        self._silence = HEARTBEAT if form.silence is None else form.silence
        self._beat_at = now + self._silence
        self._partial_at = now
        self._may_have_partial = False

    def feed(self, entries: list[Entry], now: float) -> bytes:
        """Write what these entries bring; `finished` once the `end` was among them."""
        parts = [self._opening]
        self._opening = b""
        for entry in entries:
            parts.append(self.format.encode(entry))
            self.finished = entry.kind is Kind.END
        self._may_have_partial = bool(entries) or self._may_have_partial
        parts.append(self._partial(now))
        return self._sent(b"".join(parts), now)

    def tick(self, now: float) -> bytes:
        """Write what is due by now although nothing new was appended."""
        data = self._partial(now)
        if not data and now >= self._beat_at:
            data = self.format.beat()
            self._beat_at = now + self._silence
        return self._sent(data, now)

    def deadline(self) -> float:
        """Tell when to call `tick`, unless there are entries to feed before."""
        return min(self._partial_at, self._beat_at) if self._may_have_partial else self._beat_at

    def _partial(self, now: float) -> bytes:
        if not self._may_have_partial or now < self._partial_at:
            return b""
        self._may_have_partial = False
        data = self.format.partial()
        if data:
            self._partial_at = now + PARTIAL
        return data

    def _sent(self, data: bytes, now: float) -> bytes:
        if data:
            self._beat_at = now + self._silence
        return data
