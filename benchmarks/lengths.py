"""How long measurements with viewers take: a few minutes in all, or as long as it takes."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FULL", "SHORT", "Length"]


class Length(NamedTuple):
    """What a measurement spends."""

    rounds: int
    #: Of each crowd.
    seconds: float
    #: That a viewer reads nothing.
    stall: float
    #: Megabytes of history that a viewer reads cold.
    history: int
    #: That viewers come and go.
    soak: float


SHORT = Length(rounds=1, seconds=3, stall=10, history=200, soak=20)
FULL = Length(rounds=5, seconds=8, stall=60, history=1000, soak=600)
