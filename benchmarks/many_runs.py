"""Many runs with few viewers each, against one run with as many deliveries: what a run costs."""

from __future__ import annotations

from .comparisons import Taken, live, record, render_crowds, take
from .crowds import Crowd
from .lab import Lab
from .lengths import Length
from .measuring import Row, tell, tell_ratio
from .peers import FlaskProcesses
from .reports import Report

__all__ = ["measure_runs"]

_PEERS = (FlaskProcesses,)
_VIEWERS, _RATE, _RUNS = 1000, 100, 100


def measure_runs(lab: Lab, length: Length) -> Report:
    """Measure both in turn."""
    cases = [live(_VIEWERS, _RATE, length.seconds, _PEERS, runs=runs) for runs in (_RUNS, 1)]
    turns = [
        [take(lab, case, 1)[FlaskProcesses.name] for case in cases] for _ in range(length.rounds)
    ]
    many, one = ([*map(_single, found)] for found in zip(*turns, strict=True))
    report = Report(_judge(many, one))
    for case, crowds in zip(cases, (many, one), strict=True):
        taken: Taken = {FlaskProcesses.name: crowds}
        report.tables.append(render_crowds(case, taken))
        report.records.extend(record(case, taken))
    return report


def _single(found: list[Crowd] | str) -> Crowd:
    if isinstance(found, list):
        return found[0]
    raise RuntimeError(found)


def _judge(many: list[Crowd], one: list[Crowd]) -> list[Row]:
    name = f"{_RUNS} runs × {_VIEWERS // _RUNS} viewers × {_RATE} lines/s"
    return [
        tell(f"{name}: delivered", [crowd.share for crowd in many], "{:.1%}".format, at_least=1),
        tell_ratio(
            f"{name}: CPU per million deliveries",
            [crowd.server for crowd in many],
            [crowd.server for crowd in one],
            "one run",
            "{:.2f} s".format,
            at_most=3,
        ),
    ]
