"""Outlive beside its peers: few viewers and many, slow lines and fast, early and late."""

from __future__ import annotations

from collections.abc import Sequence

from .comparisons import Case, late, live, record, render_crowds, take, tell_versions
from .lab import Lab
from .lengths import Length
from .peers import PEERS
from .reports import Report
from .targets import judge_crowds

__all__ = ["measure_cases", "measure_peers"]

_SHORT = (live(10, 1000, 2, PEERS), live(1000, 1000, 3, PEERS), late(50, 10_000, PEERS))
_FULL = (
    *(live(viewers, rate, 6, PEERS) for viewers in (10, 100) for rate in (100, 1000, 10_000)),
    *(live(1000, rate, 6, PEERS) for rate in (100, 1000, 10_000)),
    live(8000, 100, 6, PEERS),
    *(late(50, lines, PEERS) for lines in (100, 1000, 10_000, 100_000)),
)


def measure_peers(lab: Lab, length: Length) -> Report:
    """Measure the fewest crowds that tell something, once; or all, in alternating rounds."""
    return measure_cases(lab, _FULL if length.rounds > 1 else _SHORT, length.rounds)


def measure_cases(lab: Lab, cases: Sequence[Case], rounds: int) -> Report:
    """Measure some crowds; a table for each."""
    report = Report()
    for case in cases:
        taken = take(lab, case, rounds)
        report.tables.append(render_crowds(case, taken))
        report.records.extend(record(case, taken))
        report.rows.extend(judge_crowds(case, taken))
    told = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    peers = list(dict.fromkeys(peer for case in cases for peer in case.peers))
    report.tables.append(f"{told}; {tell_versions(peers)}")
    return report
