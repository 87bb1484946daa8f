"""Progress as data, found in what tqdm and rich draw; the code that draws knows nothing of it.

Only whole bars are taken for such: a percentage in a line of a log is no progress.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..entries import Kind

__all__ = ["ProgressFinder"]

#: Seconds between two entries of one stage, unless it is done.
PAUSE_SECONDS = 0.25
#: Bytes of a row that are looked at: bars are as wide as a terminal, with colours.
ROW_SIZE = 4096
#: Stages that are told apart in one text at once; those that are done make room.
STAGES = 64

_END = re.compile(rb"[\r\n]")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: What bars have, and other text seldom: the character of rich's, the clock of tqdm's.
_RICH = b"\xe2\x94\x81"
_CLOCK = re.compile(rb"\[\d+:\d\d[:,<]")
#: What wipes a bar.
_BLANK = b"\r        "
_WIPED = re.compile(rb" {8,}(?:\x1b\[A)*")

_NUMBER = r"\d+(?:\.\d+)?[kMGTPEZY]?"
#: `desc:  45%|████▌     | 45/100 [00:04<00:05,  9.90it/s`, or `45it [00:04, 9.90it/s`.
_TQDM = re.compile(
    rf"(?:|(?P<name>.*?): *)(?: *\d+%\|[^|]*\| *(?P<current>{_NUMBER})/(?P<total>{_NUMBER})"
    rf"|(?P<count>{_NUMBER})(?P<counted>[A-Za-z]*)) \[[\d:]+(?:<[^,\]]*)?, *"
    rf"(?:(?:\?|{_NUMBER})\s*(?P<unit>[^\s,\]/]+)/s|[\d.]+s/(?P<slow>[^\s,\]]+))[,\]]"
)
#: `desc ━━━━━╸━━━━ 45/100  45% 0:00:05`: in any order behind the bar.
_BAR = re.compile(r"(?P<name>[^━╸╺]*?) *[━╸╺]{5,}(?P<rest> .*)")
_SHARE = re.compile(
    r" (?P<current>[\d.,]+)/(?P<total>[\d.,]+)(?: (?P<unit>bytes|[kKMGT]i?B))?(?= |$)"
)
_PERCENT = re.compile(r" (?P<current>\d{1,3})%(?= |$)")
_SPINNER = re.compile(r"^[^\w\s] ")
#: Numbers within a description that change from draw to draw: a loss, a rate.
_FLOAT = re.compile(r"\d+\.\d+(?:e[-+]?\d+)?")
_SCALES = {letter: 1000.0**power for power, letter in enumerate("kMGTPEZY", 1)}


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far something is."""

    name: str
    current: float
    total: float | None
    unit: str | None
    done: bool

    def encode(self, parent: str | None) -> bytes:
        return json.dumps(
            {
                "name": self.name,
                "parent": parent,
                "current": _plain(self.current),
                "total": None if self.total is None else _plain(self.total),
                "unit": self.unit,
                "done": self.done,
            }
        ).encode()


#: A kind of text and its origin.
_Place = tuple[Kind, int]


class ProgressFinder:
    """Finds progress in the output of one run, each kind and origin of text by itself.

    A bar is a stage within that stage of the run which began last and is not done: so stages have to be
    found, too.
    """

    def __init__(self) -> None:
        self._texts: dict[_Place, _Text] = {}
        #: Parents and names of the stages that the work told of, in the order in which they began.
        self._open: dict[tuple[str | None, str], None] = {}
        #: Of the bars that are known.
        self._parents: dict[tuple[_Place, str], str | None] = {}

    def find(
        self, kind: Kind, payload: bytes, origin: int, now: float
    ) -> list[tuple[Kind, bytes, int]]:
        """Take notice of what was written; returns the stages that its text tells of."""
        if kind is Kind.STAGE:
            self._notice(json.loads(payload))
        if kind is not Kind.OUT and kind is not Kind.ERR:
            return []
        found = self._texts.get((kind, origin))
        if found is None:
            found = self._texts[kind, origin] = _Text()
        return [self._entry((kind, origin), stage) for stage in found.feed(payload, now)]

    def finish(self) -> list[tuple[Kind, bytes, int]]:
        """Tell what was held back; nothing follows."""
        return [
            self._entry(place, stage)
            for place, text in self._texts.items()
            for stage in text.finish()
        ]

    def _notice(self, stage: dict[str, Any]) -> None:
        place = stage["parent"], stage["name"]
        if stage["done"]:
            self._open.pop(place, None)
        else:
            self._open[place] = None

    def _entry(self, place: _Place, stage: _Progress) -> tuple[Kind, bytes, int]:
        _, innermost = next(reversed(self._open), (None, None))
        parent = self._parents.setdefault((place, stage.name), innermost)
        if stage.done:
            del self._parents[place, stage.name]
        return Kind.STAGE, stage.encode(parent), place[1]


