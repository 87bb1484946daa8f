"""What the work of this process has written and its journal has not yet.

A `print` costs little more than one to a plain file: while much is printed, its text goes into a stream
in memory, in C, and nothing is asked. The thread that appends comes by itself then.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from io import StringIO
from operator import call
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from .entries import Kind
from .errors import OutliveError
from .journals.base import JournalWriter, Unwritten

if TYPE_CHECKING:
    from logging import Handler

__all__ = ["CURRENT_BUFFER", "Buffer", "encode_text"]

#: Between two looks while much is printed.
_LOOK_SECONDS = 0.003
#: Bytes; who prints less between two looks wakes the flusher, and a line leaves in microseconds.
_BUSY_SIZE = 4096
#: Bytes; while as many are appended, who prints waits.
FULL_SIZE = 256 * 1024
#: The longest wait at once, as what is waited for may itself wait for what a finalizer interrupted.
_HOLD_SECONDS = 1.0


class Finder(Protocol):
    """Finds entries that text tells of, and the last of them at its end."""

    def find(self, kind: Kind, text: bytes, origin: int, now: float) -> list[Unwritten]: ...
    def finish(self) -> list[Unwritten]: ...


#: Text of standard output as it was printed, or anything else.
Item = str | Unwritten


class Buffer:
    """Collects what all threads of a run write, in order; a thread of its own appends it.

    What piles up while that appends becomes one entry. Where a look finds more than 256 KiB, whoever
    prints waits until that is appended: so memory is bounded by what can be printed between two looks,
    3 ms and the wait for the GIL (measured: 8 MB in all), and a disk that is slow is waited for.

    `write` is the one hot path, `print`: while the flusher looks by itself, that of the stream in memory;
    otherwise it takes nothing and returns None, and the text is to be given to `take`. A buffer that
    echoes always wants that: its texts take the way where there is time to.

    Signal handlers and `__del__` may write at any moment: what they can meet is reentrant.
    """

    __slots__ = (
        "__weakref__", "_appending", "_called", "_gate", "_hold", "_items", "_last", "_mutex", "_over",
        "_pour", "_texts", "_wakes", "_write_text", "_writer", "closed", "echo", "finder", "recorder", "write",
    )  # fmt: skip

    def __init__(self, writer: JournalWriter, *, echo: bool = False) -> None:
        self.closed = False
        self.echo = echo
        #: Takes the records of logging, where they are captured.
        self.recorder: Handler | None = None
        #: Looks for progress in what is printed, if somebody set it.
        self.finder: Finder | None = None
        self._writer = writer
        self._over = False
        self._reset()
        # Not at the first print, which may be a signal handler's: to start a thread takes locks.
        threading.Thread(target=self._work, name="outlive-flush", daemon=True).start()
        _buffers.add(self)

    def _reset(self) -> None:
        # Not a TextIOWrapper, whose pending text CPython 3.11 may lose when it is written to amid a
        # flush (gh-119506), and of which every record would have to flush some.
        self._texts = StringIO()
        self._write_text = self._texts.write
        # Swapped by the flusher. Between the look-up of a function in C and its call, CPython gives the
        # GIL to nobody: no text comes later than the look that follows the swap.
        self.write: Callable[[str], int | None] = _take_nothing
        self._pour = (self._texts.getvalue, self._texts.__init__)  # type: ignore[misc]
        self._items: list[Item] = []
        self._gate = threading.RLock()
        self._mutex = threading.RLock()
        self._appending = False
        #: Held while so much is appended that who prints waits for it.
        self._hold: threading.Lock | None = None
        self._called = False
        # The one queue whose `put` may be interrupted by itself. None wakes the flusher; a held
        # lock is released once everything before it is appended.
        self._wakes: SimpleQueue[threading.Lock | None] = SimpleQueue()
        #: The last one of those.
        self._last: threading.Lock | None = None

    @property
    def awake(self) -> bool:
        """Whether the flusher looks by itself."""
        return self.write is not _take_nothing

    def take(self, text: str) -> int | None:
        """Take a printed text while the flusher sleeps; returns its length, None after the end."""
        hold = self._hold
        if hold is not None and not self._mutex._is_owned() and hold.acquire(timeout=_HOLD_SECONDS):  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition does
            hold.release()
        with self._gate:
            if self.closed:
                return None
            size = self._write_text(text)
        self._wake()
        return size

    def add(self, kind: Kind, payload: bytes, origin: int = 0) -> bool:
        """Take anything but a printed text; tells whether it was taken: not after the end."""
        with self._gate:
            if self.closed:
                return False
            self._collect()
            self._items.append((kind, payload, origin))
        if not self.awake:
            self._wake()
        return True

    def _collect(self) -> None:
        """Put what was printed so far behind everything else that was written."""
        if self._texts.tell():
            # Get the text and empty the stream: one step of C, between which nobody comes.
            self._items.extend(filter(None, map(call, self._pour)))

    def _wake(self) -> None:
        if not self._called:
            self._called = True
            self._wakes.put(None)

    def flush(self) -> None:
        """Return when everything that was written before is acknowledged.

        Called amid an append or amid `add`, as by `__del__` and signal handlers, it returns at once:
        what would be waited for may wait for what was interrupted.
        """
        if self._gate._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition does
            return
        if threading.get_ident() != threading.main_thread().ident or sys.is_finalizing():
            self._append_all()
        else:
            # In the main thread a signal handler, or KeyboardInterrupt, could come between any two
            # steps of an append.
            self._wait()

    def _wait(self, seconds: float = -1) -> None:
        """Wait until the flusher has appended what is there."""
        done = _held_lock()
        with self._gate:
            if self.closed:
                return
            self._wakes.put(done)
        done.acquire(timeout=seconds)

    def close(self) -> None:
        """Take no more, return when everything is appended, and end the thread."""
        with self._gate:
            if self.closed:
                return
            self.closed = True
            self.write = _take_nothing
            self._last = _held_lock()
            self._wakes.put(self._last)
        if sys.is_finalizing():
            self._append_all(last=True)
        else:
            self._last.acquire()
        _buffers.discard(self)

    def abandon(self) -> None:
        """Forget everything in a forked child: it is the parent's."""
        self.closed = self._over = True
        self._reset()

    def _work(self) -> None:
        while not self._over:
            wake = self._next_wake()
            # Before the look: who comes later calls again.
            self._called = False
            size = 0
            try:
                size = self._append_all(last=wake is not None and wake is self._last)
            except Exception:  # noqa: BLE001 - somebody may wait for this thread
                sys.excepthook(*sys.exc_info())
            if wake is not None:
                wake.release()
            busy = self._watch(busy=size >= _BUSY_SIZE)
            if not busy and (self._items or self._texts.tell()):
                # Somebody found us awake just before. Behind those who wait already.
                self._wakes.put(None)

    def _watch(self, *, busy: bool) -> bool:
        """Look by itself from now on, or sleep."""
        with self._gate:
            busy = busy and not (self.echo or self.closed)
            self.write = self._write_text if busy else _take_nothing
        return busy

    def _next_wake(self) -> threading.Lock | None:
        try:
            return self._wakes.get(timeout=_LOOK_SECONDS if self.awake else None)
        except Empty:
            return None

    def _append_all(self, *, last: bool = False) -> int:
        """Append what is there, once: a thread that never stops printing must not hold others.

        Returns how many bytes that were.
        """
        with self._mutex:
            if self._appending or self._over:
                return 0
            self._appending = True
            try:
                size = self._append(_merge(self._take()))
                if last and self.finder is not None:
                    self._append(self.finder.finish())
                return size
            finally:
                self._appending = False
                self._over = last

    def _take(self) -> list[Item]:
        self._collect()
        items = self._items[:]
        # Others append meanwhile, to this very list.
        del self._items[: len(items)]
        return items

    def _append(self, entries: Sequence[Unwritten]) -> int:
        size = sum([len(payload) for _, payload, _ in entries])
        if size < FULL_SIZE:
            self._write(entries)
            return size
        hold = self._hold = _held_lock()
        self.write = _take_nothing
        try:
            self._write(entries)
            self._watch(busy=True)
        finally:
            self._hold = None
            hold.release()
        return size

    def _write(self, entries: Sequence[Unwritten]) -> None:
        if entries:
            self._writer.append_all(entries)
        stages = self._find(entries)
        if stages:
            self._writer.append_all(stages)

    def _find(self, entries: Sequence[Unwritten]) -> list[Unwritten]:
        """Find what is told by what was printed; whoever writes as another origin looks itself."""
        if self.finder is None:
            return []
        now = monotonic()
        printed = (entry for entry in entries if not entry[2])
        return [stage for entry in printed for stage in self.finder.find(*entry, now)]


