"""Crowds before several peers in turn: the same lines, one peer after the other, in several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .crowds import Crowd, gather_crowd, gather_late
from .lab import Lab
from .peers import Load, Peer
from .peers.environments import install, versions
from .reports import tell_progress

__all__ = ["Case", "Taken", "late", "live", "record", "render_crowds", "take", "tell_versions"]

#: CPU per million is shown from so many deliveries on, and the kernel's memory from so many viewers.
_ENOUGH_DELIVERIES, _ENOUGH_VIEWERS = 10_000, 100


class Case(NamedTuple):
    """One table: the load, and who has to bear it."""

    title: str
    load: Load
    peers: Sequence[type[Peer]]
    #: The viewers come when all is written.
    is_late: bool = False


#: Each round of each peer; a reason stands for who could not be measured.
Taken = dict[str, list[Crowd] | str]


def live(
    viewers: int, rate: int, seconds: float, peers: Sequence[type[Peer]], *,
    runs: int = 1, computing: bool = False,
) -> Case:  # fmt: skip
    """Have viewers wait for lines."""
    title = f"{viewers:,} viewers × {rate:,} lines/s"
    title += f", of {runs} runs" if runs > 1 else ""
    title += ", while a thread of the server computes" if computing else ""
    load = Load(viewers, rate, int(rate * seconds), runs, computing=computing)
    return Case(title, load, peers)


def late(viewers: int, lines: int, peers: Sequence[type[Peer]]) -> Case:
    """Have viewers come after the lines."""
    title = f"{viewers:,} viewers come after {lines:,} lines"
    return Case(title, Load(viewers, 0, lines), peers, is_late=True)


def take(lab: Lab, case: Case, rounds: int) -> Taken:
    """Measure all peers in turn."""
    if lab.compiler is None:
        return {
            peer.name: "a C compiler is missing: the client must be fast" for peer in case.peers
        }
    missing = install({peer.name: (peer.packages, peer.programs) for peer in case.peers})
    taken: dict[str, list[Crowd]] = {peer.name: [] for peer in case.peers}
    reasons = {peer.name: _excuse(peer, case, missing) for peer in case.peers}
    gather = gather_late if case.is_late else gather_crowd
    for _ in range(rounds):
        for peer in case.peers:
            if reasons[peer.name]:
                continue
            tell_progress(f"{case.title}: {peer.name}")
            try:
                taken[peer.name].append(gather(lab, peer, case.load))
            except (OSError, RuntimeError) as error:
                reasons[peer.name] = str(error)
    return {name: crowds or reasons[name] for name, crowds in taken.items()}


def _excuse(peer: type[Peer], case: Case, missing: dict[str, str]) -> str:
    """Say why a peer is not measured, if so."""
    if peer.name in missing:
        return f"not to be had: {missing[peer.name]}"
    if case.is_late and not peer.keeps_history:
        return "keeps no history" if peer.fed else "its work begins with its first viewer"
    if case.load.viewers > peer.most:
        return f"not measured: {peer.reason}"
    return ""


_HEADINGS = (
    "peer", "lines/s", "of due", "p50 ms", "p95 ms", "p99 ms", "server", "feeder", "client",
    "idle KiB", "active KiB", "kernel KiB",
)  # fmt: skip


def render_crowds(case: Case, taken: Taken) -> str:
    """Draw a table (Markdown)."""
    headings = (*_HEADINGS, "computes") if case.load.computing else _HEADINGS
    rows = [headings, *(_row(case, name, crowds) for name, crowds in taken.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # A reason may run over the columns that have nothing to say.
    widths[1] = max(len(row[1]) for row in rows if row[2] or row is headings)
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([f"### {case.title}", "", lines[0], rule, *lines[1:]])


def _row(case: Case, name: str, crowds: list[Crowd] | str) -> tuple[str, ...]:
    load = case.load
    if isinstance(crowds, str):
        return (name, crowds, *[""] * (len(_HEADINGS) - 2 + load.computing))
    crowd = Crowd.middle(crowds)
    delivered = crowd.share * load.viewers * load.lines
    cpu = (crowd.server, crowd.feeder, crowd.client)
    memory = (crowd.idle, crowd.active, crowd.kernel if load.viewers >= _ENOUGH_VIEWERS else 0)
    # How old a line is tells nothing of who comes late on purpose.
    delays = ("", "", "") if case.is_late else (crowd.p50, crowd.p95, crowd.p99)
    twice = ", some twice" if crowd.most > 1 else ""
    return (
        name,
        f"{crowd.speed:,.0f}",
        f"{crowd.share:.1%}{twice}",
        *(f"{delay * 1000:,.1f}" if isinstance(delay, float) else "" for delay in delays),
        *(f"{value:.2f}" if value and delivered >= _ENOUGH_DELIVERIES else "" for value in cpu),
        *(f"{value / 1024:.1f}" if value else "" for value in memory),
        *([f"{crowd.kept:.0%}"] if load.computing else []),
    )


def record(case: Case, taken: Taken) -> list[dict[str, object]]:
    """Tell results to who draws them, or computes with them."""
    common = {**case.load._asdict(), "late": case.is_late}
    return [
        {"peer": name, **common, "reason": crowds}
        if isinstance(crowds, str)
        else {
            "peer": name, **common, **Crowd.middle(crowds)._asdict(),
            "rounds": [crowd._asdict() for crowd in crowds],
        }
        for name, crowds in taken.items()
    ]  # fmt: skip


def tell_versions(peers: Sequence[type[Peer]]) -> str:
    """Tell what the peers are made of."""
    packages = {package.split(">")[0] for peer in peers for package in peer.packages}
    debian = {package for peer in peers for package in peer.programs.values()}
    return versions({"gunicorn", "uvicorn", *packages}, debian)