class _Text:
    """What was drawn in one text, however it was cut into pieces."""

    def __init__(self) -> None:
        #: The row that is not ended yet, and the end of the one before it.
        self._rest = b""
        self._stages: dict[str, _Progress] = {}
        self._last: str | None = None
        self._told: dict[str, tuple[_Progress, float]] = {}
        #: Done, no longer known, and not told yet.
        self._leaving: list[_Progress] = []

    def feed(self, text: bytes, now: float) -> list[_Progress]:
        """Look at a piece of text; returns what is to be told now."""
        data = self._rest + text if self._rest else text
        if self._has_sign(data):
            *rows, last = _END.split(data)
            for row in rows:
                self._look(row, whole=True)
            self._look(last, whole=False)
        self._keep(data)
        return list(self._select(now)) if self._stages else []

    def finish(self) -> list[_Progress]:
        """Tell what was held back, the last row included."""
        self._look(_END.split(self._rest)[-1], whole=True)
        return list(self._select(float("inf")))

    def _has_sign(self, data: bytes) -> bool:
        """Tell whether there may be a bar; single bytes first: 30 GB/s, a flood has 0.5."""
        return (
            (b"[" in data and _CLOCK.search(data) is not None)
            or (b"\xe2" in data and _RICH in data)
            or (self._last is not None and b"\r" in data and _BLANK in data)
        )

    def _keep(self, data: bytes) -> None:
        """Keep the row that is not ended; of one that is too long, as much as is looked at."""
        place = data.rfind(b"\n")
        # Only what is behind: floods end with a line.
        place = max(data.rfind(b"\r", place + 1), place, 0)
        self._rest = b"" if data.endswith(b"\n") else data[place : place + ROW_SIZE + 2]

    def _look(self, row: bytes, *, whole: bool) -> None:
        """Look at a row. What is not ended may only become more than it is."""
        if whole and self._last is not None and _WIPED.fullmatch(row):
            # tqdm wipes what it does not leave there.
            self._wipe(self._last)
            return
        progress = _read_row(row, whole=whole)
        if progress is None:
            return
        if progress.name in self._stages or self._has_room():
            self._stages[progress.name] = progress
            self._last = progress.name

    def _has_room(self) -> bool:
        """Tell whether one more can be told apart, once the first that is done is let go."""
        if len(self._stages) < STAGES:
            return True
        # The last one may be drawn again, and was then never another.
        done = (one for one in self._stages.values() if one.done and one.name != self._last)
        stage = next(done, None)
        if stage is None:
            return False
        del self._stages[stage.name]
        told, _ = self._told.pop(stage.name, (None, 0.0))
        if told != stage:
            self._leaving.append(stage)
        return True

    def _wipe(self, name: str) -> None:
        self._last = None
        known = self._stages[name]
        self._stages[name] = _Progress(name, known.current, known.total, known.unit, done=True)

    def _select(self, now: float) -> Iterator[_Progress]:
        while self._leaving:
            yield self._leaving.pop(0)
        for name, stage in self._stages.items():
            told, at = self._told.get(name, (None, -float("inf")))
            ends = stage.done and (told is None or not told.done)
            if stage != told and (ends or now - at >= PAUSE_SECONDS):
                self._told[name] = stage, now
                yield stage


def _read_row(row: bytes, *, whole: bool) -> _Progress | None:
    """Read the bar that a row is; of one that is not ended, what more text cannot change."""
    text = _CONTROL.sub("", row[:ROW_SIZE].decode(errors="replace"))
    match = _TQDM.match(text)
    if match is not None:
        return _read_tqdm(match)
    return _read_rich(text) if whole and _RICH in row and len(row) <= ROW_SIZE else None


def _read_tqdm(match: re.Match[str]) -> _Progress | None:
    current, total = match["current"] or match["count"], match["total"]
    unit = match["unit"] or match["slow"] or ""
    is_scaled = "." in current or not current.isdecimal() or not (total or "0").isdecimal()
    if is_scaled and len(unit) > 1 and unit[0] in _SCALES:
        unit = unit[1:]
    end = None if total is None else _number(total)
    count = _number(current)
    if not match["name"] and not count:
        # It may get its name next: tqdm draws a bar before it can be described.
        return None
    return _named(match["name"], count, end, unit)


def _read_rich(text: str) -> _Progress | None:
    match = _BAR.match(text)
    if match is None:
        return None
    share, percent = _SHARE.search(match["rest"]), _PERCENT.search(match["rest"])
    name = _SPINNER.sub("", match["name"].strip())
    if share is not None:
        current, total = (float(share[part].replace(",", "")) for part in ("current", "total"))
        return _named(name, current, total, share["unit"] or "")
    return None if percent is None else _named(name, float(percent["current"]), 100.0, "%")


def _named(name: str | None, current: float, total: float | None, unit: str) -> _Progress:
    """Name what is without a name by what it comes to, so that nested ones differ."""
    if not name:
        amount = unit if total is None else f"{total:g} {unit}".strip()
        name = f"progress ({amount})"
    name = _FLOAT.sub("…", name).strip()[:200]
    return _Progress(name, current, total, unit or None, total is not None and current >= total)


def _plain(number: float) -> float:
    """Write a count without a fraction."""
    return int(number) if number.is_integer() else number


def _number(text: str) -> float:
    scale = _SCALES.get(text[-1])
    return float(text) if scale is None else float(text[:-1]) * scale
