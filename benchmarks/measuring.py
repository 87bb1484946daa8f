"""How things are measured and told: alternating rounds, medians, ratios, one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

__all__ = ["Row", "absolute", "alternate", "compare", "render", "seconds_of"]

_HEADINGS = ("measurement", "outlive", "compared with", "ratio", "spread", "target", "verdict")


class Row(NamedTuple):
    """One line of the table; without a target it informs only."""

    name: str
    ours: str
    theirs: str = ""
    ratio: str = ""
    spread: str = ""
    target: str = ""
    verdict: str = ""


def seconds_of(action: Callable[[], object]) -> float:
    """Measure how long something takes."""
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def alternate(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Take turns (A B A B …), so that whatever else the machine does meets all alike."""
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, values in zip(measures, taken, strict=True):
            values.append(measure())
    return taken


def compare(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    against: str,
    *,
    work: float = 0,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """Compare seconds, round by round.

    With `work`, the amount done in each round, the ratio is one of speeds (`at_least`), otherwise
    one of durations (`at_most`). The spread is the smallest and the largest ratio of a round.
    """
    ratios = [(b / a if work else a / b) for a, b in zip(ours, theirs, strict=True)]
    ratio = median(ratios)
    target = verdict = ""
    if at_least is not None:
        target, verdict = f"≥ {at_least:g}", _verdict(met=ratio >= at_least)
    elif at_most is not None:
        target, verdict = f"≤ {at_most:g}", _verdict(met=ratio <= at_most)

    def show(seconds: float) -> str:
        return f"{work / seconds:,.0f} {unit}" if work else _duration(seconds)

    return Row(
        name,
        show(median(ours)),
        f"{show(median(theirs))} {against}",
        f"{ratio:.3g}",
        f"{min(ratios):.3g} – {max(ratios):.3g}",
        target,
        verdict,
    )


def absolute(
    name: str,
    seconds: Sequence[float],
    *,
    theirs: Sequence[float] | None = None,
    against: str = "",
    below: float | None = None,
    tail: float | None = None,
) -> Row:
    """Tell a median of the rounds' seconds, and the largest and smallest; `tail` is a 99th percentile."""
    value = median(seconds)
    ours = _duration(value) + (f", p99 {_duration(tail)}" if tail is not None else "")
    return Row(
        name,
        ours,
        f"{_duration(median(theirs))} {against}" if theirs else against,
        f"{value / median(theirs):.3g}" if theirs else "",
        f"{_duration(min(seconds))} – {_duration(max(seconds))}",
        "" if below is None else f"< {_duration(below)}",
        "" if below is None else _verdict(met=value < below),
    )


def _verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def _duration(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def render(rows: Sequence[Row]) -> str:
    """Draw the table (Markdown)."""
    cells = [_HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
