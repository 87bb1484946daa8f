"""A terminal to run programs in, as a person has it in front of them."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from typing import Any

from tests.helpers import eventually


class Terminal:
    """A pseudo-terminal, and a program in its foreground. What it shows is kept in `shown`."""

    def __init__(self, command: list[str], *, size: tuple[int, int] = (24, 80), **options: Any):
        self.shown = b""
        self._master, self._slave = os.openpty()
        self.resize(*size)
        self.modes_before = self.modes()
        streams = {"stdin": self._slave, "stdout": self._slave, "stderr": self._slave}
        self.process = subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no other way to do it
            **{**streams, **options},
        )

    def type(self, keys: bytes) -> None:
        """Press some keys."""
        os.write(self._master, keys)

    def resize(self, lines: int, columns: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def modes(self) -> list[Any]:
        """Get the terminal's modes."""
        return termios.tcgetattr(self._slave)

    def is_raw(self) -> bool:
        """Tell whether each key reaches the program as it is."""
        return not self.modes()[3] & termios.ICANON

    def read(self, seconds: float = 0.05) -> bytes:
        """Take what the program shows, waiting a little for it."""
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        data = os.read(self._master, 65536)
        self.shown += data
        return data

    def expect(self, text: bytes, *, seconds: float = 30.0) -> None:
        """Wait until the program has shown something."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, (text, self.shown[-2000:])
            self.read()

    def wait(self, *, seconds: float = 30.0) -> int:
        """Wait for the program's end, taking what it shows; returns its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown[-2000:]
            self.read(0.02)
        while self.read(0):
            pass
        return self.process.returncode

    def wait_without_reading(self) -> int:
        """Wait for the program's end without taking anything."""
        eventually(lambda: self.process.poll() is not None)
        return self.process.returncode

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self._slave)
        os.close(self._master)
        self._master, self._slave = os.openpty()

    def close(self) -> None:
        """End whatever is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
            self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)
