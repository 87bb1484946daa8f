"""What the work of this process has written and its journal has not yet.

A `print` of 100 bytes costs about what one to a plain file does: a text is appended to a list, its
length is counted, and one question is asked. Nothing cleverer is needed.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from itertools import groupby
from queue import SimpleQueue
from typing import TYPE_CHECKING, cast

from .entries import Kind
from .errors import OutliveError
from .journals.base import JournalWriter

if TYPE_CHECKING:
    from logging import Handler

__all__ = ["CURRENT_BUFFER", "Buffer", "encode_text"]

#: Characters; a producer that is faster than the disk waits for the disk, never for a viewer.
BUFFER_SIZE = 16 * 1024 * 1024

#: Text of standard output as it was printed, or anything else: kind, payload and origin.
Item = str | tuple[Kind, bytes, int]


class Buffer:
    """Collects what all threads of a run write, in order; a thread of its own appends it.

    What piles up while that appends becomes one entry. `items`, `room`, `awake` and `closed` are
    open to the one hot path, `print`: append a text, take its length from the room, and unless
    there is room and somebody awake, ask whether it is closed and `hurry`. A buffer that echoes
    is never `awake`: its texts take the way where there is time to.

    Signal handlers and `__del__` may write at any moment: what they can meet is reentrant.
    """

    __slots__ = (
        "__weakref__", "_appending", "_called", "_gate", "_last", "_mutex", "_over", "_wakes", "_writer",
        "awake", "closed", "echo", "items", "recorder", "room",
    )  # fmt: skip

    def __init__(self, writer: JournalWriter, *, echo: bool = False) -> None:
        self.items: list[Item] = []
        self.room = BUFFER_SIZE
        self.awake = False
        self.closed = False
        self.echo = echo
        #: Takes the records of logging, where they are captured.
        self.recorder: Handler | None = None
        self._writer = writer
        self._called = False
        self._over = False
        self._reset_locks()
        # Not at the first print, which may be a signal handler's: to start a thread takes locks.
        threading.Thread(target=self._work, name="outlive-flush", daemon=True).start()
        _buffers.add(self)

    def _reset_locks(self) -> None:
        self._gate = threading.RLock()
        self._mutex = threading.RLock()
        self._appending = False
        # The one queue whose `put` may be interrupted by itself. None wakes the flusher; a held
        # lock is released once everything before it is appended.
        self._wakes: SimpleQueue[threading.Lock | None] = SimpleQueue()
        #: The last one of those.
        self._last: threading.Lock | None = None

    def add(self, kind: Kind, payload: bytes, origin: int = 0) -> bool:
        """Take anything but a printed text; tells whether it was taken: not after the end."""
        with self._gate:
            if self.closed:
                return False
            self.items.append((kind, payload, origin))
        self.room -= len(payload)
        if not self.awake or self.room < 0:
            self.hurry()
        return True

    def hurry(self) -> None:
        """Wake the flusher, or wait for it where it cannot keep up."""
        if self.room < 0:
            self.flush()
        with self._gate:
            if not self._called and not self.closed:
                self._called = True
                self.awake = not self.echo
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
            return
        # In the main thread a signal handler, or KeyboardInterrupt, could come between any two
        # steps of an append.
        done = _held_lock()
        with self._gate:
            if self.closed:
                return
            self._wakes.put(done)
        done.acquire()

    def close(self) -> None:
        """Take no more, return when everything is appended, and end the thread."""
        with self._gate:
            if self.closed:
                return
            self.closed = True
            self.awake = False
            self._last = _held_lock()
            self._wakes.put(self._last)
        if sys.is_finalizing():
            self._append_all(last=True)
        else:
            self._last.acquire()
        _buffers.discard(self)

    def take_rest(self) -> list[str]:
        """Take what was printed too late, by a thread that was left over."""
        with self._mutex:
            # Before, it is in time.
            rest = self._take() if self._over else []
        return [item for item in rest if isinstance(item, str)]

    def abandon(self) -> None:
        """Forget everything in a forked child: it is the parent's."""
        self.closed = self._over = True
        self.awake = False
        self.items = []
        self._reset_locks()

    def _work(self) -> None:
        while not self._over:
            wake = self._wakes.get()
            try:
                self._append_all(last=wake is not None and wake is self._last)
            except Exception:  # noqa: BLE001 - somebody may wait for this thread
                sys.excepthook(*sys.exc_info())
            if wake is not None:
                wake.release()
            self.awake = False
            self._called = False
            if self.items:
                # Somebody found us awake just before. Behind those who wait already.
                self._wakes.put(None)

    def _append_all(self, *, last: bool = False) -> None:
        """Append what is there, once: a thread that never stops printing must not hold others."""
        with self._mutex:
            if self._appending or self._over:
                return
            self._appending = True
            try:
                self._append(self._take())
            finally:
                self._appending = False
                self._over = last

    def _take(self) -> list[Item]:
        items = self.items[:]
        # Others append meanwhile, to this very list.
        del self.items[: len(items)]
        self.room = BUFFER_SIZE
        return items

    def _append(self, items: list[Item]) -> None:
        try:
            # Prints and nothing else, as a rule: one operation for all of them.
            text = "".join(cast("list[str]", items))
        except TypeError:
            for (kind, origin), group in groupby(items, _place):
                for payload in _payloads(kind, group):
                    self._writer.append(kind, payload, origin)
            return
        if text:
            self._writer.append(Kind.OUT, encode_text(text))


#: Whose prints and records these are; None outside of runs, and where nobody captures.
CURRENT_BUFFER: ContextVar[Buffer | None] = ContextVar("outlive_buffer", default=None)

_buffers: weakref.WeakSet[Buffer] = weakref.WeakSet()


def _held_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _place(item: Item) -> tuple[Kind, int]:
    return (Kind.OUT, 0) if isinstance(item, str) else (item[0], item[2])


def _payloads(kind: Kind, items: Iterable[Item]) -> Iterable[bytes]:
    payloads = (encode_text(item) if isinstance(item, str) else item[1] for item in items)
    if kind in (Kind.OUT, Kind.ERR):
        text = b"".join(payloads)
        return [text] if text else []
    return payloads


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
