"""What a journal is, and all policy that its alternatives share.

An alternative stores entries and finds them again. Numbering, gaps, fragments of lines after a
gap, where viewers start and how they are woken are decided here, once.
"""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..entries import BEGINNING, TEXT_KINDS, End, Entry, Gap, Kind, Position

__all__ = [
    "READ_SIZE",
    "Journal",
    "JournalWriter",
    "Reader",
    "Scan",
    "Tail",
    "number",
    "split_text",
]

#: Bytes of payload that one turn of a reader takes at most (one entry may exceed it): large
#: enough that replay is bound by copying, small enough that a turn ends within a millisecond.
READ_SIZE = 256 * 1024

#: The largest payload of a text entry; longer writes are cut into several.
ENTRY_SIZE = 256 * 1024


class Tail(NamedTuple):
    """Where a journal stands after its last entry; `open` says that a line is unfinished."""

    sequence: int = 0
    line: int = 1
    text: int = 0
    open: bool = False

    def move(self, entry: Entry) -> Tail:
        """Where it stands once `entry` is there."""
        return Tail(
            entry.sequence + 1,
            entry.line + entry.newlines,
            entry.text_before + entry.text_size,
            entry.leaves_open,
        )


class Scan(NamedTuple):
    """What a look at a journal found; `broken` says why the first entry may not be the next."""

    entries: list[Entry]
    offset: int
    broken: str = ""


