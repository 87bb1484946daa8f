"""What the engine is to reach, measured in one go of less than half an hour; and the points of the README's plot."""

from __future__ import annotations

from collections.abc import Callable

from .cold_starts import measure_cold
from .comparisons import Case, live
from .lab import Lab
from .lengths import Length
from .many_runs import measure_runs
from .ordinary import measure_ordinary
from .peer_crowds import measure_cases
from .peers import (
    Awaiting,
    BatchedNchan,
    FastApi,
    FastApiEvents,
    FlaskProcesses,
    Nchan,
    Peer,
    Sender,
    SseStarlette,
    with_engine,
)
from .replays import measure_replay
from .reports import Report, tell_progress
from .stalls import measure_stalled

__all__ = ["measure_targets"]

_ROUNDS = 3
_THREAD = with_engine(FlaskProcesses, "thread")
_OURS: tuple[type[Peer], ...] = (FlaskProcesses, _THREAD, FastApi, Awaiting)
#: Drawn, and no target's matter.
_DRAWN: tuple[type[Peer], ...] = (Sender, FlaskProcesses, Nchan, SseStarlette, FastApiEvents)


def measure_targets(lab: Lab, length: Length) -> Report:
    """Measure crowds in three rounds, then all else; short, one round of each."""
    rounds = min(length.rounds, _ROUNDS)
    length = length._replace(rounds=rounds)
    report = Report()
    for cases, times in ((_required(length.seconds), rounds), (_drawn(length.seconds / 2), 1)):
        report.add(measure_cases(lab, cases, times))
    for name, measure in _SCENARIOS.items():
        tell_progress(name)
        report.add(measure(lab, length))
    return report


def _stall_once(lab: Lab, length: Length) -> Report:
    # A minute that nothing can shorten.
    return measure_stalled(lab, length._replace(rounds=1))


_SCENARIOS: dict[str, Callable[[Lab, Length], Report]] = {
    "runs": measure_runs,
    "stalled": _stall_once,
    "cold": measure_cold,
    "replay": lambda lab, _: Report(measure_replay(lab)),
    "ordinary": measure_ordinary,
}


def _required(seconds: float) -> list[Case]:
    return [
        live(1000, 1000, seconds, (Sender, *_OURS, Nchan, SseStarlette)),
        live(1000, 1000, seconds, (FlaskProcesses, _THREAD), computing=True),
        live(1000, 10_000, seconds, (Sender, *_OURS, Nchan, BatchedNchan, SseStarlette)),
        live(8000, 100, seconds, (Sender, FlaskProcesses, FastApi)),
    ]


def _drawn(seconds: float) -> list[Case]:
    """Measure in between, and who is drawn but in no target."""
    return [
        live(100, 100, seconds, _DRAWN),
        live(1000, 100, seconds, _DRAWN),
        live(1000, 1000, seconds, [FastApiEvents]),
        live(1000, 10_000, seconds, [FastApiEvents]),
    ]
