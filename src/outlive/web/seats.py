"""How many viewers may watch in one process at once.

Each holds a thread, or at least a connection, for as long as it likes. One too many would be
answered by nobody, and whoever asks for anything else neither: so it is told to come again.
"""

from __future__ import annotations

import os
import threading
import weakref

from ..errors import TooManyViewers
from ..settings import viewer_limit

__all__ = ["Seat"]

_taken: set[object] = set()
_taking = threading.Lock()


class Seat:
    """A viewer's place among those of this process.

    It is free again once the viewer has left, or is garbage: not every server closes what it did
    not begin to send.
    """

    _leaving: weakref.finalize[[object], Seat] | None = None

    def take(self, capacity: int | None) -> None:
        """Take a place, once; raises TooManyViewers. `capacity` is how many the server can bear."""
        if self._leaving is not None:
            return
        place = object()
        with _taking:
            limit = viewer_limit(capacity)
            if len(_taken) >= limit:
                raise TooManyViewers(limit)
            _taken.add(place)
        # Without a lock: a collection of garbage may come amid anything.
        self._leaving = weakref.finalize(self, _taken.discard, place)
        self._leaving.atexit = False

    def leave(self) -> None:
        """Let others have it; from any thread, any number of times."""
        if self._leaving is not None:
            self._leaving()


def _forget_all() -> None:
    global _taking  # noqa: PLW0603 - another thread of the parent may have held it
    _taking = threading.Lock()
    _taken.clear()


os.register_at_fork(after_in_child=_forget_all)