class Journal(ABC):
    """The log of one run, read by any number of readers."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._watchers: set[Callable[[], None]] = set()
        self._watchers_lock = threading.Lock()

    @abstractmethod
    def scan(self, offset: int, size: int) -> Scan:
        """Find the entries stored at and after `offset`, about `size` bytes of them."""

    @abstractmethod
    def start(self) -> Entry:
        """Get the entry that tells what the run is."""

    @abstractmethod
    def end(self) -> Entry | None:
        """Get the entry that tells how the run ended, if it did."""

    @abstractmethod
    def tail(self) -> tuple[Tail, int]:
        """Tell where the journal stands, and the offset behind its last entry."""

    @abstractmethod
    def last_where(self, key: Callable[[Entry], int], limit: int) -> Entry | None:
        """Find the last entry whose key, growing along the journal, is at most `limit`."""

    @abstractmethod
    def request_cancel(self) -> None:
        """Ask the run's writer to end it."""

    @abstractmethod
    def cancel_requested(self) -> bool:
        """Tell whether somebody asked for that."""

    @abstractmethod
    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback`, from any thread, when that may have been asked; returns a stop."""

    def settle(self) -> None:  # noqa: B027 - a journal whose writer cannot die has nothing to do
        """Look whether the writer is gone without an `end`, and give the run one if so."""

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from any thread whenever something happened; returns how to stop."""
        with self._watchers_lock:
            self._watchers.add(callback)

        def stop() -> None:
            with self._watchers_lock:
                self._watchers.discard(callback)

        return stop

    def notify(self) -> None:
        """Wake everybody who watches."""
        # A snapshot taken without the lock could change under the iteration.
        if self._watchers:
            with self._watchers_lock:
                watchers = list(self._watchers)
            for callback in watchers:
                callback()

    def locate_line(self, line: int) -> Position:
        """Find the beginning of a line; the end of the text where there is no such line yet."""
        if line <= 1:
            return BEGINNING
        entry = self.last_where(_line_of, line - 1)
        if entry is None:
            return BEGINNING
        if entry.line + entry.newlines < line:
            return self.locate_end()
        if entry.kind not in TEXT_KINDS:
            return entry.after
        return Position(entry.offset, _after_newline(entry.text, line - entry.line), line)

    def locate_tail(self, lines: int) -> Position:
        """Find where the last `lines` lines begin; an unfinished last line is one of them."""
        if lines <= 0:
            return self.locate_end()
        tail, _ = self.tail()
        return self.locate_line(max(1, tail.line + tail.open - lines))

    def locate_time(self, time: int) -> Position:
        """Find the first entry that is not older than `time`."""
        entry = self.last_where(_time_of, time - 1)
        return BEGINNING if entry is None else entry.after

    def locate_end(self) -> Position:
        """Find the end of the log, but before the `end`, which everybody may know."""
        end = self.end()
        if end is not None:
            return Position(end.offset, 0, end.line)
        tail, offset = self.tail()
        return Position(offset, 0, tail.line)


def _line_of(entry: Entry) -> int:
    return entry.line


def _time_of(entry: Entry) -> int:
    return entry.time


def _after_newline(text: bytes, count: int) -> int:
    place = 0
    for _ in range(count):
        place = text.find(b"\n", place) + 1
    return place


class JournalWriter(ABC):
    """The one who appends to a journal. Safe to use from several threads."""

    journal: Journal
    #: Called with the error when entries begin to be lost: once each time.
    on_trouble: Callable[[OSError], None] = staticmethod(lambda _: None)

    @abstractmethod
    def append(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        """Add an entry, acknowledged on return: it survives the death of this process.

        Text longer than 256 KiB becomes several entries. Where the entry cannot be stored, the
        work is not disturbed: a gap will tell what is missing.
        """

    @abstractmethod
    def sync(self) -> None:
        """Make all that was acknowledged survive a loss of power."""

    @abstractmethod
    def close(self, end: End) -> None:
        """Append the `end` and let go of the journal."""


class Reader:
    """A cursor in a journal: gives out each entry once, in order, and a gap where some miss.

    `position` is the place behind what was given out; `ended` tells that nothing will follow.
    """

    def __init__(self, journal: Journal, position: Position = BEGINNING) -> None:
        self.journal = journal
        self.position = position
        self.ended = False
        self._offset = position.offset
        self._broken = ""
        self._cut = False
        # From anywhere but the beginning, only the line number is known for sure.
        self._tail = Tail() if position == BEGINNING else None

    def read(self, size: int = READ_SIZE) -> list[Entry]:
        """Get the next entries, about `size` bytes of them; none where there is nothing new."""
        if self.ended:
            return []
        scan = self.journal.scan(self._offset, size)
        self._broken = self._broken or scan.broken
        self._offset = scan.offset
        found: list[Entry] = []
        for entry in scan.entries:
            self._admit(entry, found)
        return found

    def _admit(self, entry: Entry, found: list[Entry]) -> None:
        whole = entry
        gap = self._missing_before(entry)
        seen = self.position.offset == entry.offset and min(self.position.byte, entry.text_size)
        if seen:
            entry = entry.from_byte(seen, self.position.line)
        elif (self._cut or (gap and gap.bytes != 0)) and entry.kind in TEXT_KINDS:
            gap, entry = _without_fragment(gap, entry)
        if gap:
            found.append(_gap_entry(gap, entry))
        self._cut = entry.kind not in TEXT_KINDS and bool(
            self._cut or (gap and gap.bytes != 0) or (entry.kind is Kind.GAP and entry.text_size)
        )
        self._broken = ""
        self._tail = (self._tail or Tail()).move(whole)
        self.position = entry.after
        self.ended = entry.kind is Kind.END
        if not seen or entry.text_size:
            found.append(entry)

    def _missing_before(self, entry: Entry) -> Gap | None:
        reason = self._broken or "damaged"
        tail = self._tail
        if tail is None:
            return (
                Gap(None, None, entry.line - self.position.line, reason) if self._broken else None
            )
        if (tail.sequence, tail.text) == (entry.sequence, entry.text_before):
            return None
        return Gap(
            entry.sequence - tail.sequence,
            entry.text_before - tail.text,
            entry.line - tail.line,
            reason,
        )


def _without_fragment(gap: Gap | None, entry: Entry) -> tuple[Gap | None, Entry]:
    """Move the rest of a line whose beginning is missing into the gap before it.

    Shown, it would look like a line that nobody wrote. A line longer than an entry is shown.
    """
    if not entry.opens:
        return gap, entry
    size = entry.text.find(b"\n") + 1
    if not size:
        return gap, entry
    gap = gap or Gap(0, 0, 0, "its line is cut")
    missing = Gap(
        gap.entries,
        None if gap.bytes is None else gap.bytes + size,
        None if gap.lines is None else gap.lines + 1,
        gap.reason,
    )
    return missing, entry.from_byte(size, entry.line + 1)


def _gap_entry(gap: Gap, following: Entry) -> Entry:
    """Make the entry that tells of a gap, in front of the one that follows it."""
    return following._replace(
        kind=Kind.GAP,
        payload=gap.encode(),
        newlines=gap.lines or 0,
        text_size=gap.bytes or 0,
        after=Position(following.offset, following.skip, following.line),
        skip=0,
    )


def split_text(kind: Kind, payload: bytes) -> Iterator[bytes]:
    """Cut a payload into such that fit into entries, between characters."""
    if len(payload) <= ENTRY_SIZE or kind not in TEXT_KINDS:
        yield payload
        return
    head = payload[: payload.index(b"\n") + 1] if kind is Kind.LOG else b""
    start = len(head)
    while start < len(payload):
        stop = _character_end(payload, start + ENTRY_SIZE - len(head))
        yield head + payload[start:stop]
        start = stop


def _character_end(text: bytes, stop: int) -> int:
    """Move `stop` back, by at most three bytes, to where no UTF-8 character is cut."""
    if stop >= len(text):
        return len(text)
    for back in range(4):
        # RFC 3629, section 3: a byte that continues a character is 10xxxxxx.
        if text[stop - back] & 0xC0 != 0x80:
            return stop - back
    return stop


def number(tail: Tail, kind: Kind, payload: bytes, origin: int, offset: int) -> Entry:
    """Make the entry that follows `tail`; whoever stores it fills in `after`."""
    newlines = size = 0
    leaves_open = tail.open
    if kind in TEXT_KINDS:
        head = payload.index(b"\n") + 1 if kind is Kind.LOG else 0
        size = len(payload) - head
        newlines = payload.count(b"\n") - bool(head)
        leaves_open = not payload.endswith(b"\n") if size else tail.open
    elif kind is Kind.GAP:
        gap = json.loads(payload)
        newlines, size = gap["lines"] or 0, gap["bytes"] or 0
    return Entry(
        kind,
        payload,
        origin,
        time.time_ns(),
        time.monotonic_ns(),
        tail.sequence,
        tail.line,
        tail.text,
        newlines,
        size,
        tail.open,
        leaves_open,
        offset,
        Position(offset, 0, tail.line + newlines),
    )
