"""How many viewers may watch at once: in all, one run, and from one address.

Each holds a thread, or at least a connection, for as long as it likes. One too many would be
answered by nobody, and whoever asks for anything else neither: so it is told to come again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter, deque
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from .errors import TooManyViewers
from .journals.base import Journal
from .settings import VIEWERS, VIEWERS_PER_ADDRESS, VIEWERS_PER_RUN

__all__ = ["Limits", "OwnSeats", "Seat", "SeatTable", "read_limits"]

#: Of processes that tell nothing of themselves: so many threads, at most, were found to do no harm.
THREADS = 1000


class Limits(NamedTuple):
    """How many may watch at once; None: as many as there are."""

    in_all: int | None = None
    per_run: int | None = None
    per_address: int | None = None

    def within(self, capacity: int | None) -> Limits:
        """Limit those in all, unless they are, to what a server and its open files can bear."""
        if self.in_all is not None:
            return self
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            # Each has a connection, and may have a run of its own, which is read from a file.
            capacity = files // 2 if capacity is None else min(capacity, files // 2)
        return self._replace(in_all=capacity)


def read_limits() -> Limits:
    """Read what the settings limit; raises ConfigError."""
    return Limits(VIEWERS.number(), VIEWERS_PER_RUN.number(), VIEWERS_PER_ADDRESS.number())


class SeatTable:
    """Who sits where one process sends; safe to use from several threads.

    Runs and addresses are counted only where they are limited.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Seats that are free again, but for the counting.
        self._left: deque[Seat] = deque()
        self._taken = 0
        self._runs: Counter[str | None] = Counter()
        self._addresses: Counter[str | None] = Counter()

    def take(self, run: str | None, address: str, limits: Limits) -> Seat:
        """Take a seat; raises TooManyViewers.

        `run` is None where it is not known yet, or has no limit, as the activity; `address` is that
        of the peer, and what is none is not limited.
        """
        peer = None if limits.per_address is None else _find_host(address)
        with self._lock:
            self._count_left()
            if limits.in_all is not None and self._taken >= limits.in_all:
                raise TooManyViewers(limits.in_all)
            _check(self._runs[run], limits.per_run, "run")
            _check(self._addresses[peer], limits.per_address, "address")
            seat = Seat(self, limits.per_run, peer)
            self._taken += 1
            if peer is not None:
                self._addresses[peer] += 1
            self._name(seat, run)
            return seat

    def name_run(self, seat: Seat, run: str) -> None:
        """Say which run it turned out to be; raises TooManyViewers, and leaves the seat as it is."""
        with self._lock:
            self._count_left()
            if seat.run is None:
                _check(self._runs[run], seat.per_run, "run")
                self._name(seat, run)

    def _name(self, seat: Seat, run: str | None) -> None:
        if seat.per_run is not None and run is not None and seat.is_taken:
            seat.run = run
            self._runs[run] += 1

    def leave(self, seat: Seat) -> None:
        """Let others have a seat; from any thread, any number of times."""
        # Without the lock: a collection of garbage may come amid anything.
        self._left.append(seat)

    def _count_left(self) -> None:
        while self._left:
            seat = self._left.popleft()
            if seat.is_taken:
                seat.is_taken = False
                self._taken -= 1
                _count_down(self._runs, seat.run)
                _count_down(self._addresses, seat.address)


def _find_host(address: str) -> str | None:
    """Find the address of a host; of Unix sockets servers tell nothing, or a word."""
    with contextlib.suppress(ValueError):
        return str(ip_address(address))
    return None


def _check(taken: int, limit: int | None, what: str) -> None:
    if limit is not None and taken >= limit:
        raise TooManyViewers(limit, what)


def _count_down(counter: Counter[str | None], key: str | None) -> None:
    if key is not None:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]


class Seat:
    """A viewer's place in a table.

    It is free again once the viewer has left, or is garbage: not every server closes what it did
    not begin to send.
    """

    __slots__ = ("_table", "address", "is_taken", "per_run", "run")

    def __init__(self, table: SeatTable, per_run: int | None, address: str | None) -> None:
        self._table = table
        self.per_run = per_run
        #: What it counts for, besides all.
        self.run: str | None = None
        self.address = address
        self.is_taken = True

    def name_run(self, run: str) -> None:
        """Say which run it turned out to be, once it is started; raises TooManyViewers."""
        self._table.name_run(self, run)

    def leave(self) -> None:
        """Let others have it; from any thread, any number of times."""
        if self.is_taken:
            self._table.leave(self)

    __del__ = leave


@dataclass(frozen=True)
class OwnSeats:
    """The seats of this process, whose server can bear `capacity` streams at once, if it tells."""

    capacity: int | None = None

    def take(self, journal: Journal | None, run: str | None, address: str) -> Seat:  # noqa: ARG002 - for where the journal has an engine
        """Take a seat; raises TooManyViewers. See `SeatTable.take`."""
        capacity = THREADS if self.capacity is None else self.capacity
        return _own.take(run, address, read_limits().within(capacity))


_own = SeatTable()


def _begin_anew() -> None:
    global _own  # noqa: PLW0603 - the viewers are the parent's
    _own = SeatTable()


os.register_at_fork(after_in_child=_begin_anew)
