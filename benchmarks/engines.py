"""Outlive with its engine in a process, in a thread, and without: idle, and beside work that computes."""

from __future__ import annotations

from .comparisons import live
from .lab import Lab
from .peer_crowds import measure_cases
from .peers import HOSTS, FlaskProcesses, FlaskThreads, Sender, with_engine
from .reports import Report

__all__ = ["measure_engine"]

_BRIEF = (Sender, FlaskProcesses)
_COMPUTING = (
    *(FlaskProcesses, with_engine(FlaskProcesses, "thread")),
    *(FlaskThreads, with_engine(FlaskThreads, "thread")),
)
_SHORT = (
    live(1000, 1000, 3, HOSTS),
    live(1000, 1000, 3, _COMPUTING[:2], computing=True),
    live(1000, 10_000, 3, _BRIEF),
    live(8000, 100, 3, _BRIEF),
)
_FULL = (
    live(10, 1000, 8, HOSTS),
    live(100, 1000, 8, HOSTS),
    live(1000, 1000, 8, HOSTS),
    live(1000, 1000, 8, _COMPUTING, computing=True),
    live(1000, 10_000, 8, HOSTS),
    live(8000, 100, 8, HOSTS),
)
_FULL_ROUNDS = 5


def measure_engine(lab: Lab, *, full: bool) -> Report:
    """Measure all hosts before a thousand viewers, and two before more; or all before all."""
    cases, rounds = (_FULL, _FULL_ROUNDS) if full else (_SHORT, 1)
    return measure_cases(lab, cases, rounds)
