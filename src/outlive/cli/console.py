"""The terminal that `outlive run` stands in front of, as if it were not there."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import termios
from typing import Self

from ..entries import Kind
from ..sources.command import CommandSource, WindowSize

__all__ = ["TerminalConsole", "keyboard_of", "say", "window_size"]


def keyboard_of(fd: int = 0) -> int | None:
    """Get the descriptor that keys come from: none in the background, or without a terminal."""
    try:
        if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
            return fd
    except OSError:
        pass
    return None


def window_size() -> WindowSize:
    """Get the lines and columns of the terminal, or those usual where there is none."""
    for fd in (1, 0, 2):
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(fd)
            if size.columns and size.lines:
                return size.lines, size.columns
    columns, lines = shutil.get_terminal_size()
    return lines, columns


class _Output:
    """A descriptor that output is passed on to, without waiting for whoever reads it."""

    def __init__(self, fd: int) -> None:
        self.fd = _open_again(fd)
        self.closed = False
        self.pending = memoryview(b"")

    def write(self, data: bytes) -> None:
        self.pending = memoryview(bytes(self.pending) + data if self.pending else data)
        self.flush()

    def flush(self) -> None:
        while self.pending and not self.closed:
            try:
                self.pending = self.pending[os.write(self.fd, self.pending) :]
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
        if self.closed:
            self.pending = memoryview(b"")


def _open_again(fd: int) -> int:
    """Open a terminal or a pipe once more, not to wait in writes.

    O_NONBLOCK belongs to the open file description, which others share: ours must be another one.
    """
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or os.isatty(fd):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/dev/fd/{fd}", flags)
    except OSError:
        pass
    return fd


class TerminalConsole:
    """Standard input, output and error; with a keyboard, in raw mode while in the context."""

    def __init__(self, keyboard: int | None) -> None:
        self.keyboard = keyboard
        #: The command whose terminal stands behind this one.
        self.command: CommandSource | None = None
        self._outputs = {Kind.OUT: _Output(1), Kind.ERR: _Output(2)}
        self._cooked = None if keyboard is None else termios.tcgetattr(keyboard)
        self._keyboard = keyboard
        self._is_raw_output = False

    def __enter__(self) -> Self:
        self._set_mode(raw_output=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._keyboard is not None and self._cooked is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._keyboard, termios.TCSANOW, self._cooked)

    def _set_mode(self, *, raw_output: bool) -> None:
        """Let every key pass as a byte; lines on the screen are still ended by CR and LF."""
        if self._keyboard is None or self._cooked is None:
            return
        mode = list(self._cooked)
        mode[0] &= ~(
            termios.BRKINT | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.INPCK
            | termios.ISTRIP | termios.IXON | termios.PARMRK
        )  # fmt: skip
        if raw_output:
            mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        control = list(self._cooked[6])
        control[termios.VMIN], control[termios.VTIME] = 1, 0
        mode[6] = control
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._keyboard, termios.TCSANOW, mode)

    def show(self, kind: Kind, data: bytes) -> None:
        if self._keyboard is not None and self.command is not None:
            raw = self.command.has_raw_output()
            if raw != self._is_raw_output:
                self._is_raw_output = raw
                self._set_mode(raw_output=raw)
        self._outputs.get(kind, self._outputs[Kind.OUT]).write(data)

    def blocked(self) -> list[int]:
        return [output.fd for output in self._outputs.values() if output.pending]

    def flush(self) -> None:
        for output in self._outputs.values():
            output.flush()

    def is_closed(self) -> bool:
        return self._outputs[Kind.OUT].closed

    def resized(self) -> None:
        if self.command is not None:
            self.command.resize(window_size())


def say(message: str) -> None:
    """Write a line of our own to standard error, if anybody takes it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
