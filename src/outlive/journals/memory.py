"""Journals in the memory of one process: for tests, and for work that nobody reads later."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

from ..entries import End, Entry, Kind, Position, RunRecord
from ..errors import RunFinished
from .base import (
    READ_COUNT,
    READ_SIZE,
    Journal,
    JournalWriter,
    Scan,
    Tail,
    Unwritten,
    make_entry,
    remove_folder,
    split_all,
)

__all__ = ["MemoryJournal", "MemoryWriter"]

#: Bytes that are kept; the oldest entries go first, and leave a gap.
KEPT_SIZE = 64 * 1024 * 1024
#: Bytes that an entry takes beside its payload (measured: 0.53 KiB with one byte of it).
ENTRY_COST = 512


class MemoryJournal(Journal):
    """A journal in a list; an entry's offset is its number among all that were appended."""

    def __init__(self, record: RunRecord, kept_size: int = KEPT_SIZE) -> None:
        super().__init__(record.id)
        self._entries: list[Entry] = []
        self._removed = 0
        self._size = 0
        self._kept_size = kept_size
        self._tail = Tail()
        self._end: Entry | None = None
        self._cancel = False
        self._views: set[str] = set()
        self.folder: Path | None = None
        self._lock = threading.Lock()
        self._start = make_entry(self._tail, Kind.START, record.encode(), 0, 0)

    def start(self) -> Entry:
        return self._start

    def end(self) -> Entry | None:
        return self._end

    def tail(self) -> tuple[Tail, int]:
        with self._lock:
            return self._tail, self._removed + len(self._entries)

    def scan(self, offset: int, size: int = READ_SIZE) -> Scan:
        with self._lock:
            broken = "removed" if offset < self._removed else ""
            first = max(offset, self._removed) - self._removed
            found = []
            for entry in self._entries[first : first + READ_COUNT]:
                found.append(entry)
                size -= len(entry.payload)
                if size <= 0:
                    break
            return Scan(found, self._removed + first + len(found), broken)

    def last_where(self, key: Callable[[Entry], int], limit: int) -> Entry | None:
        with self._lock:
            place = bisect_right(self._entries, limit, key=key)
            return self._entries[place - 1] if place else None

    def request_cancel(self) -> None:
        if self._end is not None:
            raise RunFinished(self.run)
        self._cancel = True
        self.notify()

    def cancel_requested(self) -> bool:
        return self._cancel

    def add_view(self, view: str) -> None:
        self._views.add(view)

    def has_view(self, view: str) -> bool:
        return view in self._views

    def make_folder(self) -> Path:
        # Late: few need it, and it brings much.
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="outlive-"))
        return self.folder

    def add(self, kind: Kind, payload: bytes, origin: int) -> None:
        """Append one entry and drop the oldest ones that no longer fit."""
        with self._lock:
            if self._end is not None:
                raise RunFinished(self.run)
            offset = self._removed + len(self._entries)
            entry = make_entry(self._tail, kind, payload, origin, offset)
            entry = entry._replace(after=Position(offset + 1, 0, entry.line + entry.newlines))
            self._entries.append(entry)
            self._tail = self._tail.move(entry)
            self._end = entry if kind is Kind.END else None
            self._size += len(payload) + ENTRY_COST
            if self._size > self._kept_size:
                # A quarter at once, so that a full journal does not shift its list at every append.
                self._drop_oldest(self._kept_size * 3 // 4)

    def size(self) -> int:
        return self._size

    def remove_oldest(self, kept_size: int) -> None:
        with self._lock:
            self._drop_oldest(kept_size)
        self.notify()

    def _drop_oldest(self, kept_size: int) -> None:
        dropped = 0
        while self._size > kept_size and dropped < len(self._entries) - 1:
            self._size -= len(self._entries[dropped].payload) + ENTRY_COST
            dropped += 1
        del self._entries[:dropped]
        self._removed += dropped


class MemoryWriter(JournalWriter):
    """Appends to a journal in memory."""

    journal: MemoryJournal

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal

    def append_all(self, entries: Sequence[Unwritten]) -> None:
        for kind, payload, origin in split_all(entries):
            self.journal.add(kind, payload, origin)
        self.journal.notify()
        self.tell_news(entries)

    def sync(self) -> None:
        """Do nothing: memory does not survive its process."""

    def close(self, end: End) -> None:
        remove_folder(self.journal.folder)
        self.append(Kind.END, end.encode())