#: Whose prints and records these are; None outside of runs, and where nobody captures.
CURRENT_BUFFER: ContextVar[Buffer | None] = ContextVar("outlive_buffer", default=None)

_buffers: weakref.WeakSet[Buffer] = weakref.WeakSet()


def _take_nothing(_: str) -> None:
    pass


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _merge(items: Sequence[Item]) -> list[Unwritten]:
    """Make entries: text of one kind and origin becomes one, each record is its own."""
    entries: list[Unwritten] = []
    texts: list[bytes] = []
    place: tuple[Kind, int] | None = None
    for item in items:
        kind, payload, origin = (_OUT, encode_text(item), 0) if isinstance(item, str) else item
        now = (kind, origin) if kind is _OUT or kind is _ERR else None
        if texts and place is not None and now != place:
            entries.append((place[0], b"".join(texts), place[1]))
            texts = []
        place = now
        if now is None:
            entries.append((kind, payload, origin))
        elif payload:
            texts.append(payload)
    if texts and place is not None:
        entries.append((place[0], b"".join(texts), place[1]))
    return entries


# Their look-up in an enumeration costs more than all else that is done for an entry here.
_OUT, _ERR = Kind.OUT, Kind.ERR


def encode_text(text: str) -> bytes:
    """Encode text; what `surrogateescape` made of undecodable bytes becomes these bytes again."""
    return text.encode("utf-8", "outlive")


def _encode_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return b"".join(map(_encode_surrogate, characters)), error.end


def _encode_surrogate(character: str) -> bytes:
    # PEP 383: U+DC80 to U+DCFF stand for the bytes 0x80 to 0xFF.
    byte = ord(character) - 0xDC00
    return bytes([byte]) if 0x80 <= byte <= 0xFF else character.encode("ascii", "backslashreplace")


def _flush_all() -> None:
    for buffer in list(_buffers):
        with contextlib.suppress(OutliveError):
            buffer.flush()


def _abandon_all() -> None:
    for buffer in list(_buffers):
        buffer.abandon()


codecs.register_error("outlive", _encode_surrogates)
atexit.register(_flush_all)
os.register_at_fork(after_in_child=_abandon_all)
