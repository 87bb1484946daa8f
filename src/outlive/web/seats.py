"""How many viewers may watch in one process at once.

Each holds a thread, or at least a connection, for as long as it likes. One too many would be
answered by nobody, and whoever asks for anything else neither: so it is told to come again.
"""

from __future__ import annotations

import os
import threading
from typing import ClassVar

from ..errors import TooManyViewers
from ..settings import viewer_limit

__all__ = ["Seat"]

_taking = threading.Lock()


class Seat:
    """A viewer's place among those of this process.

    It is free again once the viewer has left, or is garbage: not every server closes what it did
    not begin to send.
    """

    # There may be thousands: 180 bytes for each, where one with a finalizer has 580.
    __slots__ = ()
    #: Their identities. Not in the module, which may be gone before the last of them is.
    _taken: ClassVar[set[int]] = set()

    def take(self, capacity: int | None) -> None:
        """Take a place, once; raises TooManyViewers. `capacity` is how many the server can bear."""
        with _taking:
            if id(self) in self._taken:
                return
            limit = viewer_limit(capacity)
            if len(self._taken) >= limit:
                raise TooManyViewers(limit)
            self._taken.add(id(self))

    def leave(self) -> None:
        """Let others have it; from any thread, any number of times."""
        # Without a lock: a collection of garbage may come amid anything.
        self._taken.discard(id(self))

    __del__ = leave


def _forget_all() -> None:
    global _taking  # noqa: PLW0603 - another thread of the parent may have held it
    _taking = threading.Lock()
    Seat._taken.clear()  # noqa: SLF001 - its own module


os.register_at_fork(after_in_child=_forget_all)
