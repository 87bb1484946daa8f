"""The processes of a command: who belongs to it, how they are signalled, who is left."""

from __future__ import annotations

import contextlib
import os
import signal

from . import platforms
from .platforms import Process

__all__ = ["ProcessTree"]

#: Looks for groups that were made while others were signalled: enough for all but a fork bomb.
_ROUNDS = 10


class ProcessTree:
    """A command, in a session of its own, and all that it started.

    What left the session is found by its parents. With `adopts`, this process has adopted whatever
    lost those, and no other children: then nothing escapes. Without, a daemon that was orphaned
    before anybody looked does.
    """

    def __init__(self, command: int, *, adopts: bool) -> None:
        self._command = command
        self._adopts = adopts
        #: Sessions that had members at the last look: their numbers cannot be others' by now.
        self._sessions = {command}

    def find(self) -> list[Process]:
        """Find those who live. Twice before it is nobody: one may fork and end amid a look."""
        found = self._look() or self._look()
        self._sessions = {process.session for process in found}
        return found

    def _look(self) -> list[Process]:
        if self._adopts:
            platforms.reap_orphans(self._command)
        elif not self._sessions:
            # Once nothing was left, the command's number may be another one's.
            return []
        listed = platforms.list_processes()
        if not listed:
            return _ask_group(self._command)
        return [process for process in listed.values() if self._has(process, listed)]

    def _has(self, process: Process, listed: dict[int, Process]) -> bool:
        if not self._adopts and process.session in self._sessions:
            return True
        root = os.getpid() if self._adopts else self._command
        # The list is no snapshot: with numbers that are used again meanwhile, it may have circles.
        for _ in range(len(listed)):
            if process.parent == root:
                return True
            if process.parent not in listed:
                return False
            process = listed[process.parent]
        return False

    def pass_on(self, number: int) -> None:
        """Send a signal to those in the command's session, as a terminal would."""
        for group in {one.group for one in self.find() if one.session == self._command}:
            _signal_group(group, number)

    def ask(self, number: int) -> list[Process]:
        """Send a signal to the command alone, which looks after the others; returns who got it."""
        found = [one for one in self.find() if one.pid == self._command]
        for _ in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._command, number)
                os.kill(self._command, signal.SIGCONT)
        return found

    def send_signal(self, number: int) -> list[Process]:
        """Send a signal to everybody, and wake who is stopped; returns who got it.

        By groups: a group is signalled as a whole, also who is just being forked in it.
        """
        told: dict[int, Process] = {}
        groups: set[int] = set()
        for _ in range(_ROUNDS):
            fresh = [one for one in self.find() if one.group not in groups]
            if not fresh:
                break
            for group in {one.group for one in fresh}:
                _signal_group(group, number)
                groups.add(group)
            told.update((one.pid, one) for one in fresh)
        return list(told.values())


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        # What is stopped would not notice.
        os.killpg(group, signal.SIGCONT)


def _ask_group(group: int) -> list[Process]:
    """Tell of a group all that can be told where processes are not listed."""
    with contextlib.suppress(ProcessLookupError):
        with contextlib.suppress(PermissionError):
            os.killpg(group, 0)
        return [Process(group, 0, group, group, 0, "group")]
    return []
