"""What is known of a run's stages, and which of them are worth a bar."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...entries import Entry

__all__ = ["Row", "Stage", "Stages"]

#: Stages that are remembered; of more, the first that were done are only counted.
KNOWN = 500
#: How far stages are indented; it also ends a circle of parents.
DEEPEST = 4

_BYTES = ("B", "KB", "MB", "GB", "TB")


@dataclass(eq=False)
class Stage:
    """One stage, as its last entry told; times are nanoseconds."""

    origin: int
    parent: str | None
    name: str
    began: int
    at: int = 0
    current: float | None = None
    total: float | None = None
    unit: str = ""
    is_done: bool = False
    #: Whether it got anywhere since it began: others may only have been announced.
    has_moved: bool = False

    @property
    def share(self) -> float | None:
        """How far it is, from 0 to 1; None where nobody knows."""
        if self.total is None or self.total <= 0:
            return None
        return min(max((self.current or 0) / self.total, 0.0), 1.0)

    @property
    def percent(self) -> str:
        """How far it is, in whole percent, where that is known."""
        return "" if self.share is None else f"{math.floor(100 * self.share)}%"

    @property
    def figures(self) -> str:
        """`40 / 100 rows`, `1.5 / 5 MB`, `7 files`; nothing where nothing is counted, or percent."""
        # Percent of what has a total are said beside.
        if self.unit == "%" if self.total is not None else not (self.current or self.unit):
            return ""
        numbers = [number for number in (self.current, self.total) if number is not None]
        unit = "" if self.unit == "it" else self.unit
        if numbers and unit in ("B", "byte", "bytes"):
            power = min(int(math.log10(max(*numbers, 1, 1)) / 3), len(_BYTES) - 1)
            numbers, unit = [number / 1000**power for number in numbers], _BYTES[power]
        return f"{' / '.join(map(_digits, numbers))} {unit}".rstrip() if numbers else ""


class Row(NamedTuple):
    """A stage, and how far it stands under others."""

    stage: Stage
    depth: int


class Stages:
    """The stages of one run, from its entries; `forgotten` counts done ones beyond the bound."""

    def __init__(self) -> None:
        self.forgotten = 0
        self._all: dict[tuple[int, str | None, str], Stage] = {}
        #: A parent is known by name alone: of several it is the one that began last.
        self._names: dict[tuple[int, str], Stage] = {}

    def take(self, entry: Entry) -> Stage:
        """Take an entry; one of a stage that was done begins it anew."""
        data = entry.data
        name, parent = str(data["name"]), data.get("parent")
        parent = None if parent is None else str(parent)
        key = entry.origin, parent, name
        stage, is_done = self._all.get(key), bool(data.get("done"))
        begins = stage is None or (stage.is_done and not is_done)
        if stage is None or begins:
            self._all.pop(key, None)
            stage = self._all[key] = Stage(entry.origin, parent, name, entry.time)
            # A bar may be called as the stage around it.
            if parent != name:
                self._names[entry.origin, name] = stage
        stage.current, stage.total = _amount(data.get("current")), _amount(data.get("total"))
        stage.unit, stage.is_done, stage.at = str(data.get("unit") or ""), is_done, entry.time
        stage.has_moved = not begins or bool(stage.current)
        if len(self._all) > KNOWN:
            self._forget()
        return stage

    @property
    def open(self) -> list[Stage]:
        """Those that are not done, in the order in which they began."""
        return [stage for stage in self._all.values() if not stage.is_done]

    @property
    def done(self) -> list[Row]:
        """Those that are done, each behind its parent."""
        return self._in_order([stage for stage in self._all.values() if stage.is_done])

    def pick(self, limit: int) -> list[Row]:
        """Choose open stages: those that go on first, and always the same, lest they take turns."""
        active = {one for stage in self._active() for one in self.path(stage)}
        return self._in_order(sorted(self.open, key=lambda stage: stage not in active)[:limit])

    def depth(self, stage: Stage) -> int:
        """Tell how far a stage stands under others."""
        return len(self.path(stage)) - 1

    def place(self) -> list[Row]:
        """Tell where the run is: in the stage that went on last, and those around it."""
        active = self._active()
        last = within = _latest(active)
        # Who leaves a stage tells last how far those around it came: it is still in the one that
        # came last within.
        for _ in range(DEEPEST):
            if within in active:
                last = within
                around = [one for one in self._all.values() if last in self.path(one)[-2:-1]]
                within = _latest(around)
        return [] if last is None else [Row(*pair[::-1]) for pair in enumerate(self.path(last))]

    def _active(self) -> list[Stage]:
        """List open stages, but not those that were announced before their turn."""
        siblings = Counter((one.origin, one.parent) for one in self.open if not one.has_moved)
        return [one for one in self.open if one.has_moved or siblings[one.origin, one.parent] == 1]

    def path(self, stage: Stage) -> list[Stage]:
        """List the stages around one, the outermost first, and itself."""
        path = [stage]
        while len(path) <= DEEPEST and path[0].parent is not None:
            parent = self._names.get((path[0].origin, path[0].parent))
            if parent is None or parent in path:
                break
            path.insert(0, parent)
        return path

    def _in_order(self, stages: list[Stage]) -> list[Row]:
        places = {stage: place for place, stage in enumerate(self._all.values())}
        paths = sorted(
            (self.path(stage) for stage in stages), key=lambda path: [places[one] for one in path]
        )
        return [Row(path[-1], len(path) - 1) for path in paths]

    def _forget(self) -> None:
        done = (stage for stage in self._all.values() if stage.is_done)
        stage = next(done, next(iter(self._all.values())))
        del self._all[stage.origin, stage.parent, stage.name]
        if self._names.get((stage.origin, stage.name)) is stage:
            del self._names[stage.origin, stage.name]
        self.forgotten += stage.is_done


def _latest(stages: list[Stage]) -> Stage | None:
    return max(reversed(stages), key=lambda stage: stage.at, default=None)


def _amount(value: Any) -> float | None:  # noqa: ANN401 - whatever was written
    """Take a number of sensible size; anything else is none."""
    is_number = isinstance(value, int | float) and -1e18 < value < 1e18
    return value if is_number else None


def _digits(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:,.1f}"
