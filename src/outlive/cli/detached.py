"""A process that goes on without the terminal and the shell that it was started from."""

from __future__ import annotations

import contextlib
import os

__all__ = ["Detachment"]


class Detachment:
    """Splits this process: one half goes on alone, the other waits until that has begun."""

    def __init__(self) -> None:
        self._begun = -1

    def split(self) -> int | None:
        """Fork; returns None in the process that goes on, in this one the exit code.

        That is 0 once the other was released, otherwise its own. To be called without threads.
        """
        begun, self._begun = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(begun)
            # No terminal: no hang-up, and no Ctrl-C that was meant for others.
            os.setsid()
            return None
        os.close(self._begun)
        if os.read(begun, 1):
            return 0
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def release(self) -> None:
        """Let the other process go, and with it all that was inherited of the terminal."""
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        # Who waits for this may have been killed.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._begun, b"!")
        os.close(self._begun)
