"""How things are measured and told: alternating rounds, medians, ratios, one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf
from statistics import median
from typing import NamedTuple

__all__ = [
    "Row",
    "absolute",
    "alternate",
    "compare",
    "judge",
    "render",
    "seconds_of",
    "show_seconds",
    "tell",
    "tell_ratio",
]

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

    @property
    def is_missed(self) -> bool:
        """Tell whether there is a target that does not hold."""
        return self.verdict.startswith("misses")


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

    def show(seconds: float) -> str:
        return f"{work / seconds:,.0f} {unit}" if work else show_seconds(seconds)

    return Row(
        name,
        show(median(ours)),
        f"{show(median(theirs))} {against}",
        f"{ratio:.3g}",
        f"{min(ratios):.3g} – {max(ratios):.3g}",
        *judge(ratio, at_least=at_least, at_most=at_most),
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
    ours = show_seconds(value) + (f", p99 {show_seconds(tail)}" if tail is not None else "")
    return Row(
        name,
        ours,
        f"{show_seconds(median(theirs))} {against}" if theirs else against,
        f"{value / median(theirs):.3g}" if theirs else "",
        f"{show_seconds(min(seconds))} – {show_seconds(max(seconds))}",
        *judge(value, at_most=below, show=show_seconds),
    )


def judge(
    value: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    show: Callable[[float], str] = "{:g}".format,
) -> tuple[str, str]:
    """Tell a target, where there is one, and whether it holds."""
    if at_least is not None:
        return f"≥ {show(at_least)}", _verdict(at_least / value - 1 if value else inf)
    if at_most is not None:
        over = value / at_most - 1 if at_most else inf
        return f"≤ {show(at_most)}", _verdict(over if value > at_most else 0)
    return "", ""


def tell(
    name: str,
    values: Sequence[float],
    show: Callable[[float], str],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """Tell a median of rounds, with a target of its own."""
    verdict = judge(median(values), at_least=at_least, at_most=at_most, show=show)
    spread = f"{show(min(values))} – {show(max(values))}" if len(values) > 1 else ""
    return Row(name, show(median(values)), "", "", spread, *verdict)


def tell_ratio(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    against: str,
    show: Callable[[float], str],
    *,
    less: float = 0,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """Compare values round by round; ours are taken for `less` less than they are."""
    ratios = [max(a - less, 0) / b for a, b in zip(ours, theirs, strict=True)]
    return Row(
        name,
        show(median(ours)),
        f"{show(median(theirs))} {against}",
        f"{median(ratios):.3g}{f' less {show(less)}' if less else ''}",
        f"{min(ratios):.3g} – {max(ratios):.3g}" if len(ratios) > 1 else "",
        *judge(median(ratios), at_least=at_least, at_most=at_most),
    )


def _verdict(over: float) -> str:
    if over <= 0:
        return "holds"
    if over == inf:
        return "misses"
    return f"misses by {over:.0%}" if over < 1 else f"misses, {over + 1:.1f} ×"


def show_seconds(seconds: float) -> str:
    """Write a duration in the unit that suits it."""
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
