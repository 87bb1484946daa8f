"""A viewer: a cursor, a format and a policy. No socket, no clock, no thread.

Whoever pumps reads from the viewer's feed what follows its place, gives that to `take`, and sends
what it returns, until `finished`; where nothing follows, `deadline` tells when to look again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, Protocol

from .entries import BEGINNING, Cursor, Position, parse_time
from .errors import CursorExpired, FormatError
from .feeds import Chunk, Feed, Place, cut
from .formats import Format

__all__ = ["Origin", "Seat", "Viewer", "locate", "parse_origin"]

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


class Seat(Protocol):
    """A viewer's place among those who may watch at once: of this process, or of an engine's."""

    def name_run(self, run: str) -> None:
        """Say which run it turned out to be, once it is started; raises TooManyViewers."""

    def leave(self) -> None:
        """Let others have it; from any thread, any number of times."""


class Viewer:
    """Decides what one viewer is sent, and when. Times are seconds of any steady clock."""

    __slots__ = (
        "_beat_at", "_may_have_partial", "_partial_at", "_silence",
        "feed", "finished", "opening", "place", "seat",
    )  # fmt: skip

    def __init__(self, feed: Feed, place: Place, opening: bytes, now: float) -> None:
        self.feed = feed
        self.place = place
        #: Whoever pumps leaves it.
        self.seat: Seat | None = None
        self.finished = False
        #: What is yet to be sent before all else.
        self.opening = opening
        silence = feed.format.silence
        self._silence = HEARTBEAT if silence is None else silence
        self._beat_at = now + self._silence
        self._partial_at = now
        self._may_have_partial = False

    @property
    def format(self) -> Format:
        """What it is sent; shared with others who are sent the same."""
        return self.feed.format

    @property
    def leave(self) -> Callable[[], None]:
        """What to call once nothing is sent any more, any number of times; it keeps no viewer."""
        return _do_nothing if self.seat is None else self.seat.leave

    def open(self) -> bytes:
        """Get what opens its stream, to be sent before all else; once."""
        opening, self.opening = self.opening, b""
        return opening

    def follow(self, place: Place) -> None:
        """Be where others are, having been sent what they were."""
        self.place = place
        self._may_have_partial = True

    def take(self, chunk: Chunk, now: float) -> tuple[bytes, ...]:
        """Move on over a chunk, and get what is to be sent; `finished` behind the `end`."""
        self.place, self.finished = chunk.place, chunk.is_last
        opening = self.open()
        self._may_have_partial = chunk.has_entries or self._may_have_partial
        parts, partial = chunk.parts, self._partial(now)
        if opening or partial:
            # Not joined: others are sent the same bytes.
            parts = *cut(opening), *parts, *cut(partial)
        return self._sent(parts, now) or self.tick(now)

    def tick(self, now: float) -> tuple[bytes, ...]:
        """Get what is due by now although nothing new was appended."""
        data = self._partial(now)
        if not data and now >= self._beat_at:
            data, state = self.feed.beat(self.place.state)
            self._change(state)
            self._beat_at = now + self._silence
        return self._sent(cut(data), now)

    def deadline(self) -> float:
        """Tell when something is due, unless there is a chunk to take before."""
        return min(self._partial_at, self._beat_at) if self._may_have_partial else self._beat_at

    def _partial(self, now: float) -> bytes:
        if not self._may_have_partial or now < self._partial_at:
            return b""
        self._may_have_partial = False
        data, state = self.feed.partial(self.place.state)
        self._change(state)
        if data:
            self._partial_at = now + PARTIAL
        return data

    def _change(self, state: Hashable) -> None:
        if state is not self.place.state:
            self.place = self.place._replace(state=state)

    def _sent(self, parts: tuple[bytes, ...], now: float) -> tuple[bytes, ...]:
        if parts:
            self._beat_at = now + self._silence
        return parts


def _do_nothing() -> None:
    pass
