"""The pump for sockets: one loop sends to all viewers, in a process of its own or a thread.

What an adapter needs is here: seats of an engine for its requests, and a host for its sockets.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import ConfigError, EngineError
from ...journals.base import Journal
from ...seats import OwnSeats
from ...settings import ENGINE
from ...stores import find_home
from ...viewers import Seat
from .framings import CHUNKED, CLOSED, Framing

if TYPE_CHECKING:
    from .hosts import Host

__all__ = ["CHUNKED", "CLOSED", "EngineSeats", "Framing", "find_engine"]


def find_engine(journal: Journal) -> Host | None:
    """Find what sends a journal to sockets, as the setting says; None where nothing does.

    Raises ConfigError.
    """
    kind = ENGINE.value()
    if kind not in ("process", "thread", "off"):
        raise ConfigError(f"{ENGINE.variable}: process, thread or off, not {kind[:40]!r}")
    # Elsewhere there is neither epoll nor /proc.
    if kind == "off" or sys.platform != "linux":
        return None
    home = find_home(journal) if kind == "process" else None
    if home is None:
        # What is in memory no other process can read.
        from .hosts import ThreadHost

        return ThreadHost()
    from .processes import find_process

    return find_process(home)


@dataclass(frozen=True)
class EngineSeats:
    """The seats where a journal's viewers are sent to; where there is no engine, others."""

    others: OwnSeats = field(default_factory=OwnSeats)

    def take(self, journal: Journal | None, run: str | None, address: str) -> Seat:
        """Take a seat; raises TooManyViewers. See `SeatTable.take`."""
        host = None if journal is None else find_engine(journal)
        if host is not None:
            with contextlib.suppress(EngineError):
                return host.take(run, address)
        return self.others.take(journal, run, address)
