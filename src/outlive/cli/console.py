"""The terminal that `outlive run` stands in front of, as if it were not there."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import stat
import sys
import termios
from collections.abc import Callable
from typing import Self

from ..entries import Kind
from ..sources.command import CommandSource, WindowSize

__all__ = ["TerminalConsole", "has_terminal", "in_background", "printable", "say", "window_size"]


#: How long a terminal that stopped reading may keep a line of our own waiting.
_PATIENCE_SECONDS = 2.0


def has_terminal() -> bool:
    """Tell whether a terminal is at both ends: otherwise it is another program's to work with."""
    return os.isatty(0) and os.isatty(1) and not in_background()


def in_background() -> bool:
    """Tell whether standard input is a terminal whose keys are for somebody else."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        # It is not the terminal of our session: nobody's keys are taken away.
        return False


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
        self._send = _sender(self.fd)
        self.closed = False
        self.pending = memoryview(b"")

    def write(self, data: bytes) -> None:
        self.pending = memoryview(bytes(self.pending) + data if self.pending else data)
        self.flush()

    def flush(self) -> None:
        while self.pending and not self.closed:
            try:
                self.pending = self.pending[self._send(self.pending) :]
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


def _sender(fd: int) -> Callable[[memoryview], int]:
    """Get what writes to a descriptor; sockets, which cannot be opened again, need not wait."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return lambda data: os.write(fd, data)
    peer = socket.socket(fileno=os.dup(fd))
    return lambda data: peer.send(data, socket.MSG_DONTWAIT)


class TerminalConsole:
    """Standard input, output and error; with a keyboard, in raw mode while in the context."""

    def __init__(self, keyboard: int | None = None) -> None:
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


def printable(text: str) -> str:
    """Take out of a text what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" for c in text)


def say(message: str) -> None:
    """Write a line of our own to standard error, if anybody takes it."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    # What `sys.stderr` cannot write now, it would try again at the interpreter's end, and fail.
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError):
        if poll.poll(_PATIENCE_SECONDS * 1000):
            os.write(2, f"{printable(message)}\n".encode(encoding, "replace"))
