"""Records of `logging` as a source.

No handler on the root logger: with one, `logging.basicConfig()` would do nothing, and
`dictConfig()` would take it away. Instead, while a run lives, loggers ask here first.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache

from ..buffers import CURRENT_BUFFER, Buffer, encode_text
from ..entries import Kind

__all__ = ["DEFAULT_FORMATTER", "capture_logs"]

DEFAULT_FORMATTER = logging.Formatter("%(levelname)s %(name)s: %(message)s")


@contextlib.contextmanager
def capture_logs(
    buffer: Buffer, *, level: int | None = None, formatter: logging.Formatter | None = None
) -> Iterator[None]:
    """Make the records of a run's work entries of it, and hand them on as if there were no run.

    All that the loggers' configuration lets through is taken; with a `level`, all from that on,
    of which other handlers still see only what they would have seen.
    """
    buffer.recorder = _Recorder(buffer, level, formatter or DEFAULT_FORMATTER)
    hooks = [_records] if level is None else [_records, _levels]
    for hook in hooks:
        hook.take()
    try:
        yield
    finally:
        buffer.recorder = None
        for hook in hooks:
            hook.release()


class _Recorder(logging.Handler):
    """Writes the records of one run."""

    def __init__(self, buffer: Buffer, level: int | None, formatter: logging.Formatter) -> None:
        # Not that of Handler: it would register this with `logging.shutdown`, and make a lock.
        logging.Filterer.__init__(self)
        self.level = logging.NOTSET if level is None else level
        #: The level that the run has of its own, if it has one.
        self.asked_level = level
        self.formatter = formatter
        self._buffer = buffer

    def emit(self, record: logging.LogRecord) -> None:
        # The formatter keeps the traceback in the record, where others would find it.
        kept = record.exc_text
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler: work does not fail of its logging
            self.handleError(record)
            return
        finally:
            record.exc_text = kept
        head = _head(record.levelname, record.name)
        self._buffer.add(Kind.LOG, head + encode_text(text) + b"\n")


@lru_cache(1024)
def _head(level: str, logger: str) -> bytes:
    return json.dumps({"level": level, "logger": logger}).encode() + b"\n"


class _Hook:
    """Replaces a method of all loggers while somebody needs it."""

    def __init__(self, name: str, replacement: Callable[..., object]) -> None:
        self._name = name
        self._replacement = replacement
        self._users = 0
        self._reset_lock()
        # Another thread of the parent may have held it.
        os.register_at_fork(after_in_child=self._reset_lock)
        self.original: Callable[..., object] = getattr(logging.Logger, name)
        self._is_there = False

    def _reset_lock(self) -> None:
        self._lock = threading.Lock()

    def take(self) -> None:
        """Put it there, for the first of its users."""
        with self._lock:
            self._users += 1
            if not self._is_there:
                self.original = getattr(logging.Logger, self._name)
                setattr(logging.Logger, self._name, self._replacement)
                self._is_there = True

    def release(self) -> None:
        """Take it away after the last one."""
        with self._lock:
            self._users -= 1
            # Where somebody has wrapped it meanwhile, it stays, and does nothing outside of runs.
            is_ours = getattr(logging.Logger, self._name) is self._replacement
            if not self._users and is_ours:
                setattr(logging.Logger, self._name, self.original)
                self._is_there = False


def _call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
    buffer = CURRENT_BUFFER.get()
    recorder = None if buffer is None or buffer.closed else buffer.recorder
    if not isinstance(recorder, _Recorder):
        _records.original(self, record)
        return
    if record.levelno >= recorder.level:
        recorder.emit(record)
    if recorder.asked_level is not None and not _levels.original(self, record.levelno):
        return
    # Without a run: what a handler writes to standard error is no further line of it.
    # Within: a KeyboardInterrupt may come right after, and what is printed then is the run's again.
    try:
        CURRENT_BUFFER.set(None)
        _records.original(self, record)
    finally:
        CURRENT_BUFFER.set(buffer)


def _is_enabled_for(self: logging.Logger, level: int) -> object:
    if _levels.original(self, level):
        return True
    buffer = CURRENT_BUFFER.get()
    recorder = None if buffer is None or buffer.closed else buffer.recorder
    return (
        isinstance(recorder, _Recorder)
        and recorder.asked_level is not None
        and level >= recorder.level
        and not self.disabled
        and self.manager.disable < level
    )


_records = _Hook("callHandlers", _call_handlers)
_levels = _Hook("isEnabledFor", _is_enabled_for)
