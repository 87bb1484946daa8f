"""What wakes a supervisor from outside of its source."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Any, Self

__all__ = ["CANCEL", "ENDING_SIGNALS", "NOTICES", "Wakes"]

#: Among the numbers of signals, a request to cancel.
CANCEL = 0
#: They ask this process to go, with all that it supervises.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: They ask for nothing.
NOTICES = bytes([signal.SIGWINCH, signal.SIGCHLD])

_SIGNALS = (signal.SIGINT, signal.SIGWINCH, signal.SIGCHLD, *ENDING_SIGNALS)


class Wakes:
    """What wakes a supervisor: requests to cancel, and signals while in the context.

    Signals that were ignored from outside stay so, as nohup(1) wants it. Only the main thread can
    have `signals`.
    """

    fd: int

    def __init__(self, *, signals: bool = True) -> None:
        self._signals = _SIGNALS if signals else ()
        #: Set by every signal that asks for an end.
        self.enough = threading.Event()
        #: Whether one of them asked this process to go, not only the work to end.
        self.leaving = False
        self._lock = threading.Lock()
        self._entry: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.fd, self._entry = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._signals:
            self._before_fd = signal.set_wakeup_fd(self._entry, warn_on_full_buffer=False)
        for number in self._signals:
            # Where this one is ignored, the kernel throws exit codes away.
            if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._signals:
            signal.set_wakeup_fd(self._before_fd)
        with self._lock:
            os.close(self._entry or -1)
            self._entry = None
        os.close(self.fd)

    def _on_signal(self, number: int, _: object) -> None:
        if number not in NOTICES:
            self.enough.set()
        self.leaving = self.leaving or number in ENDING_SIGNALS

    def cancel(self) -> None:
        """Add a request to cancel."""
        self.add(CANCEL)

    def add(self, number: int) -> None:
        """Add the number of a signal, as if this process had got it; safe from any thread."""
        # A number of a descriptor that is closed here may mean another file by now.
        with self._lock, contextlib.suppress(OSError):
            if self._entry is not None:
                os.write(self._entry, bytes([number]))

    def take(self) -> bytes:
        """Take what came: numbers of signals, and 0 for a request to cancel."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, 4096)
        return b""
