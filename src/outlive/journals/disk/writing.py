"""The writer of a journal in files: one process, which holds the lock of the folder."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from ... import platforms
from ...entries import End, Entry, Gap, Kind
from ...errors import JournalUnavailable
from ..base import JournalWriter, Tail, number, split_text
from .segments import HEADER_SIZE, SEGMENT_SIZE, encode_header, segment_name

if TYPE_CHECKING:
    from .reading import DiskJournal

__all__ = ["LOCK", "DiskWriter", "lock_folder"]

LOCK = "lock"
RESERVE = "reserve"

#: Kept on disk for the `end`, so that a full disk does not hide how a run ended.
_RESERVE_SIZE = 16 * 1024
#: Between two attempts to write again after a failure.
_RETRY_SECONDS = 1.0


def lock_folder(folder: Path) -> int:
    """Take the lock of a run's folder and leave a witness in it; returns its descriptor.

    Raises JournalUnavailable where another process holds it.
    """
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if not platforms.take_lock(fd):
        os.close(fd)
        raise JournalUnavailable(f"{folder.name} is being written by another process")
    witness = json.dumps(platforms.describe_process(os.getpid())).encode()
    # Padded: the file is shorter than its last writer's witness for no moment.
    os.pwrite(fd, witness.ljust(512), 0)
    return fd


def make_reserve(folder: Path) -> None:
    """Occupy the space that the `end` will need."""
    fd = os.open(folder / RESERVE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, bytes(_RESERVE_SIZE))
    finally:
        os.close(fd)


class DiskWriter(JournalWriter):
    """Appends to the last segment; after a failure to a new one, never behind torn bytes."""

    journal: DiskJournal

    def __init__(
        self, journal: DiskJournal, folder: Path, lock: int, start: bytes, *, number: int = 1,
        base: int = 0, tail: Tail | None = None,
    ) -> None:  # fmt: skip
        self.journal = journal
        self.folder = folder
        self._salt = crc32(journal.run.encode())
        self._lock_fd = lock
        self._start = start
        self._number = number - 1
        self._base = base
        self._size = 0
        self._tail = tail or Tail()
        self._fd = -1
        self._unsynced: list[int] = []
        self._missing = Gap(0, 0, 0, "")
        self._missing_leaves_open = False
        self._retry_at = 0.0
        self._mutex = threading.Lock()
        self._sync_mutex = threading.Lock()
        self._open_segment()
        _writers.add(self)

    def tail(self) -> tuple[Tail, int]:
        """Tell where the journal stands, and the offset behind its last entry."""
        with self._mutex:
            return self._tail, self._base + self._size

    def append(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        with self._mutex:
            if self._lock_fd < 0:
                raise JournalUnavailable(f"run {self.journal.run} is not written by this process")
            for part in split_text(kind, payload):
                self._append(kind, part, origin)
        self.journal.notify()

    def _append(self, kind: Kind, payload: bytes, origin: int) -> None:
        try:
            if self._missing.entries:
                self._resume()
            if self._size + HEADER_SIZE + len(payload) > SEGMENT_SIZE and self._size:
                self._open_segment()
            entry = number(self._tail, kind, payload, origin, self._base + self._size)
            self._write(entry)
            self._tail = self._tail.move(entry)
        except OSError as error:
            self._miss(kind, payload, error)

    def _write(self, entry: Entry) -> None:
        header = encode_header(entry, self._salt, self._size, self._number)
        size = len(header) + len(entry.payload)
        written = os.writev(self._fd, (header, entry.payload))
        while written < size:
            rest = memoryview(header + entry.payload)[written:]
            written += os.write(self._fd, rest)
        self._size += size

    def _open_segment(self) -> None:
        """Begin a new segment; its name tells how far the one before is valid."""
        path = self.folder / segment_name(self._number + 1, self._base + self._size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o600)
        before = self._fd, self._number, self._base, self._size
        self._fd, self._number = fd, self._number + 1
        self._base, self._size = self._base + self._size, 0
        try:
            self._write(number(self._tail, Kind.START, self._start, 0, self._base))
        except OSError:
            self._fd, self._number, self._base, self._size = before
            path.unlink()
            os.close(fd)
            raise
        if before[0] >= 0:
            self._unsynced.append(before[0])

    def _miss(self, kind: Kind, payload: bytes, error: OSError) -> None:
        """Count an entry that could not be stored; the next one goes to a new segment."""
        tail = self._tail._replace(
            open=self._missing_leaves_open if self._missing.entries else self._tail.open
        )
        entry = number(tail, kind, payload, 0, 0)
        entries, size, lines, _ = self._missing
        if not entries:
            self.on_trouble(error)
        self._missing = Gap(
            (entries or 0) + 1,
            (size or 0) + entry.text_size,
            (lines or 0) + entry.newlines,
            (error.strerror or "write failed").lower(),
        )
        self._missing_leaves_open = entry.leaves_open
        self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _resume(self) -> None:
        """Write again after a failure: a new segment, and in it first what is missing."""
        if time.monotonic() < self._retry_at:
            raise OSError(0, self._missing.reason)
        self._open_segment()
        gap = number(self._tail, Kind.GAP, self._missing.encode(), 0, self._base + self._size)
        gap = gap._replace(leaves_open=self._missing_leaves_open)
        self._write(gap)
        self._tail = self._tail.move(gap)
        self._missing = Gap(0, 0, 0, "")

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
        self._retry_at = 0.0
        self.append(Kind.END, end.encode())
        if self._missing.entries:
            # The space of the reserve is what the end needs now.
            (self.folder / RESERVE).unlink(missing_ok=True)
            self._missing = self._missing._replace(entries=(self._missing.entries or 0) - 1)
            self._retry_at = 0.0
            self.append(Kind.END, end.encode())
        self.sync()
        self.release()

    def release(self) -> None:
        """Let go of the journal without an end."""
        with contextlib.suppress(OSError):
            (self.folder / RESERVE).unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Close what a forked child inherited; its parent goes on writing and keeps the lock."""
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
