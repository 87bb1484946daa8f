"""Moments in which Ctrl-C has to wait: it may come between any two steps of a beginning or an end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

__all__ = ["HeldInterrupts"]


class HeldInterrupts:
    """A context in which Ctrl-C waits for its end; a second one is let through at once."""

    def __enter__(self) -> Self:
        self._held: list[tuple[int, FrameType | None]] = []
        self._handler = _handler()
        if self._handler is not None:
            try:
                signal.signal(signal.SIGINT, self._hold)
            except ValueError:
                # A subinterpreter, as of mod_wsgi, has a main thread that is never interrupted.
                self._handler = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            for interrupt in self._held:
                self._handler(*interrupt)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._held and self._handler is not None:
            self._held.clear()
            self._handler(number, frame)
        else:
            self._held.append((number, frame))


def _handler() -> Callable[[int, FrameType | None], Any] | None:
    """Get what Ctrl-C calls here: nothing in other threads than the main one."""
    handler = signal.getsignal(signal.SIGINT)
    # One that was not set from Python could not be put back.
    is_here = threading.current_thread() is threading.main_thread() and callable(handler)
    return handler if is_here and callable(handler) else None
