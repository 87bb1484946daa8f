"""A command as a source: behind a pseudo-terminal, or behind pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

from .. import platforms
from ..channels import Channel
from ..entries import End, Kind, State
from ..errors import ConfigError
from ..processes import ProcessTree
from .base import KERNEL_BUFFER, DescriptorSource

__all__ = ["CommandSource", "WindowSize", "check_command", "explain_failure"]

#: Lines and columns of a terminal.
WindowSize = tuple[int, int]


#: Of functions, whose users do not expect processes to be killed.
_KILLED = "its process was killed, perhaps by the kernel for want of memory"


def check_command(argv: object) -> list[str]:
    """Take a command as it is given from Python; raises ConfigError where it is no list of arguments."""
    if isinstance(argv, str | bytes) or not isinstance(argv, Sequence) or not argv:
        raise ConfigError(f"give a command as a list of arguments, not as {argv!r:.100}")
    try:
        return [os.fsdecode(word) for word in argv]
    except TypeError as error:
        raise ConfigError(f"an argument of a command is a text or a path: {error}") from None


class CommandSource(DescriptorSource):
    """Runs an argument list, never a shell string, in a session of its own.

    With a pseudo-terminal every program writes line by line and draws its bars; its output is
    not processed, so that what is read is what was written. A `keyboard` is the terminal that
    keys come from: its modes are taken over, and the pseudo-terminal is the command's input, too.
    Otherwise that is `stdin`, by default the input of this process.

    With `adopts`, this process adopts all orphans among its descendants until the end, so that no
    daemon escapes, unless it has other children; it must not start others meanwhile.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        terminal: WindowSize | None,
        keyboard: int | None = None,
        stdin: int | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        channel: Channel | None = None,
        adopts: bool = False,
    ) -> None:
        self.outputs = {}
        self._terminal: int | None = None
        self._env = os.environ if env is None else env
        self.channel = channel
        self._adopts = adopts and platforms.adopt_orphans()
        self._hung_up = False
        if terminal is None:
            self._start_with_pipes(argv, cwd, stdin)
        else:
            self._start_with_terminal(argv, cwd, stdin, size=terminal, keyboard=keyboard)
        self._tree = ProcessTree(self._process.pid, adopts=self._adopts)
        self.over_fd = platforms.exit_descriptor(self._process.pid)

    def _start_with_pipes(self, argv: Sequence[str], cwd: str | None, stdin: int | None) -> None:
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=stdin,
            # Python programs keep 8 KiB back otherwise; others need the terminal for that.
            env={"PYTHONUNBUFFERED": "1", **self._env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=() if self.channel is None else (self.channel.other.fileno(),),
            start_new_session=True,
            bufsize=0,
        )
        for stream, kind in ((self._process.stdout, Kind.OUT), (self._process.stderr, Kind.ERR)):
            if stream is not None:
                fd = os.dup(stream.fileno())
                stream.close()
                with contextlib.suppress(OSError, AttributeError):
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, KERNEL_BUFFER)
                self.outputs[fd] = kind

    def _start_with_terminal(
        self,
        argv: Sequence[str],
        cwd: str | None,
        stdin: int | None,
        *,
        size: WindowSize,
        keyboard: int | None,
    ) -> None:
        is_alone = keyboard is not None or self._adopts
        master, slave = pty.openpty()
        try:
            _set_modes(slave, keyboard)
            _set_size(master, size)
            self._process = subprocess.Popen(
                argv,
                cwd=cwd,
                # Without a terminal of our own, nothing told the command what this one can do.
                env={"TERM": "xterm-256color", **self._env},
                stdin=stdin if keyboard is None else slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                # One ioctl, and no other way to do it. Not in a process with threads of others: what
                # runs between fork and exec may wait for a lock that one of them held.
                preexec_fn=_take_terminal if is_alone else None,  # noqa: PLW1509 - as said
            )
        except BaseException:
            os.close(master)
            os.close(slave)
            raise
        os.set_blocking(master, False)
        self.outputs[master] = Kind.OUT
        self._terminal = master
        # Kept open: the end of the last other one would hang up on a command that goes on without.
        self._slave = slave
        self.input_fd = None if keyboard is None else master

    def resize(self, size: WindowSize) -> None:
        """Tell the command that its terminal has another size."""
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                _set_size(self._terminal, size)

    def has_raw_output(self) -> bool:
        """Tell whether the command turned output processing off, as full-screen programs do."""
        if self._terminal is not None:
            with contextlib.suppress(termios.error):
                return not termios.tcgetattr(self._terminal)[1] & termios.OPOST
        return False

    def pass_on(self, number: int) -> None:
        self._tree.pass_on(number)

    def send_signal(self, number: int) -> list[str]:
        # A function cleans up: pools above all hang where their workers are ended by others.
        asks = self.channel is not None and number != signal.SIGKILL
        told = self._tree.ask(number) if asks else self._tree.send_signal(number)
        return [f"{one.name} {one.pid}" for one in told]

    def signal_rest(self) -> list[str]:
        if self.channel is None:
            return []
        return [f"{one.name} {one.pid}" for one in self._tree.send_signal(signal.SIGTERM)]

    def find_rest(self) -> list[str]:
        return [f"{one.name} {one.pid}{_note(one.pid)}" for one in self._tree.find()]

    def is_alive(self) -> bool:
        return bool(self._tree.find())

    def reap(self) -> None:
        if self._adopts:
            platforms.reap_orphans(self._process.pid)

    def hang_up(self) -> None:
        # A closed pipe says it all. To a terminal's program, the signal is sent that it would have
        # got; to one that ignores that, errors, when this is called again.
        if self._terminal is not None and not self._hung_up:
            self._hung_up = True
            self.pass_on(signal.SIGPIPE)
        else:
            for fd in [fd for fd, kind in self.outputs.items() if kind is Kind.OUT]:
                self.close_output(fd)

    def close_output(self, fd: int) -> None:
        super().close_output(fd)
        if fd == self._terminal:
            self._terminal = self.input_fd = None
            os.close(self._slave)
        os.close(fd)

    def close(self) -> None:
        for fd in list(self.outputs):
            self.close_output(fd)
        self._close_over_fd()
        if self.channel is not None:
            self.channel.close()
        if self._adopts:
            platforms.disown_orphans()

    def _close_over_fd(self) -> None:
        if self.over_fd is not None:
            os.close(self.over_fd)
            self.over_fd = None

    def end(self) -> End:
        code = self._process.wait()
        self._close_over_fd()
        if self.channel is not None and self.channel.told is not None and code == 0:
            return self.channel.told
        if code < 0:
            error = _KILLED if self.channel is not None and code == -signal.SIGKILL else None
            return End(State.FAILED, signal=signal_name(-code), error=error)
        return End(State.SUCCEEDED if code == 0 else State.FAILED, exit_code=code)


