"""Outlive with its engine in a process, in a thread, and without: idle, and beside work that computes."""

from __future__ import annotations

from .comparisons import live
from .lab import Lab
from .lengths import Length
from .peer_crowds import measure_cases
from .peers import HOSTS, FlaskProcesses, FlaskThreads, Sender, with_engine
from .reports import Report

__all__ = ["measure_engine"]

_BRIEF = (Sender, FlaskProcesses)
_COMPUTING = (
    *(FlaskProcesses, with_engine(FlaskProcesses, "thread")),
    *(FlaskThreads, with_engine(FlaskThreads, "thread")),
)


def measure_engine(lab: Lab, length: Length) -> Report:
    """Measure all hosts before a thousand viewers, and two before more; or all before all."""
    is_full, seconds = length.rounds > 1, length.seconds
    cases = [
        live(1000, 1000, seconds, HOSTS),
        live(1000, 1000, seconds, _COMPUTING if is_full else _COMPUTING[:2], computing=True),
        live(1000, 10_000, seconds, HOSTS if is_full else _BRIEF),
        live(8000, 100, seconds, HOSTS if is_full else _BRIEF),
    ]
    if is_full:
        cases += [live(10, 1000, seconds, HOSTS), live(100, 1000, seconds, HOSTS)]
    return measure_cases(lab, cases, length.rounds)
