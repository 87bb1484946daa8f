"""What else a server with one `sync` worker has to answer, while eight thousand watch."""

from __future__ import annotations

import time
from statistics import quantiles

from .comparisons import Taken, live, record, render_crowds
from .crowds import Crowd, gather_crowd
from .lab import Lab, ask
from .lengths import Length
from .measuring import seconds_of, show_seconds, tell
from .peers import FlaskProcesses
from .peers.environments import install
from .reports import Report
from .shows import Show
from .targets import judge_crowds

__all__ = ["measure_ordinary"]

_VIEWERS, _RATE = 8000, 100
_PAUSE = 0.05


def measure_ordinary(lab: Lab, length: Length) -> Report:
    """Measure ordinary requests before there are lines for the viewers, and meanwhile."""
    case = live(_VIEWERS, _RATE, length.seconds, [FlaskProcesses])
    install({FlaskProcesses.name: (FlaskProcesses.packages, {})})
    crowds: list[Crowd] = []
    taken: list[list[float]] = []
    for _ in range(length.rounds):

        def ask_often(show: Show) -> None:
            until = time.monotonic() + length.seconds
            taken.append([])
            while time.monotonic() < until:
                taken[-1].append(seconds_of(lambda: _ask(show)))
                time.sleep(_PAUSE)

        crowds.append(gather_crowd(lab, FlaskProcesses, case.load, meanwhile=ask_often))
    name = f"{_VIEWERS:,} viewers × {_RATE} lines/s: an ordinary request"
    rows = [
        tell(f"{name}, median", [quantiles(delays)[1] for delays in taken], show_seconds),
        tell(
            f"{name}, p99", [quantiles(delays, n=100)[98] for delays in taken], show_seconds,
            at_most=0.05,
        ),
        *judge_crowds(case, {FlaskProcesses.name: crowds}),
    ]  # fmt: skip
    found: Taken = {FlaskProcesses.name: crowds}
    return Report(rows, [render_crowds(case, found)], record(case, found))


def _ask(show: Show) -> None:
    with ask(show.url("/")) as connection:
        answer = b""
        while data := connection.recv(65536):
            answer += data
    if not answer.endswith(b"hello"):
        raise RuntimeError(f"no ordinary answer: {answer[:200]!r}")