def explain_failure(command: str, error: OSError | ValueError) -> End:
    """Tell why a command could not be started (exit codes as of a POSIX shell)."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return End(State.FAILED, 127, None, f"command not found: {command}")
    # Not every OSError has an errno: there may be no pseudo-terminal left.
    why = (getattr(error, "strerror", None) or str(error)).lower()
    return End(State.FAILED, 126, None, f"cannot run {command}: {why}")


def signal_name(number: int) -> str:
    """Name a signal; those between SIGRTMIN and SIGRTMAX have no other name than their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _note(pid: int) -> str:
    """Tell what keeps a signal from a process, if that is known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        pass
    except PermissionError:
        return " (not permitted)"
    return ""


def _take_terminal() -> None:
    """Make standard output the controlling terminal of the new session."""
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


def _set_modes(fd: int, keyboard: int | None) -> None:
    """Take a keyboard's modes over, but let bytes pass as written.

    In front of a terminal OPOST itself stays, without effect: a program that clears it wants that
    terminal to be raw, too. Elsewhere it goes, for with it the kernel takes an eighth longer.
    """
    attributes = termios.tcgetattr(fd if keyboard is None else keyboard)
    attributes[1] = 0 if keyboard is None else termios.OPOST
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _set_size(fd: int, size: WindowSize) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
