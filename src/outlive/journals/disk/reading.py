"""A journal in files, as its readers see it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from ... import platforms
from ...entries import End, Entry, Gap, Kind, Position, RunRecord, State
from ...errors import JournalUnavailable, RunFinished, RunNotFound
from ..base import READ_SIZE, Journal, Scan, Tail, make_entry, remove_folder
from .segments import HEADER_SIZE, Segment, list_segments
from .writing import FILES, LOCK, TAKING, DiskWriter, lock_folder, make_reserve

__all__ = ["DiskJournal"]

CANCEL = "cancel"


class DiskJournal(Journal):
    """The journal in one folder, written by this process, by another one, or by nobody any more."""

    def __init__(self, folder: Path, run: str = "") -> None:
        super().__init__(run or folder.name)
        self.folder = folder
        self._salt = crc32(self.run.encode())
        self._segments: list[Segment] = []
        self._segments_lock = threading.Lock()
        self._stop_watching: Callable[[], None] | None = None
        self._start: Entry | None = None
        self._end: Entry | None = None
        #: The writer, where it is in this process: it tells readers itself.
        self.writer: DiskWriter | None = None

    @classmethod
    def create(cls, root: Path, record: RunRecord) -> DiskWriter:
        """Make the journal of a run below `root`; when it can be seen, its lock is taken."""
        folder = root / f".{record.id}"
        folder.mkdir(0o700)
        journal = cls(root / record.id)
        start = record.encode()
        with contextlib.ExitStack() as undo:
            undo.callback(remove_folder, folder)
            lock = lock_folder(folder)
            undo.callback(os.close, lock)
            make_reserve(folder, start)
            writer = DiskWriter(journal, folder, lock, start)
            folder.rename(journal.folder)
            undo.pop_all()
        writer.folder = journal.folder
        journal.writer = writer
        return writer

    def _take_over(self) -> DiskWriter | None:
        """Become the writer in place of a dead one: a new segment, behind what is valid.

        None where the run got its end before the lock was taken.
        """
        start = self.start().payload
        lock = lock_folder(self.folder)
        try:
            if self.end() is not None:
                os.close(lock)
                return None
            tail, offset = self.tail()
            last = self._segments[-1]
            rest = last.base + last.size - offset
            writer = DiskWriter(
                self, self.folder, lock, start,
                last_number=last.number, base=offset, tail=tail,
            )  # fmt: skip
        except BaseException:
            os.close(lock)
            raise
        if rest >= HEADER_SIZE and last.is_damaged(offset - last.base):
            writer.append(Kind.GAP, Gap(None, None, None, "damaged").encode())
        return writer

    def _refresh(self) -> None:
        """Take notice of segments that came or went."""
        # The list is made with the lock, too: an older one must not replace a newer one.
        with self._segments_lock:
            listed = self._list_segments()
            known = {segment.number: segment for segment in self._segments}
            for i, segment in enumerate(listed):
                if segment.number in known:
                    known[segment.number].limit = segment.limit
                    listed[i] = known[segment.number]
            self._segments = listed

    def _list_segments(self) -> list[Segment]:
        try:
            return list_segments(self.folder, self._salt)
        except FileNotFoundError:
            raise RunNotFound(self.run) from None
        except OSError as error:
            raise JournalUnavailable(f"cannot read {self.folder}: {error.strerror}") from None

    def _all(self) -> list[Segment]:
        if not self._segments:
            self._refresh()
        return self._segments

    def scan(self, offset: int, size: int = READ_SIZE) -> Scan:
        scan = self._scan(offset, size)
        if not scan.entries:
            # Somebody may have opened a further segment, or given the run its end.
            self._refresh()
            scan = self._scan(scan.offset, size)._replace(broken=scan.broken)
            end = self._end
            if not scan.entries and end is not None and not self._is_stored(end):
                stop = [end] if offset <= end.offset else []
                return Scan(stop, end.after.offset, scan.broken)
        return scan

    def _scan(self, offset: int, size: int) -> Scan:
        segments = self._all()
        if not segments:
            return Scan([], offset)
        broken = "removed" if offset < segments[0].base else ""
        offset = max(offset, segments[0].base)
        last = segments[-1]
        for segment in segments[_place_of(segments, offset) :]:
            place = max(offset - segment.base, 0)
            while True:
                try:
                    entries, stop, needs = segment.read(place, size)
                except FileNotFoundError:
                    broken = "removed"
                    break
                entries = [entry for entry in entries if entry.kind is not Kind.START]
                if entries:
                    return Scan(entries, segment.base + stop, broken)
                if stop > place:
                    place = stop
                elif needs and segment is last:
                    # It is being written.
                    return Scan([], segment.base + place, broken)
                elif needs and place == segment.limit:
                    break
                else:
                    broken = "damaged"
                    found = segment.find(place + 1, whole=False)
                    if found is None:
                        place = max(place, segment.size - HEADER_SIZE + 1)
                        break
                    place = found.offset - segment.base
        return Scan([], last.base + place, broken)

    def start(self) -> Entry:
        if self._start is None:
            self._refresh()
            self._start = self._find_start()
        return self._start

    def _find_start(self) -> Entry:
        for segment in self._segments:
            with contextlib.suppress(FileNotFoundError):
                entries, _, _ = segment.read(0, 0)
                if entries and entries[0].kind is Kind.START:
                    return entries[0]
        return self._make_start()

    def _make_start(self) -> Entry:
        """Tell what little is known of a run whose record is damaged wherever it stood."""
        for segment in self._segments:
            with contextlib.suppress(FileNotFoundError):
                first = segment.find(0)
                if first is not None:
                    title = f"{self.run} (its title is damaged)"
                    record = RunRecord(id=self.run, title=title, started_at=first.time)
                    return first._replace(kind=Kind.START, payload=record.encode())
        raise JournalUnavailable(f"nothing in {self.folder} tells what run {self.run} is")

    def end(self) -> Entry | None:
        if self._end is None or not self._is_stored(self._end):
            last = self._last()
            if last is not None and last.kind is Kind.END:
                # One whose payload is damaged is none.
                self._end = self._read_at(last) or self._end
        return self._end

    def tail(self) -> tuple[Tail, int]:
        writer = self.writer
        if writer is not None:
            return writer.tail()
        last = self._last()
        if last is None:
            return Tail(), 0
        if last.kind is Kind.START:
            tail = Tail(last.sequence, last.line, last.text_before, last.opens)
            return tail, last.after.offset
        return Tail().move(last), last.after.offset

    def _last(self) -> Entry | None:
        self._refresh()
        for segment in reversed(self._segments):
            with contextlib.suppress(FileNotFoundError):
                entry = segment.find_last()
                if entry is not None:
                    return entry
        return None

    def last_where(self, key: Callable[[Entry], int], limit: int) -> Entry | None:
        self._refresh()
        for segment in reversed(self._segments):
            with contextlib.suppress(FileNotFoundError):
                entry = segment.last_where(key, limit)
                if entry is not None and entry.kind is not Kind.START:
                    return self._read_at(entry) or entry
        return None

    def _read_at(self, entry: Entry) -> Entry | None:
        """Read the payload of an entry whose header was found; None where it is damaged or gone."""
        segments = self._segments
        segment = segments[_place_of(segments, entry.offset)]
        with contextlib.suppress(FileNotFoundError):
            entries, _, _ = segment.read(entry.offset - segment.base, 0)
            return entries[0] if entries else None
        return None

    def size(self) -> int:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as files:
            return sum(file.stat().st_size for file in files if file.name.endswith(".journal"))
        return 0

    def remove_oldest(self, kept_size: int) -> None:
        # Whole segments, and never the last one.
        self._refresh()
        segments = self._segments
        size = sum(segment.size for segment in segments)
        for segment in segments[:-1]:
            if size <= kept_size:
                break
            size -= segment.size
            segment.path.unlink(missing_ok=True)
        self._refresh()
        self.notify()

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        with self._watchers_lock:
            self._watchers.add(callback)
            # A writer in this process tells its readers itself.
            if self._stop_watching is None and self.writer is None:
                self._stop_watching = platforms.watch(self.folder, self.notify)
        self.moved = object()

        def stop() -> None:
            with self._watchers_lock:
                self._watchers.discard(callback)
                if not self._watchers and self._stop_watching is not None:
                    self._stop_watching()
                    self._stop_watching = None

        return stop

    def request_cancel(self) -> None:
        if self.end() is not None:
            raise RunFinished(self.run)
        self._touch(CANCEL, f"ask run {self.run} to end")

    def _touch(self, name: str, what: str) -> None:
        """Make an empty file, which tells something by being there."""
        try:
            flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(self.folder / name, flags, 0o600))
        except OSError as error:
            raise JournalUnavailable(f"cannot {what}: {error.strerror}") from None

    def watch_life(self, callback: Callable[[], None]) -> Callable[[], None]:
        # Files come and go: a request to cancel comes, and the reserve goes behind the end.
        return platforms.watch(self.folder, callback, writes=False)

    def cancel_requested(self) -> bool:
        return (self.folder / CANCEL).exists()

    def add_view(self, view: str) -> None:
        self._touch(_view_name(view), f"note what shows run {self.run}")

    def has_view(self, view: str) -> bool:
        return (self.folder / _view_name(view)).exists()

    def make_folder(self) -> Path:
        folder = self.folder / FILES
        folder.mkdir(0o700)
        return folder

    def settle(self) -> None:
        # In this order: every idle viewer asks, and a look for the end may have to search for it.
        if self.writer is not None or self._writer_lives() or self.end() is not None:
            return
        try:
            writer = self._take_over()
            if writer is not None:
                writer.close(_LOST)
        except (OSError, JournalUnavailable):
            # Another process may be about to do the same; if none is, nobody can.
            if self._writer_lives():
                return
        if self.end() is None:
            self._end = self._unstored_end()
        self.notify()

    def _writer_lives(self) -> bool:
        try:
            # Reading is enough, and all that a file system mounted read-only allows.
            fd = os.open(self.folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise JournalUnavailable(f"cannot read {self.folder}: {error.strerror}") from None
        try:
            # In this order: who holds the lock has left its witness before it ceases to take it.
            held = platforms.is_locked(fd)
            if platforms.is_locked(fd, TAKING):
                return True
            # The lock may live on in a forked child; the process that took it is the witness.
            return held and _is_alive(os.pread(fd, 4096, 0))
        finally:
            os.close(fd)

    def _unstored_end(self) -> Entry:
        tail, offset = self.tail()
        end = make_entry(tail, Kind.END, _LOST.encode(), 0, offset)
        return end._replace(after=Position(offset + 1, 0, tail.line))

    @staticmethod
    def _is_stored(end: Entry) -> bool:
        return end.after.offset - end.offset > 1


_LOST = End(State.LOST, error="the process that wrote this run is gone")


def _is_alive(witness: bytes) -> bool:
    try:
        return platforms.is_alive(json.loads(witness))
    except (ValueError, LookupError, TypeError, AttributeError):
        # What cannot be read says nothing; the lock was held.
        return True


def _place_of(segments: list[Segment], offset: int) -> int:
    """Tell which segment holds an offset; of several with one base the last, others are void."""
    place = 0
    for i, segment in enumerate(segments):
        if segment.base <= offset:
            place = i
    return place


def _view_name(view: str) -> str:
    # Its path may have any length, and any character.
    return f"view-{sha256(view.encode(errors='surrogatepass')).hexdigest()[:20]}"
