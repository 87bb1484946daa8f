"""What it costs the work to tell how far it is."""

from __future__ import annotations

import outlive

from .lab import Lab
from .measuring import Row, absolute, alternate, seconds_of

__all__ = ["measure_tracking"]

_ROUNDS = 9
_ITEMS = 1_000_000


def measure_tracking(lab: Lab) -> list[Row]:
    """Measure what is added to a loop that does nothing, for a million items."""
    with lab.store() as store, outlive.capture(store=store):
        tracked, advanced, bare = alternate(
            _ROUNDS,
            lambda: seconds_of(_track),
            lambda: seconds_of(_advance),
            lambda: seconds_of(_iterate),
        )
    return [
        absolute(f"{name}: added to {_ITEMS:,} items", _added(taken, bare), below=0.3)
        for name, taken in (("track", tracked), ("stage.advance", advanced))
    ]


def _added(taken: list[float], bare: list[float]) -> list[float]:
    return [a - b for a, b in zip(taken, bare, strict=True)]


def _iterate() -> None:
    for _ in range(_ITEMS):
        pass


def _track() -> None:
    for _ in outlive.track(range(_ITEMS)):
        pass


def _advance() -> None:
    with outlive.stage("rows", total=_ITEMS) as rows:
        for _ in range(_ITEMS):
            rows.advance()
