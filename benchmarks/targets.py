"""What crowds have to come to: each target over what was measured of whom it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .comparisons import Case, Taken
from .crowds import Crowd
from .measuring import Row, show_seconds, tell, tell_ratio
from .peers import Awaiting, BatchedNchan, FlaskProcesses, Nchan, Peer, Sender, SseStarlette

__all__ = ["judge_crowds"]

_KIB = 1024


class _Rounds:
    """What was measured in one case, by peer."""

    def __init__(self, case: Case, taken: Taken) -> None:
        self._taken = taken
        self.name = case.title

    def of(self, peer: type[Peer]) -> list[Crowd]:
        """Get the rounds of a peer; none where it was not measured."""
        crowds = self._taken.get(peer.name, "")
        return [] if isinstance(crowds, str) else crowds

    def compare(
        self, what: str, value: Callable[[Crowd], float], peer: type[Peer], other: type[Peer],
        show: Callable[[float], str], *, less: float = 0,
        at_least: float | None = None, at_most: float | None = None,
    ) -> Iterator[Row]:  # fmt: skip
        """Compare two, where there are both."""
        pairs = [*zip(map(value, self.of(peer)), map(value, self.of(other)), strict=False)]
        if pairs:
            ours, theirs = zip(*pairs, strict=True)
            yield tell_ratio(
                f"{self.name}: {what}", ours, theirs, other.name, show,
                less=less, at_least=at_least, at_most=at_most,
            )  # fmt: skip

    def tell(
        self, what: str, value: Callable[[Crowd], float], peer: type[Peer],
        show: Callable[[float], str], *,
        at_least: float | None = None, at_most: float | None = None,
    ) -> Iterator[Row]:  # fmt: skip
        """Tell a value by itself."""
        if values := [value(crowd) for crowd in self.of(peer)]:
            name = f"{self.name}: {what}"
            yield tell(name, values, show, at_least=at_least, at_most=at_most)


def judge_crowds(case: Case, taken: Taken) -> list[Row]:
    """Tell which of the targets hold that are about such a load."""
    load, rounds = case.load, _Rounds(case, taken)
    if case.is_late or load.runs > 1:
        return []
    judges = {
        (1000, 1000, False): _judge_usual,
        (1000, 1000, True): _judge_computing,
        (1000, 10_000, False): _judge_fast,
        (8000, 100, False): _judge_many,
    }
    judge_rounds = judges.get((load.viewers, load.rate, load.computing))
    return [*judge_rounds(rounds)] if judge_rounds else []


#: What the targets are about.
_OURS = FlaskProcesses


def _judge_usual(rounds: _Rounds) -> Iterator[Row]:
    yield from rounds.tell("delivered", _share, _OURS, _percent, at_least=1)
    yield from rounds.compare("deliveries", _speed, _OURS, Nchan, _per_second, at_least=2)
    yield from rounds.compare(
        "median latency", _middle, _OURS, Sender, show_seconds, less=0.002, at_most=1.5
    )
    yield from rounds.compare(
        "deliveries of the awaiting pump", _speed, Awaiting, _OURS, _per_second, at_least=0.8
    )


def _judge_computing(rounds: _Rounds) -> Iterator[Row]:
    yield from rounds.tell("delivered", _share, _OURS, _percent, at_least=1)
    yield from rounds.tell("median latency", _middle, _OURS, show_seconds, at_most=0.02)
    yield from rounds.tell("speed of computing", lambda c: c.kept, _OURS, _percent, at_least=0.7)


def _judge_fast(rounds: _Rounds) -> Iterator[Row]:
    for other, least in ((Sender, 0.9), (Nchan, 10), (BatchedNchan, 1), (SseStarlette, 100)):
        yield from rounds.compare("deliveries", _speed, _OURS, other, _per_second, at_least=least)


def _judge_many(rounds: _Rounds) -> Iterator[Row]:
    yield from rounds.tell("delivered", _share, _OURS, _percent, at_least=1)
    yield from rounds.tell(
        "memory of an idle viewer", lambda c: c.idle, _OURS, _bytes, at_most=_KIB
    )
    yield from rounds.tell(
        "memory of an active viewer", lambda c: c.active, _OURS, _bytes, at_most=2 * _KIB
    )


def _speed(crowd: Crowd) -> float:
    return crowd.speed


def _share(crowd: Crowd) -> float:
    return crowd.share


def _middle(crowd: Crowd) -> float:
    return crowd.p50


def _per_second(value: float) -> str:
    return f"{value:,.0f}/s"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _bytes(value: float) -> str:
    return f"{value:,.0f} B"
