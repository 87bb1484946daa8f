"""What a journal is, and all policy that its alternatives share.

An alternative stores entries and finds them again. Numbering, gaps, fragments of lines after a
gap, where viewers start and how they are woken are decided here, once.
"""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..entries import BEGINNING, TEXT_KINDS, End, Entry, Gap, Kind, Position
from ..errors import JournalError

__all__ = [
    "PAYLOAD_LIMIT",
    "READ_COUNT",
    "READ_SIZE",
    "Journal",
    "JournalWriter",
    "Reader",
    "Scan",
    "Tail",
    "Unwritten",
    "count_newlines",
    "make_entry",
    "measure_text",
    "remove_folder",
    "split_all",
    "split_text",
]

#: Bytes that one turn of a reader takes at most (one entry may exceed it), four entries of 64 KiB:
#: large enough that replay is bound by copying, small enough to stay in a processor's cache.
READ_SIZE = 264 * 1024
#: Entries that one turn takes at most: the smallest take some microseconds each.
READ_COUNT = 1024

#: The largest payload of a text entry; longer writes are cut into several.
ENTRY_SIZE = 256 * 1024

#: The largest payload of any other entry; a header that claims more is damaged.
PAYLOAD_LIMIT = 16 * 1024 * 1024

#: What is to become an entry: kind, payload and origin.
Unwritten = tuple[Kind, bytes, int]


