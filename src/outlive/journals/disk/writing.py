"""The writer of a journal in files: one process, which holds the lock of the folder."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from ... import platforms
from ...entries import End, Entry, Gap, Kind
from ...errors import JournalUnavailable, RunFinished
from ..base import JournalWriter, Tail, Unwritten, make_entry, remove_folder, split_all
from .segments import HEADER_SIZE, SEGMENT_SIZE, encode_entries, encode_header, segment_name

if TYPE_CHECKING:
    from .reading import DiskJournal

__all__ = ["FILES", "LOCK", "TAKING", "DiskWriter", "lock_folder", "make_reserve"]

LOCK = "lock"
RESERVE = "reserve"
#: What belongs to the run while it lives, an upload for example.
FILES = "files"

#: The byte of the lock's file that is locked while the lock changes hands.
TAKING = 1

#: Kept on disk for the `end`, so that a full disk does not hide how a run ended.
_RESERVE_SIZE = 16 * 1024
#: Between two attempts to write again after a failure.
_RETRY_SECONDS = 1.0
#: Entries that are written at once: as many as writev(2) takes, header and payload each.
_MANY = 512


def lock_folder(folder: Path) -> int:
    """Take the lock of a run's folder and leave a witness in it; returns its descriptor.

    Raises JournalUnavailable where another process holds it.
    """
    witness = json.dumps(platforms.describe_process(os.getpid())).encode()
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, fd)
        # While the lock is taken and the witness is still the last writer's, perhaps a dead one's,
        # the second lock tells that a living process is about to write here.
        if not (platforms.take_lock(fd, TAKING) and platforms.take_lock(fd)):
            raise JournalUnavailable(f"{folder.name} is being written by another process")
        # Padded: the file is shorter than its last writer's witness for no moment.
        os.pwrite(fd, witness.ljust(512), 0)
        platforms.release_lock(fd, TAKING)
        undo.pop_all()
    return fd


def make_reserve(folder: Path, start: bytes) -> None:
    """Occupy the space that the `end` will need, in a segment that opens with `start`."""
    fd = os.open(folder / RESERVE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(bytes(_RESERVE_SIZE + len(start)))


class DiskWriter(JournalWriter):
    """Appends to the last segment; after a failure to a new one, never behind torn bytes."""

    journal: DiskJournal

    def __init__(
        self, journal: DiskJournal, folder: Path, lock: int, start: bytes, *,
        last_number: int = 0, base: int = 0, tail: Tail | None = None,
    ) -> None:  # fmt: skip
        self.journal = journal
        self.folder = folder
        self._salt = crc32(journal.run.encode())
        self._lock_fd = lock
        self._start = start
        self._number = last_number
        self._base = base
        self._size = 0
        self._tail = tail or Tail()
        self._fd = -1
        self._unsynced: list[int] = []
        self._missing = Gap(0, 0, 0, "")
        self._missing_leaves_open = False
        #: What was written last may be torn: the next entry needs a new segment.
        self._torn = False
        self._closed = False
        self._trouble: OSError | None = None
        self._retry_at = 0.0
        self._mutex = threading.Lock()
        self._sync_mutex = threading.Lock()
        self._open_segment()
        _writers.add(self)

    def tail(self) -> tuple[Tail, int]:
        """Tell where the journal stands, and the offset behind its last entry."""
        with self._mutex:
            return self._tail, self._base + self._size

    def append_all(self, entries: Sequence[Unwritten]) -> None:
        with self._mutex:
            self._check()
            parts = split_all(entries)
            while parts:
                count = self._store_some(parts[:_MANY])
                if not count:
                    self._append(*parts[0])
                del parts[: count or 1]
            trouble, self._trouble = self._trouble, None
        self.journal.notify()
        self.tell_news(entries)
        if trouble is not None:
            # Without the mutex: whoever is told may write to this run.
            self.on_trouble(trouble)

    def _check(self) -> None:
        if self._closed:
            raise RunFinished(self.journal.run)
        if self._lock_fd < 0:
            raise JournalUnavailable(f"run {self.journal.run} is not written by this process")

    def _store_some(self, parts: Sequence[Unwritten]) -> int:
        """Store several entries at once; tells how many: none where it takes more than a write."""
        size = sum([HEADER_SIZE + len(payload) for _, payload, _ in parts])
        if self._torn or self._size + size > SEGMENT_SIZE:
            return 0
        blocks, tail = encode_entries(parts, self._tail, self._salt, self._size, self._number)
        try:
            self._write_out(blocks, size)
        except OSError as error:
            return self._keep_some(parts, error)
        self._tail = tail
        return len(parts)

    def _keep_some(self, parts: Sequence[Unwritten], error: OSError) -> int:
        """Keep of some entries those that are there as a whole, and count the next as missing."""
        size = os.fstat(self._fd).st_size - self._size
        count = 0
        # One is missing in any case: why else did it fail?
        while count < len(parts) - 1 and (step := HEADER_SIZE + len(parts[count][1])) <= size:
            size -= step
            self._size += step
            count += 1
        _, self._tail = encode_entries(parts[:count], self._tail, 0, 0, 0)
        self._torn = True
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        kind, payload, _ = parts[count]
        self._miss(kind, payload, error)
        return count + 1

    def _append(self, kind: Kind, payload: bytes, origin: int) -> None:
        try:
            self._store(kind, payload, origin)
        except OSError as error:
            self._miss(kind, payload, error)

    def _store(self, kind: Kind, payload: bytes, origin: int) -> None:
        if self._torn:
            self._resume()
        try:
            if self._size + HEADER_SIZE + len(payload) > SEGMENT_SIZE and self._size:
                self._open_segment()
            entry = make_entry(self._tail, kind, payload, origin, self._base + self._size)
            self._write(entry)
        except OSError:
            self._torn = True
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            raise
        self._tail = self._tail.move(entry)

    def _write(self, entry: Entry) -> None:
        header = encode_header(entry, self._salt, self._size, self._number)
        self._write_out([header, entry.payload], len(header) + len(entry.payload))

    def _write_out(self, blocks: list[bytes], size: int) -> None:
        written = os.writev(self._fd, blocks)
        while written < size:
            written += os.write(self._fd, memoryview(b"".join(blocks))[written:])
        self._size += size

    def _open_segment(self) -> None:
        """Begin a new segment; its name tells how far the one before is valid."""
        # A number is used once, also where this fails: readers know a segment by it.
        self._number += 1
        path = self.folder / segment_name(self._number, self._base + self._size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        before = self._fd, self._base, self._size
        self._fd, self._base, self._size = fd, self._base + self._size, 0
        try:
            self._write(make_entry(self._tail, Kind.START, self._start, 0, self._base))
        except OSError:
            self._fd, self._base, self._size = before
            os.close(fd)
            path.unlink()
            raise
        if before[0] >= 0:
            self._unsynced.append(before[0])

    def _miss(self, kind: Kind, payload: bytes, error: OSError) -> None:
        """Count an entry that could not be stored; the next one goes to a new segment."""
        tail = self._tail._replace(
            open=self._missing_leaves_open if self._missing.entries else self._tail.open
        )
        entry = make_entry(tail, kind, payload, 0, 0)
        entries, size, lines, _ = self._missing
        if not entries:
            self._trouble = error
        self._missing = Gap(
            (entries or 0) + 1,
            (size or 0) + entry.text_size,
            (lines or 0) + entry.newlines,
            (error.strerror or "write failed").lower(),
        )
        self._missing_leaves_open = entry.leaves_open

    def _resume(self) -> None:
        """Write again after a failure: a new segment, and in it first what is missing."""
        if time.monotonic() < self._retry_at:
            raise OSError(0, self._missing.reason)
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        self._open_segment()
        if self._missing.entries:
            gap = make_entry(
                self._tail, Kind.GAP, self._missing.encode(), 0, self._base + self._size
            )
            gap = gap._replace(leaves_open=self._missing_leaves_open)
            self._write(gap)
            self._tail = self._tail.move(gap)
            self._missing = Gap(0, 0, 0, "")
        self._torn = False

    def sync(self) -> None:
        with self._sync_mutex:
            with self._mutex:
                full, self._unsynced = self._unsynced, []
                current = os.dup(self._fd) if self._fd >= 0 else -1
            for fd in (*full, current):
                if fd >= 0:
                    # Nothing can be done about it here, and the entries are acknowledged already.
                    with contextlib.suppress(OSError):
                        os.fdatasync(fd)
                    os.close(fd)

    def close(self, end: End) -> None:
        with self._mutex:
            self._check()
            self._closed = True
            self._retry_at = 0.0
            # Before the end: whoever waits for that finds nothing left, and the disk less full.
            remove_folder(self.folder / FILES)
            try:
                self._store(Kind.END, end.encode(), 0)
            except OSError:
                # The space of the reserve is what the end needs now.
                self._remove_reserve()
                self._retry_at = 0.0
                self._append(Kind.END, end.encode(), 0)
        self.journal.notify()
        self.sync()
        self.release()
        self.journal.on_news(Kind.END, end.encode())

    def release(self) -> None:
        """Let go of the journal without a further entry."""
        self._remove_reserve()
        with self._mutex:
            self.forget()

    def _remove_reserve(self) -> None:
        with contextlib.suppress(OSError):
            (self.folder / RESERVE).unlink(missing_ok=True)

    def forget(self) -> None:
        """Close all descriptors; those that a forked child inherited stay open in its parent."""
        for fd in (self._fd, self._lock_fd, *self._unsynced):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1
        self._unsynced = []
        self.journal.writer = None
        _writers.discard(self)


_writers: weakref.WeakSet[DiskWriter] = weakref.WeakSet()


def _forget_all() -> None:
    for writer in list(_writers):
        writer._mutex = threading.Lock()  # noqa: SLF001 - it may have been held in the parent
        writer.forget()


os.register_at_fork(after_in_child=_forget_all)
