"""A timer wheel: what is due is found by turns, whatever number waits."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["GRAIN", "Wheel"]

#: Seconds of one notch.
GRAIN = 0.01

T = TypeVar("T", bound=Hashable)


class Wheel(Generic[T]):
    """Holds each thing at most at one time; who is asked too early sets itself again."""

    def __init__(self) -> None:
        self._notches: dict[int, set[T]] = {}
        self._order: list[int] = []
        self._set: dict[T, int] = {}

    def set(self, thing: T, when: float) -> None:
        """Have a thing given out at a time; where it waits for an earlier one, that stays."""
        notch = int(when / GRAIN) + 1
        known = self._set.get(thing)
        if known is not None and known <= notch:
            return
        self.drop(thing)
        self._set[thing] = notch
        if notch not in self._notches:
            self._notches[notch] = set()
            heapq.heappush(self._order, notch)
        self._notches[notch].add(thing)

    def drop(self, thing: T) -> None:
        """Forget a thing."""
        notch = self._set.pop(thing, None)
        # Of those that are just given out there is none.
        if notch in self._notches:
            self._notches[notch].discard(thing)

    def due(self, now: float) -> Iterator[T]:
        """Give out, and forget, what is due."""
        while self._order and self._order[0] * GRAIN <= now:
            notch = heapq.heappop(self._order)
            for thing in self._notches.pop(notch):
                # Who was given out before may have dropped it, or set it anew.
                if self._set.get(thing) == notch:
                    del self._set[thing]
                    yield thing

    def upcoming(self) -> float | None:
        """Tell when the next thing may be due."""
        return self._order[0] * GRAIN if self._order else None
