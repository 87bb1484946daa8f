"""Outlive beside its peers: the same lines, one peer after the other, in several rounds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .crowds import Crowd, gather_crowd, gather_late
from .lab import Lab
from .peers import PEERS, Peer
from .peers.environments import install, versions

__all__ = ["compare_fully", "compare_shortly"]

_RESULTS = Path(__file__).parent / "results"

#: CPU per million is shown from so many deliveries on, and the kernel's memory from so many viewers.
_ENOUGH_DELIVERIES, _ENOUGH_VIEWERS = 10_000, 100

#: The measurement's own load, per core; more is the work of others.
_IDLE_LOAD = 2

Measure = Callable[[Lab, type[Peer]], Crowd]


class _Case(NamedTuple):
    """One table: what is measured with each peer, and how many viewers that takes."""

    title: str
    viewers: int
    #: Lines per second, or lines of history.
    lines: int
    measure: Measure
    late: bool = False


def _live(viewers: int, rate: int, seconds: float) -> _Case:
    title = f"{viewers:,} viewers × {rate:,} lines/s"
    return _Case(
        title, viewers, rate, lambda lab, peer: gather_crowd(lab, peer, viewers, rate, seconds)
    )


def _late(viewers: int, lines: int) -> _Case:
    title = f"{viewers:,} viewers come after {lines:,} lines"
    return _Case(
        title, viewers, lines, lambda lab, peer: gather_late(lab, peer, viewers, lines), late=True
    )


_SHORT = (_live(10, 1000, 2), _live(1000, 1000, 3), _late(50, 10_000))
_FULL = (
    *(_live(viewers, rate, 6) for viewers in (10, 100) for rate in (100, 1000, 10_000)),
    *(_live(1000, rate, 6) for rate in (100, 1000, 10_000)),
    _live(8000, 100, 6),
    *(_late(50, lines) for lines in (100, 1000, 10_000, 100_000)),
)
_FULL_ROUNDS = 5


def compare_shortly(lab: Lab) -> str:
    """Measure the fewest crowds that tell something, once."""
    return _compare(lab, _SHORT, 1)


def compare_fully(lab: Lab) -> str:
    """Measure all crowds, in alternating rounds; keeps results for `python -m benchmarks.plots`."""
    return _compare(lab, _FULL, _FULL_ROUNDS)


def _compare(lab: Lab, cases: Sequence[_Case], rounds: int) -> str:
    if lab.compiler is None:
        return "Peers: not measured, since a C compiler is missing: the client must be fast."
    missing = install({peer.name: (peer.packages, peer.programs) for peer in PEERS})
    packages = {package.split(">")[0] for peer in PEERS for package in peer.packages}
    tables, kept = [], []
    for case in cases:
        found = _take(lab, case, missing, rounds)
        tables.append(_render(case, found))
        kept += [_record(case, name, crowd) for name, crowd in found.items()]
    _RESULTS.mkdir(exist_ok=True)
    text = json.dumps(kept, indent=1)
    (_RESULTS / "peers.json").write_text(f"{text}\n", encoding="utf-8")
    told = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    busy = os.getloadavg()[0] > _IDLE_LOAD * (os.cpu_count() or 1)
    told += ", **on a busy machine: to be measured anew**" if busy else ""
    debian = {package for peer in PEERS for package in peer.programs.values()}
    used = versions({"gunicorn", "uvicorn", *packages}, debian)
    return "\n\n".join([*tables, f"{told}; {used}"])


def _take(lab: Lab, case: _Case, missing: dict[str, str], rounds: int) -> dict[str, Crowd | str]:
    """Measure all peers in turn; a reason stands for who could not be."""
    taken: dict[str, list[Crowd]] = {peer.name: [] for peer in PEERS}
    reasons = {peer.name: _excuse(peer, case, missing) for peer in PEERS}
    for _ in range(rounds):
        for peer in PEERS:
            if reasons[peer.name]:
                continue
            print(f"  {case.title}: {peer.name}", file=sys.stderr, flush=True)
            try:
                taken[peer.name].append(case.measure(lab, peer))
            except (OSError, RuntimeError) as error:
                reasons[peer.name] = str(error)
    return {
        name: Crowd.middle(crowds) if crowds else reasons[name] for name, crowds in taken.items()
    }


def _excuse(peer: type[Peer], case: _Case, missing: dict[str, str]) -> str:
    """Say why a peer is not measured, if so."""
    if peer.name in missing:
        return f"not to be had: {missing[peer.name]}"
    if case.late and not peer.keeps_history:
        return "keeps no history" if peer.fed else "its work begins with its first viewer"
    if case.viewers > peer.most:
        return f"not measured: {peer.reason}"
    return ""


_HEADINGS = (
    "peer", "lines/s", "of due", "p50 ms", "p95 ms", "p99 ms", "server", "feeder", "client",
    "idle KiB", "active KiB", "kernel KiB",
)  # fmt: skip


def _render(case: _Case, found: dict[str, Crowd | str]) -> str:
    """Draw a table (Markdown)."""
    rows = [_HEADINGS, *(_row(case, name, crowd) for name, crowd in found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # A reason may run over the columns that have nothing to say.
    widths[1] = max(len(row[1]) for row in rows if row[2] or row is _HEADINGS)
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([f"### {case.title}", "", lines[0], rule, *lines[1:]])


def _row(case: _Case, name: str, crowd: Crowd | str) -> tuple[str, ...]:
    if isinstance(crowd, str):
        return (name, crowd, *[""] * (len(_HEADINGS) - 2))
    delivered = crowd.share * case.viewers * case.lines
    cpu = (crowd.server, crowd.feeder, crowd.client)
    memory = (crowd.idle, crowd.active, crowd.kernel if case.viewers >= _ENOUGH_VIEWERS else 0)
    # How old a line is tells nothing of who comes late on purpose.
    delays = ("", "", "") if case.late else (crowd.p50, crowd.p95, crowd.p99)
    twice = ", some twice" if crowd.most > 1 else ""
    return (
        name,
        f"{crowd.speed:,.0f}",
        f"{crowd.share:.1%}{twice}",
        *(f"{delay * 1000:,.1f}" if isinstance(delay, float) else "" for delay in delays),
        *(f"{value:.2f}" if value and delivered >= _ENOUGH_DELIVERIES else "" for value in cpu),
        *(f"{value / 1024:.1f}" if value else "" for value in memory),
    )


def _record(case: _Case, name: str, crowd: Crowd | str) -> dict[str, object]:
    """Tell a result to who draws it."""
    values = {"reason": crowd} if isinstance(crowd, str) else crowd._asdict()
    return {
        "peer": name, "viewers": case.viewers, "lines": case.lines, "late": case.late, **values,
    }  # fmt: skip
