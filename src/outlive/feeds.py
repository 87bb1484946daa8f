"""What a format makes of a journal: read once and encoded once for all who view it.

A viewer is a place and no buffer. Whoever comes first to a place reads what follows, a chunk;
others at the same place get the same bytes. One that is elsewhere (it came late, or in the middle
of a line) reads for itself, but not beyond where others were: there it joins them.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from .entries import Kind, Position
from .errors import JournalError
from .formats import Format
from .journals.base import READ_SIZE, Journal
from .journals.readers import Reader, Reading

__all__ = ["SEND_SIZE", "Chunk", "Feed", "Place", "cut", "find_feed"]

#: Bytes per send: how fine the progress of a slow client can be seen. A send costs about 60 µs
#: above copying, and the kernel lets a full socket take more only by the third of its buffer.
SEND_SIZE = 256 * 1024
#: Bytes, and chunks, that a feed keeps for those who follow.
KEPT_SIZE = 1024 * 1024
KEPT_COUNT = 64


class Place(NamedTuple):
    """Where a viewer is: in the journal, and in what its format has begun."""

    reading: Reading
    state: Hashable


class Chunk(NamedTuple):
    """What follows a place, ready to be sent; `is_last` where that was the run's end."""

    parts: tuple[bytes, ...]
    place: Place
    has_entries: bool
    is_last: bool

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(map(len, self.parts))


class Feed:
    """One journal in one format, for all viewers. Safe to use from several threads."""

    def __init__(self, journal: Journal, form: Format) -> None:
        self.journal = journal
        self.format = form
        self._viewers = 0
        self._viewers_lock = threading.Lock()
        self._state = form.state
        self._has_partials = type(form).partial is not Format.partial
        self._reader = Reader(journal)
        # Held while one chunk of bounded size is made: who wants the same waits for it.
        self._lock = threading.Lock()
        self._chunks: dict[Place, Chunk] = {}
        self._chunks_size = 0
        #: The furthest place where anybody was, by its offset.
        self._head = 0
        #: Where nothing followed: that place, since which news, and the answer.
        self._nothing: tuple[Place | None, object, Chunk | None] = (None, None, None)
        #: The last state whose unfinished line was written, with the answer.
        self._glimpse: tuple[Hashable, tuple[bytes, Hashable]] | None = None

    def begin(self, position: Position) -> Place:
        """Get the place of a viewer that begins at a position."""
        return Place(Reader(self.journal, position).place, self._state)

    def enter(self) -> None:
        """Count one more viewer: for one alone nothing is kept."""
        with self._viewers_lock:
            self._viewers += 1

    def leave(self) -> None:
        """Count one viewer less."""
        with self._viewers_lock:
            self._viewers -= 1

    @property
    def is_busy(self) -> bool:
        """Whether who reads now may have to wait."""
        return self._lock.locked()

    def read(self, place: Place, since: object = None, size: int = READ_SIZE) -> Chunk:
        """Get what follows a place.

        `since` stands for the last news of the journal: where nothing followed, nobody looks again
        as long as that is the same.
        """
        found = self._find(place, since)
        if found is not None:
            return found
        with self._lock:
            return self._find(place, since) or self._read(place, since, size)

    def read_to(self, place: Place, offset: int) -> Chunk:
        """Get what follows a place, and is before an offset of the journal; nothing is kept of it."""
        with self._lock:
            return self._make(place, READ_SIZE, offset)

    def read_again(self, place: Place, after: Place) -> tuple[bytes, ...]:
        """Get once more what was between two places; raises JournalError where it is gone."""
        pieces: list[bytes] = []
        with self._lock:
            reader, form = self._reader, self.format
            reader.place, form.state = place
            while entries := reader.read(READ_SIZE, after.reading.offset):
                pieces += [form.encode(entry) for entry in entries]
                if reader.place.offset >= after.reading.offset:
                    break
            if (reader.place, form.state) != after:
                raise JournalError(
                    "what was there is there no more: the oldest entries are removed"
                )
        return _pack(pieces)

    def partial(self, state: Hashable) -> tuple[bytes, Hashable]:
        """Write the unfinished line of a state, and get the state after that."""
        if not self._has_partials:
            return b"", state
        known = self._glimpse
        if known is not None and known[0] == state:
            return known[1]
        with self._lock:
            self.format.state = state
            written = self.format.partial(), self.format.state
            if self._viewers > 1:
                self._glimpse = state, written
        return written

    def beat(self, state: Hashable) -> tuple[bytes, Hashable]:
        """Write what tells that a silent run is still there, and get the state after that."""
        with self._lock:
            self.format.state = state
            return self.format.beat(), self.format.state

    def _find(self, place: Place, since: object) -> Chunk | None:
        where, when, chunk = self._nothing
        if when is since and where == place:
            return chunk
        return self._chunks.get(place)

    def _read(self, place: Place, since: object, size: int) -> Chunk:
        is_shared = self._viewers > 1
        is_behind = is_shared and place.reading.offset < self._head
        chunk = self._make(place, size, self._head if is_behind else None)
        if is_shared and chunk.has_entries:
            self._keep(place, chunk)
        elif is_shared and since is not None:
            self._nothing = place, since, chunk
        return chunk

    def _make(self, place: Place, size: int, stop: int | None) -> Chunk:
        reader, form = self._reader, self.format
        reader.place, form.state = place
        entries = reader.read(size, stop)
        parts = _pack([form.encode(entry) for entry in entries])
        is_last = bool(entries) and entries[-1].kind is Kind.END
        return Chunk(parts, Place(reader.place, form.state), bool(entries), is_last)

    def _keep(self, place: Place, chunk: Chunk) -> None:
        self._chunks[place] = chunk
        self._chunks_size += chunk.size
        self._head = max(self._head, chunk.place.reading.offset)
        while self._chunks_size > KEPT_SIZE or len(self._chunks) > KEPT_COUNT:
            # The last one stays, however large: all others are about to ask for it.
            if len(self._chunks) == 1:
                break
            oldest = self._chunks.pop(next(iter(self._chunks)))
            self._chunks_size -= oldest.size


def _pack(pieces: list[bytes]) -> tuple[bytes, ...]:
    """Join pieces into what is sent at once; each is copied once, and a large one not at all."""
    if sum(map(len, pieces)) <= SEND_SIZE:
        return cut(b"".join(pieces))
    packed: list[bytes] = []
    some: list[bytes] = []
    size = 0
    for piece in pieces:
        if some and size + len(piece) > SEND_SIZE:
            packed += cut(b"".join(some))
            some, size = [], 0
        some.append(piece)
        size += len(piece)
    return *packed, *cut(b"".join(some))


def cut(data: bytes) -> tuple[bytes, ...]:
    """Cut bytes into what is sent at once; a whole is not copied."""
    if len(data) <= SEND_SIZE:
        return (data,) if data else ()
    return tuple(data[place : place + SEND_SIZE] for place in range(0, len(data), SEND_SIZE))


_feeds: WeakKeyDictionary[Journal, WeakValueDictionary[Hashable, Feed]] = WeakKeyDictionary()


def find_feed(journal: Journal, form: Format) -> Feed:
    """Get the feed of a journal in a format, or in one that writes the same."""
    # Of two threads that make one at once, each has its own: less is shared, and nothing is wrong.
    feeds = _feeds.setdefault(journal, WeakValueDictionary())
    feed = feeds.get(form.likeness)
    if feed is None:
        feed = feeds[form.likeness] = Feed(journal, form)
    return feed
