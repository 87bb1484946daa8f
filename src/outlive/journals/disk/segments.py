"""One file of a journal: the layout of an entry, and how entries are found in the file.

An entry is a header of 80 bytes and its payload (docs/journal-format.md). The header's checksum
is salted with the run, the segment's number and the place in the file: output that contains a
copy of a journal contains no valid header. That is why an entry can be found from anywhere, and
why no index is needed: a search by line or time bisects the file itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from struct import Struct
from zlib import crc32

from ...entries import Entry, Kind, Position
from ...errors import JournalUnavailable
from ..base import PAYLOAD_LIMIT, READ_COUNT, Tail, Unwritten, measure_text

__all__ = [
    "HEADER_SIZE",
    "SEGMENT_SIZE",
    "Segment",
    "encode_entries",
    "encode_header",
    "list_segments",
]

SEGMENT_SIZE = 64 * 1024 * 1024

MAGIC = b"\xf0Olj"
_FRONT = Struct("<4sI")
_BODY = Struct("<IIBBH4xQQQQQQQ")
_WHOLE = Struct("<4sIIIBBH4xQQQQQQQ")
_SALT = Struct("<QQ")
HEADER_SIZE = _WHOLE.size
_OPENS, _LEAVES_OPEN = 1, 2
_NAME = re.compile(r"(\d{8})-([0-9a-f]{12})\.journal")
_PAUSE_SIZE = 5 * 1024
_KINDS = {int(kind): kind for kind in Kind}
#: Makes a value of a NamedTuple; to call its class takes three times as long.
_make = tuple.__new__


def encode_header(entry: Entry, salt: int, place: int, number: int) -> bytes:
    """Write the header of an entry that will stand at `place` of segment `number`."""
    body = _BODY.pack(
        len(entry.payload),
        crc32(entry.payload),
        entry.kind,
        entry.opens * _OPENS | entry.leaves_open * _LEAVES_OPEN,
        entry.origin,
        entry.time,
        entry.monotonic,
        entry.sequence,
        entry.line,
        entry.text_before,
        entry.newlines,
        entry.text_size,
    )
    return _FRONT.pack(MAGIC, crc32(body, crc32(_SALT.pack(number, place), salt))) + body


def encode_entries(
    parts: Sequence[Unwritten], tail: Tail, salt: int, place: int, number: int
) -> tuple[list[bytes], Tail]:
    """Write headers and payloads of what follows `tail`, and tell where that leads.

    The same as an Entry and `encode_header` for each, in a third of the time.
    """
    blocks = []
    sequence, line, text, opens = tail
    now, monotonic = time.time_ns(), time.monotonic_ns()
    for kind, payload, origin in parts:
        newlines, text_size, leaves_open = measure_text(kind, payload, opens)
        size = len(payload)
        flags = opens * _OPENS | leaves_open * _LEAVES_OPEN
        body = _BODY.pack(
            size, _crc32(payload), kind, flags, origin, now, monotonic,
            sequence, line, text, newlines, text_size,
        )  # fmt: skip
        checksum = crc32(body, crc32(_SALT.pack(number, place), salt))
        blocks += [_FRONT.pack(MAGIC, checksum) + body, payload]
        place += HEADER_SIZE + size
        sequence, line, text, opens = sequence + 1, line + newlines, text + text_size, leaves_open
    return blocks, Tail(sequence, line, text, opens)


def _crc32(payload: bytes) -> int:
    """Compute a checksum without a pause.

    Beyond 5 KiB crc32 lets other threads go on, and beside one that computes it gets its turn back
    after 5 ms: for each entry of a flood of prints.
    """
    if len(payload) <= _PAUSE_SIZE:
        return crc32(payload)
    view, checksum = memoryview(payload), 0
    for place in range(0, len(payload), _PAUSE_SIZE):
        checksum = crc32(view[place : place + _PAUSE_SIZE], checksum)
    return checksum


class Segment:
    """A file of entries. `limit` is where it stops being valid, None while it is the last one."""

    _fd = -1
    _identity: tuple[int, ...] = ()

    def __init__(self, path: Path, salt: int, number: int, base: int) -> None:
        self.path = path
        self.number = number
        self.base = base
        self.limit: int | None = None
        self._salt = salt
        self._verified = 0
        self._opening = threading.Lock()

    def __del__(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                _remember(self._identity, self._fd, self._verified)
                os.close(self._fd)

    @property
    def size(self) -> int:
        """Bytes that are there and valid."""
        size = os.fstat(self._open()).st_size
        return size if self.limit is None else min(size, self.limit)

    def _open(self) -> int:
        with self._opening:
            if self._fd < 0:
                try:
                    self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                except FileNotFoundError:
                    raise
                except OSError as error:
                    raise self._unavailable(error) from None
                self._identity = _identity_of(self._fd)
                self._verified = _verified.get(self._identity, 0)
        return self._fd

    def _unavailable(self, error: OSError) -> JournalUnavailable:
        return JournalUnavailable(f"cannot read {self.path}: {error.strerror}")

    def _read(self, place: int, size: int) -> bytes:
        if self.limit is not None:
            size = min(size, self.limit - place)
        if size <= 0:
            return b""
        fd = self._open()
        try:
            return os.pread(fd, size, place)
        except OSError as error:
            raise self._unavailable(error) from None

    def read(self, place: int, size: int) -> tuple[list[Entry], int, int]:
        """Read the entries from `place` on, about `size` bytes.

        Returns where it stopped, too, and how many bytes the next entry needs to be there: none
        where it is damaged.
        """
        block = self._read(place, size + HEADER_SIZE)
        entries, used, needs = self._parse(block, place)
        if not entries and needs > len(block) >= HEADER_SIZE:
            block = self._read(place, needs)
            entries, used, needs = self._parse(block, place)
        return entries, place + used, needs

    def _parse(self, block: bytes, place: int) -> tuple[list[Entry], int, int]:
        entries: list[Entry] = []
        at, end = 0, len(block)
        while at + HEADER_SIZE <= end and len(entries) < READ_COUNT:
            header = self._header(block, at, place + at)
            if header is None:
                return entries, at, 0
            entry, size, checksum = header
            stop = at + HEADER_SIZE + size
            if stop > end:
                return entries, at, HEADER_SIZE + size
            # Each payload is checked once per process, as long as readers go forward.
            if place + stop > self._verified:
                if crc32(entry.payload) != checksum:
                    return entries, at, 0
                if place + at <= self._verified:
                    self._verified = place + stop
            entries.append(entry)
            at = stop
        return entries, at, HEADER_SIZE

    def _header(self, block: bytes, at: int, place: int) -> tuple[Entry, int, int] | None:
        """Read the header at `at` of a block: its entry, the payload's size and checksum.

        Of the payload the entry has what the block has.
        """
        (
            magic,
            checksum,
            size,
            payload_checksum,
            kind,
            flags,
            origin,
            time,
            monotonic,
            sequence,
            line,
            text_before,
            newlines,
            text_size,
        ) = _WHOLE.unpack_from(block, at)
        if magic != MAGIC:
            return None
        payload_at = at + HEADER_SIZE
        salt = crc32(_SALT.pack(self.number, place), self._salt)
        if crc32(block[at + _FRONT.size : payload_at], salt) != checksum:
            return None
        if kind not in _KINDS or size > PAYLOAD_LIMIT:
            return None
        offset = self.base + place
        facts = (
            _KINDS[kind],
            block[payload_at : payload_at + size],
            origin,
            time,
            monotonic,
            sequence,
            line,
            text_before,
            newlines,
            text_size,
            flags & _OPENS != 0,
            flags & _LEAVES_OPEN != 0,
            offset,
            _make(Position, (offset + HEADER_SIZE + size, 0, line + newlines)),
            0,
        )
        return _make(Entry, facts), size, payload_checksum

    def header_at(self, place: int) -> Entry | None:
        """Read the header at a place, if there is a valid one of an entry that is all there."""
        return self._header_in(self._read(place, HEADER_SIZE), 0, place, whole=True)

    def _header_in(self, block: bytes, at: int, place: int, *, whole: bool) -> Entry | None:
        if len(block) - at < HEADER_SIZE:
            return None
        header = self._header(block, at, place)
        if header is None or (whole and header[0].after.offset - self.base > self.size):
            return None
        return header[0]

    def is_damaged(self, place: int) -> bool:
        """Tell whether no valid header stands at a place where there is room for one."""
        block = self._read(place, HEADER_SIZE)
        return len(block) == HEADER_SIZE and self._header(block, 0, place) is None

    def find(self, place: int, stop: int | None = None, *, whole: bool = True) -> Entry | None:
        """Find the first valid header at or after `place` and before `stop`.

        With `whole`, of an entry that is all there.
        """
        stop = self.size if stop is None else stop
        while place < stop:
            block = self._read(place, min(65536, stop - place) + HEADER_SIZE)
            for at in _places_of_magic(block):
                if place + at >= stop:
                    break
                entry = self._header_in(block, at, place + at, whole=whole)
                if entry is not None:
                    return entry
            place += 65536
        return None

    def find_last(self) -> Entry | None:
        """Find the last valid header of an entry that is all there."""
        stop = self.size
        window = 4096
        while stop > 0:
            place = max(0, stop - window)
            block = self._read(place, stop - place + HEADER_SIZE - 1)
            for at in reversed(list(_places_of_magic(block))):
                entry = self._header_in(block, at, place + at, whole=True)
                if entry is not None:
                    return entry
            stop, window = place, 512 * 1024
        return None

    def last_where(self, key: Callable[[Entry], int], limit: int) -> Entry | None:
        """Find the last entry whose key is at most `limit`, by bisecting the file."""
        low, high = self.header_at(0) or self.find(0), self.size
        if low is None or key(low) > limit:
            return None
        # From 64 KiB on, reading header after header is cheaper than another search.
        while high - (low.after.offset - self.base) > 65536:
            middle = (low.after.offset - self.base + high) // 2
            found = self.find(middle, high)
            if found is not None and key(found) <= limit:
                low = found
            else:
                high = middle
        return self._hop(low, key, limit)

    def _hop(self, low: Entry, key: Callable[[Entry], int], limit: int) -> Entry:
        while True:
            following = self.header_at(low.after.offset - self.base)
            if following is None:
                following = self.find(low.after.offset - self.base)
            if following is None or key(following) > limit:
                return low
            low = following


#: How far the payloads of files were checked in this process, by what changes with a file.
_verified: dict[tuple[int, ...], int] = {}
#: How many files that is known of.
_REMEMBERED = 1024
#: Nanoseconds after which a file that is written to again has another time.
_SETTLED = 1_000_000_000


def _identity_of(fd: int) -> tuple[int, ...]:
    facts = os.fstat(fd)
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns


def _remember(identity: tuple[int, ...], fd: int, verified: int) -> None:
    """Keep how far a file was checked, unless it changed meanwhile or could, unnoticed."""
    if identity == _identity_of(fd) and time.time_ns() - identity[-1] > _SETTLED:
        _verified[identity] = verified
        if len(_verified) > _REMEMBERED:
            _verified.pop(next(iter(_verified)), None)


def _places_of_magic(block: bytes) -> Iterator[int]:
    place = block.find(MAGIC)
    while place >= 0:
        yield place
        place = block.find(MAGIC, place + 1)


def list_segments(folder: Path, salt: int) -> list[Segment]:
    """List the segments of a journal in order, each limited by the base of the next."""
    segments = []
    for name in sorted(path.name for path in folder.iterdir()):
        match = _NAME.fullmatch(name)
        if match is not None:
            segments.append(Segment(folder / name, salt, int(match[1]), int(match[2], 16)))
    for segment, following in pairwise(segments):
        segment.limit = following.base - segment.base
    return segments


def segment_name(number: int, base: int) -> str:
    """Name a segment's file."""
    return f"{number:08d}-{base:012x}.journal"
