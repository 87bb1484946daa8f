"""Standard output and standard error as sources: streams that know whose prints they get."""

from __future__ import annotations

import atexit
import contextlib
import io
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from ..buffers import CURRENT_BUFFER, Buffer, encode_text
from ..entries import Kind

__all__ = ["route_streams"]

# Bound once: this is asked at each print.
_current = CURRENT_BUFFER.get


def route_streams() -> None:
    """Put streams that route in the place of `sys.stdout` and `sys.stderr`, where there are none.

    They stay for good, and outside of runs pass everything through. Whatever is there when a run
    starts is routed; who puts something else there afterwards has it.
    """
    for name, kind in (("stdout", RoutedText), ("stderr", RoutedErrors)):
        original = getattr(sys, f"__{name}__")
        routed = _routed_original(original, kind)
        stream = getattr(sys, name)
        if stream is original:
            setattr(sys, name, routed)
        elif not isinstance(stream, RoutedText):
            setattr(sys, name, kind(stream, routed))


def _routed_original(original: TextIO | None, kind: type[RoutedText]) -> RoutedText:
    """Route what the process began with, also for those who kept it before any run.

    `print` and handlers of logging look `write` up in the stream itself, where it can be set.
    """
    routed = _originals.get(kind)
    if routed is None or routed.through is not original:
        routed = _originals[kind] = kind(original, None)
        # A stream of another kind may refuse: then only `sys.stdout` itself is routed.
        with contextlib.suppress(TypeError):
            vars(original).update(write=routed.write, flush=routed.flush, isatty=routed.isatty)
            atexit.register(_restore, original)
    return routed


def _restore(original: TextIO | None) -> None:
    """Leave the original as it was: it is there for longer than this module."""
    for name in ("write", "flush", "isatty"):
        vars(original).pop(name, None)


class RoutedText(io.TextIOBase):
    """Standard output: to the current run, and outside of runs to the stream that was there."""

    def __init__(self, through: TextIO | None, original: RoutedText | None) -> None:
        self.through = through
        #: Where to write when `through` itself writes to us.
        self._original = original
        #: The threads that are passing something through just now.
        self._passing: set[int] = set()
        # As they are now: the original's own are replaced.
        self.write_original: Callable[[str], int] = getattr(through, "write", len)
        self._through_flush = getattr(through, "flush", _do_nothing)
        self._through_isatty = getattr(through, "isatty", _answer_no)
        self._binary: RoutedBinary | None = None
        # Bound here and once, not at each print: a fifteenth of one.
        self.write = self._write  # type: ignore[method-assign]

    def _write(self, text: str, /) -> int:
        buffer = _current()
        if buffer is None:
            return self.write_through(text)
        # In two steps: a method that is no method of the class is called slower in one.
        write = buffer.write
        size = write(text)
        return self._take(buffer, text) if size is None else size

    def _take(self, buffer: Buffer, text: str) -> int:
        size = buffer.take(text)
        if size is not None and not buffer.echo:
            return size
        return self.write_through(text)

    def write_bytes(self, data: bytes) -> None:
        """Write to the current run, which there must be."""
        buffer = living_buffer()
        if buffer is not None:
            buffer.add(Kind.OUT, data)

    def write_through(self, text: str) -> int:
        """Write as if there were no run."""
        thread = threading.get_ident()
        if thread in self._passing:
            # `through` wrote to us: it looks `sys.stdout` up, or a signal handler printed.
            return (self._original or self).write_original(text)
        try:
            self._passing.add(thread)
            return self.write_original(text)
        finally:
            self._passing.discard(thread)

    def flush(self) -> None:
        buffer = living_buffer()
        if buffer is not None:
            buffer.flush()
        thread = threading.get_ident()
        if (buffer is None or buffer.echo) and thread not in self._passing:
            try:
                self._passing.add(thread)
                self._through_flush()
            finally:
                self._passing.discard(thread)

    def isatty(self) -> bool:
        return living_buffer() is None and bool(self._through_isatty())

    def fileno(self) -> int:
        return self._stream().fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if living_buffer() is None:
            self._stream().close()

    def __del__(self) -> None:
        # That of the base would close, and with it the stream that goes on without us.
        pass

    @property
    def closed(self) -> bool:
        return living_buffer() is None and bool(getattr(self.through, "closed", False))

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8" if living_buffer() else getattr(self.through, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return "surrogateescape" if living_buffer() else getattr(self.through, "errors", None)

    @property
    def newlines(self) -> Any:  # type: ignore[override]  # noqa: ANN401 - as the base has it
        return getattr(self.through, "newlines", None)

    @property
    def buffer(self) -> RoutedBinary:
        """The stream that takes bytes."""
        if self._binary is None:
            self._binary = RoutedBinary(self)
        return self._binary

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream(), name)

    def _stream(self) -> TextIO:
        if self.through is None:
            raise io.UnsupportedOperation("this process has no such stream")
        return self.through


class RoutedErrors(RoutedText):
    """Standard error: each line is acknowledged."""

    def _write(self, text: str, /) -> int:
        buffer = living_buffer()
        if buffer is None or not isinstance(text, str):
            return self.write_through(text)
        if buffer.echo:
            self.write_through(text)
        self.write_bytes(encode_text(text))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        buffer = living_buffer()
        if buffer is not None and buffer.add(Kind.ERR, data) and b"\n" in data:
            buffer.flush()


class RoutedBinary(io.BufferedIOBase):
    """What `sys.stdout.buffer` is: takes bytes, in their order among the texts."""

    def __init__(self, text: RoutedText) -> None:
        self._text = text

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - anything that has bytes
        buffer = living_buffer()
        if buffer is None:
            return int(self._stream().write(data))
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        content = bytes(memoryview(data))
        if buffer.echo:
            self._stream().write(content)
        self._text.write_bytes(content)
        return len(content)

    def flush(self) -> None:
        self._text.flush()

    def fileno(self) -> int:
        return self._text.fileno()

    def isatty(self) -> bool:
        return self._text.isatty()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self._text.close()

    def __del__(self) -> None:
        pass

    @property
    def closed(self) -> bool:
        return self._text.closed

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream(), name)

    def _stream(self) -> Any:  # noqa: ANN401 - any binary stream
        if self._text.through is None:
            raise io.UnsupportedOperation("this process has no such stream")
        return self._text.through.buffer


_originals: dict[type[RoutedText], RoutedText] = {}


def living_buffer() -> Buffer | None:
    """Get the buffer of the current run, unless that has ended."""
    buffer = _current()
    return None if buffer is None or buffer.closed else buffer


def _do_nothing() -> None:
    pass


def _answer_no() -> bool:
    return False
