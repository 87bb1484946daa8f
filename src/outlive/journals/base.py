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

from ..entries import BEGINNING, TEXT_KINDS, End, Entry, Kind, Position
from ..errors import JournalError

__all__ = [
    "PAYLOAD_LIMIT",
    "READ_COUNT",
    "READ_SIZE",
    "Journal",
    "JournalWriter",
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

    def before(self, stop: int) -> Scan:
        """Leave out what is at or behind an offset, if anything is before it."""
        if not self.entries or self.entries[-1].offset < stop:
            return self
        kept = [entry for entry in self.entries if entry.offset < stop]
        return Scan(kept, stop, self.broken) if kept else self


class Journal(ABC):
    """The log of one run, read by any number of readers."""

    #: Told by a writer in this process of each stage, and of the `end`, once it was appended.
    on_news: Callable[[Kind, bytes], None] = staticmethod(lambda *_: None)

    def __init__(self, run: str) -> None:
        self.run = run
        self._watchers: set[Callable[[], None]] = set()
        self._watchers_lock = threading.Lock()
        #: Another object after each news; what was found before it may be found no more.
        self.moved = object()

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
        # What came while nobody watched, nobody told.
        self.moved = object()

        def stop() -> None:
            with self._watchers_lock:
                self._watchers.discard(callback)

        return stop

    def notify(self) -> None:
        """Wake everybody who watches."""
        # Before they look; not counted: of two threads that count at once, one could take back.
        self.moved = object()
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