class Tail(NamedTuple):
    """Where a journal stands after its last entry; `open` says that a line is unfinished."""

    sequence: int = 0
    line: int = 1
    text: int = 0
    open: bool = False

    @property
    def lines(self) -> int:
        """How many lines there are; an unfinished one is one of them."""
        return self.line - 1 + self.open

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

    #: Told by a writer in this process of each stage, and of the `end`, once it was appended.
    on_news: Callable[[Kind, bytes], None] = staticmethod(lambda *_: None)

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
    def size(self) -> int:
        """Count the bytes that it takes."""

    @abstractmethod
    def remove_oldest(self, kept_size: int) -> None:
        """Remove the oldest entries until about `kept_size` bytes are left; readers see a gap."""

    @abstractmethod
    def request_cancel(self) -> None:
        """Ask the run's writer to end it."""

    @abstractmethod
    def cancel_requested(self) -> bool:
        """Tell whether somebody asked for that."""

    @abstractmethod
    def add_view(self, view: str) -> None:
        """Note that a view of a web application shows this run; raises JournalUnavailable."""

    @abstractmethod
    def has_view(self, view: str) -> bool:
        """Tell whether that was noted, by whichever process."""

    @abstractmethod
    def make_folder(self) -> Path:
        """Make a folder for files of the run; with all that is in it, it goes before the `end`.

        Raises OSError.
        """

    def watch_life(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback`, from any thread, when that may have been asked, or the run has ended.

        Returns a stop. Cheaper than to be woken by every entry.
        """
        return self.watch(callback)

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
        if self._watchers:
            # A snapshot taken without the lock could change under the iteration.
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
        if entry.kind is Kind.END:
            return self.locate_end()
        if entry.line + entry.newlines < line:
            # It is not there yet, or the next entry is behind a gap.
            return entry.after
        if entry.kind in TEXT_KINDS and entry.payload:
            return Position(entry.offset, _after_newline(entry.text, line - entry.line), line)
        # It is missing, or its beginning is: whoever asks for it is told so.
        return Position(entry.offset, 0, entry.line)

    def locate_tail(self, lines: int) -> Position:
        """Find where the last `lines` lines begin; an unfinished last line is one of them."""
        if lines <= 0:
            return self.locate_end()
        tail, _ = self.tail()
        return self.locate_line(max(1, tail.lines + 1 - lines))

    def locate_time(self, time: int) -> Position:
        """Find the first entry that is not older than `time`."""
        entry = self.last_where(_time_of, time - 1)
        if entry is not None and entry.kind is Kind.END:
            return self.locate_end()
        return BEGINNING if entry is None else entry.after

    def locate_end(self) -> Position:
        """Find the end of the log, but before the `end`, which everybody may know."""
        end = self.end()
        if end is not None:
            return Position(end.offset, 0, end.line)
        tail, offset = self.tail()
        return Position(offset, 0, tail.line)


def remove_folder(folder: Path | None) -> None:
    """Remove a folder with all that is in it, if there is one."""
    if folder is not None and folder.exists():
        # Late: it brings all compressors.
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


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

    def append(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        """Add an entry, acknowledged on return: it survives the death of this process.

        Text longer than 256 KiB becomes several entries. Where the entry cannot be stored, the
        work is not disturbed: a gap will tell what is missing. Raises RunFinished after the `end`.
        """
        self.append_all([(kind, payload, origin)])

    @abstractmethod
    def append_all(self, entries: Sequence[Unwritten]) -> None:
        """Add several entries, as `append` does, for little more than one costs."""

    def tell_news(self, entries: Sequence[Unwritten]) -> None:
        """Tell the journal of stages, and of the `end`, once they were appended."""
        for kind, payload, _ in entries:
            if kind is _STAGE or kind is _END:
                self.journal.on_news(kind, payload)

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
        # Bytes of a line without beginning that were left out and not yet told of.
        self._skipped = 0
        # From anywhere but the beginning, only the line number is known for sure.
        self._origin = Tail() if position == BEGINNING else None
        self._last: Entry | None = None

    def read(self, size: int = READ_SIZE) -> list[Entry]:
        """Get the next entries, about `size` bytes of them; none where there is nothing new."""
        found: list[Entry] = []
        while not found and not self.ended:
            scan = self.journal.scan(self._offset, size)
            self._broken = self._broken or scan.broken
            self._offset = scan.offset
            for entry in scan.entries:
                if self._follows(entry):
                    self.position, self._last = entry.after, entry
                    found.append(entry)
                else:
                    self._admit(entry, found)
            if not scan.entries:
                break
        return found

    def _follows(self, entry: Entry) -> bool:
        """Tell whether this is text right behind what was given out last: nearly all is."""
        last = self._last
        return (
            last is not None
            and entry.sequence == last.sequence + 1
            and entry.text_before == last.text_before + last.text_size
            and entry.line == self.position.line
            and entry.kind in TEXT_KINDS
            and entry.text_size > 0
            and not self._skipped
            and not self._broken
        )

    def _admit(self, entry: Entry, found: list[Entry]) -> None:
        """Give out an entry, and before it what is missing.

        A line whose beginning is missing is missing as a whole, and counted as soon as that is
        known: its rest would look like a line that nobody wrote.
        """
        gap = self._missing_before(entry)
        after = entry.after
        if self.position.offset == entry.offset and self.position.byte and _has_text(entry):
            entry = entry.from_byte(min(self.position.byte, entry.text_size))
        cut = entry.line < self.position.line or bool(gap and gap.cuts_line and entry.opens)
        if cut and _has_text(entry):
            size = entry.text.find(b"\n") + 1 or entry.text_size
            self._skipped += size
            entry = entry.from_byte(size)
        told = entry.line + (cut and entry.opens)
        given = entry.text_size > 0 or entry.kind not in TEXT_KINDS
        if gap or (self._skipped and (given or not entry.opens)):
            found.append(self._tell(gap or Gap(0, 0, 0, "its line is cut"), entry, told))
        self.position = Position(after.offset, 0, max(after.line, told))
        if entry.kind is Kind.GAP:
            entry = self._with_cut_line(entry, told)
        self.ended = entry.kind is Kind.END
        if given:
            found.append(entry if self.position == after else entry._replace(after=self.position))

    def _missing_before(self, entry: Entry) -> Gap | None:
        reason, self._broken = self._broken, ""
        tail = self._origin if self._last is None else Tail().move(self._last)
        self._last = entry
        if tail is None:
            return Gap(None, None, 0, reason) if reason else None
        if (tail.sequence, tail.text) == (entry.sequence, entry.text_before):
            return None
        missing = entry.sequence - tail.sequence, entry.text_before - tail.text
        return Gap(*missing, 0, reason or "damaged")

    def _tell(self, gap: Gap, following: Entry, told: int) -> Entry:
        """Make the entry that tells of a gap: all lines before line `told` are dealt with."""
        line = self.position.line
        size = None if gap.bytes is None else gap.bytes + self._skipped
        gap = gap._replace(bytes=size, lines=max(0, told - line))
        self._skipped = 0
        return following._replace(
            kind=Kind.GAP,
            payload=gap.encode(),
            line=line,
            text_before=following.text_before - (size or 0),
            newlines=gap.lines or 0,
            text_size=size or 0,
            after=Position(following.offset, following.skip, told),
            skip=0,
        )

    def _with_cut_line(self, entry: Entry, told: int) -> Entry:
        """Count the line that a stored gap leaves without beginning among its lines."""
        gap = Gap.of(entry)
        if gap.lines is None:
            return entry
        cut = entry.text_size > 0 and entry.leaves_open
        line = max(entry.after.line + cut, told)
        self.position = self.position._replace(line=line)
        payload = gap._replace(lines=line - told).encode()
        return entry._replace(payload=payload, line=told, newlines=line - told)


def _has_text(entry: Entry) -> bool:
    return entry.kind in TEXT_KINDS and entry.text_size > 0


def split_text(kind: Kind, payload: bytes) -> Iterator[bytes]:
    """Cut a payload into such that fit into entries, between characters."""
    if kind not in TEXT_KINDS and len(payload) > PAYLOAD_LIMIT:
        raise JournalError(f"no {kind.label} may have more than {PAYLOAD_LIMIT:,} bytes")
    if len(payload) <= ENTRY_SIZE or kind not in TEXT_KINDS:
        yield payload
        return
    head = payload[: payload.index(b"\n") + 1] if kind is Kind.LOG else b""
    room = max(ENTRY_SIZE - len(head), ENTRY_SIZE // 2)
    start = len(head)
    while start < len(payload):
        stop = _character_end(payload, start + room)
        yield head + payload[start:stop]
        start = stop


def split_all(entries: Sequence[Unwritten]) -> list[Unwritten]:
    """Cut what does not fit into entries; mostly, all does."""
    parts: list[Unwritten] = []
    for entry in entries:
        kind, payload, origin = entry
        if len(payload) <= ENTRY_SIZE:
            parts.append(entry)
        else:
            parts += [(kind, part, origin) for part in split_text(kind, payload)]
    return parts


def _character_end(text: bytes, stop: int) -> int:
    """Move `stop` back, by at most three bytes, to where no UTF-8 character is cut."""
    if stop >= len(text):
        return len(text)
    for back in range(4):
        # RFC 3629, section 3: a byte that continues a character is 10xxxxxx.
        if text[stop - back] & 0xC0 != 0x80:
            return stop - back
    return stop


def count_newlines(data: bytes) -> int:
    """Count newlines, in the way that is faster for lines like the first ones.

    Debian's CPython 3.11 counts 1.2 GB/s whatever there is; to leave newlines out takes 8 GB/s where
    lines have 100 bytes, and half as much as counting where they have 7.
    """
    if len(data) < _SAMPLE_SIZE or data.count(b"\n", 0, _SAMPLE_SIZE) > _SAMPLE_SIZE // 32:
        return data.count(b"\n")
    return len(data) - len(data.replace(b"\n", b""))


#: Bytes that show how long lines are.
_SAMPLE_SIZE = 1024


def measure_text(kind: Kind, payload: bytes, opens: bool) -> tuple[int, int, bool]:  # noqa: FBT001 - called for each entry
    """Count the newlines and bytes of an entry's text, and tell whether it leaves a line open."""
    if kind is _OUT or kind is _ERR:
        newlines = count_newlines(payload)
        return newlines, len(payload), not payload.endswith(b"\n") if payload else opens
    if kind is _LOG:
        size = len(payload) - payload.index(b"\n") - 1
        leaves_open = not payload.endswith(b"\n") if size else opens
        return payload.count(b"\n") - 1, size, leaves_open
    if kind is Kind.GAP:
        gap = json.loads(payload)
        return gap["lines"] or 0, gap["bytes"] or 0, opens
    return 0, 0, opens


# Their look-up in an enumeration costs as much as all else here.
_OUT, _ERR, _LOG, _STAGE, _END = Kind.OUT, Kind.ERR, Kind.LOG, Kind.STAGE, Kind.END


def make_entry(tail: Tail, kind: Kind, payload: bytes, origin: int, offset: int) -> Entry:
    """Make the entry that follows `tail`; whoever gives it out fills in `after`."""
    newlines, size, leaves_open = measure_text(kind, payload, tail.open)
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
