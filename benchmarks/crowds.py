"""A crowd before one peer: what is delivered, how late, and what it costs whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from .footprints import cpu_seconds, kernel, memory
from .lab import Lab
from .peers import Load, Peer
from .shows import Fed, Result, Show, open_show

__all__ = ["Crowd", "gather_crowd", "gather_late"]

#: How long a computing thread is looked at before there are viewers.
_SECONDS_ALONE = 2.0

#: Bytes per viewer: idle, active, the kernel's.
_Sizes = tuple[float, float, float]


class Crowd(NamedTuple):
    """What came of one crowd: seconds, CPU seconds per million deliveries, bytes per viewer."""

    speed: float
    share: float
    p50: float
    p95: float
    p99: float
    server: float
    feeder: float
    client: float
    idle: float
    active: float
    kernel: float
    #: More than once, where it is over 1.
    most: float
    #: The part of its speed that a computing thread of the server keeps.
    kept: float = 0

    @classmethod
    def middle(cls, crowds: list[Crowd]) -> Crowd:
        """Take the median of several, value by value."""
        return cls(*(median(values) for values in zip(*crowds, strict=True)))


def gather_crowd(
    lab: Lab, kind: type[Peer], load: Load, meanwhile: Callable[[Show], None] = lambda _: None
) -> Crowd:
    """Let a crowd wait for runs, and follow them to their end; something may happen meanwhile."""
    with open_show(lab, kind, load) as show:
        peer = show.peer
        show.warm()
        alone = _speed_alone(show) if load.computing else 0
        before, slab = memory(peer), kernel()
        client = show.connect()
        idle, used = memory(peer), cpu_seconds(peer)
        rounds, began = show.rounds() if load.computing else 0, time.monotonic()
        show.begin()
        meanwhile(show)
        fed = show.finish()
        beside = (show.rounds() - rounds) / (time.monotonic() - began) if load.computing else 0
        active, held = memory(peer), kernel()
        result = client.finish(fed.written)
        used = cpu_seconds(peer) - used
    n = load.viewers
    each = ((idle - before) / n, (active - before) / n, (held - slab) / n)
    return _crowd(load, result, fed, used, each)._replace(kept=beside / alone if alone else 0)


def gather_late(lab: Lab, kind: type[Peer], load: Load) -> Crowd:
    """Let a crowd come when all lines were written, which all of it is to have."""
    with open_show(lab, kind, load) as show:
        peer = show.peer
        show.begin()
        fed = show.finish()
        before, slab, used = memory(peer), kernel(), cpu_seconds(peer)
        began = time.monotonic()
        result = show.connect().finish(fed.written)
        used = cpu_seconds(peer) - used
        n = load.viewers
        each = (0.0, (memory(peer) - before) / n, (kernel() - slab) / n)
    return _crowd(load, result, fed._replace(began=began), used, each)


def _speed_alone(show: Show) -> float:
    """Look how fast a thread of the server computes while nobody watches."""
    rounds, began = show.rounds(), time.monotonic()
    time.sleep(_SECONDS_ALONE)
    return (show.rounds() - rounds) / (time.monotonic() - began)


def _crowd(load: Load, result: Result, fed: Fed, used: float, each: _Sizes) -> Crowd:
    if not result.delivered:
        raise RuntimeError("nothing was delivered")
    million = result.delivered / 1e6
    p50, p95, p99, _ = result.delays
    return Crowd(
        result.delivered / max(result.last - fed.began, 1e-6),
        result.delivered / (load.lines * load.viewers),
        p50, p95, p99, used / million, fed.cpu / million, result.cpu / million,
        *each, result.most / load.lines,
    )  # fmt: skip
