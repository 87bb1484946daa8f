"""A journal in files that many processes append to, each for a moment; it has no `end`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ... import platforms
from ...entries import Entry, Kind, RunRecord
from ...errors import JournalError, JournalUnavailable, RunNotFound
from ..base import PAYLOAD_LIMIT, Tail, make_entry
from .reading import DiskJournal
from .segments import HEADER_SIZE, encode_header, segment_name
from .writing import LOCK

__all__ = ["SharedJournal"]

SEGMENT_SIZE = 4 * 1024 * 1024
#: Bytes that are kept at most; the oldest segments go first.
KEPT_SIZE = 16 * 1024 * 1024
#: An append takes well under a millisecond; a process that was stopped in between must not hold
#: up the others' work.
WAIT_SECONDS = 1.0


class SharedJournal(DiskJournal):
    """A journal whose writers take turns; each finds out anew where it stands."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        super().__init__(folder, record.id)
        self._made_start = make_entry(Tail(), Kind.START, record.encode(), 0, 0)

    def start(self) -> Entry:
        return self._made_start

    def end(self) -> None:
        return None

    def settle(self) -> None:
        """Do nothing: there is no one writer that could be gone."""

    def request_cancel(self) -> None:
        raise JournalError("this is no run: nothing can be asked to end")

    def cancel_requested(self) -> bool:
        return False

    def watch_life(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self.watch(callback)

    def _refresh(self) -> None:
        try:
            super()._refresh()
        except RunNotFound:
            # Nobody wrote yet, or somebody removed it.
            self._segments = []

    def append(self, kind: Kind, payload: bytes) -> None:
        """Add an entry; raises OSError or JournalError where that cannot be done."""
        if len(payload) > PAYLOAD_LIMIT:
            raise JournalError(f"no {kind.label} may have more than {PAYLOAD_LIMIT:,} bytes")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self.folder / LOCK, flags, 0o600)
        with platforms.locked(lock, WAIT_SECONDS) as held:
            if not held:
                raise JournalUnavailable(f"{self.folder} is held by a process that stopped")
            self._append(kind, payload)

    def _append(self, kind: Kind, payload: bytes) -> None:
        tail, offset = self.tail()
        entry = make_entry(tail, kind, payload, 0, offset)
        last = self._segments[-1] if self._segments else None
        # Nobody else writes now: what is there behind the last entry was torn by a death.
        is_whole = last is not None and last.base + last.size == offset
        size = HEADER_SIZE + len(payload)
        if last is None or not is_whole or last.size + size > SEGMENT_SIZE:
            self._begin_segment(last.number + 1 if last else 1, tail, entry)
            return
        header = encode_header(entry, self._salt, offset - last.base, last.number)
        fd = os.open(last.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _write_all(fd, header + payload)
        finally:
            os.close(fd)

    def _begin_segment(self, number: int, tail: Tail, entry: Entry) -> None:
        """Begin a segment with an entry, and remove the oldest ones.

        It comes in one piece: a failure leaves nothing that a reader may have seen.
        """
        start = make_entry(tail, Kind.START, self._made_start.payload, 0, entry.offset)
        place = HEADER_SIZE + len(start.payload)
        data = encode_header(start, self._salt, 0, number) + start.payload
        data += encode_header(entry, self._salt, place, number) + entry.payload
        draft = self.folder / ".draft"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(draft, flags, 0o600)
        try:
            _write_all(fd, data)
        finally:
            os.close(fd)
        draft.rename(self.folder / segment_name(number, entry.offset))
        self.remove_oldest(KEPT_SIZE - SEGMENT_SIZE)


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])
