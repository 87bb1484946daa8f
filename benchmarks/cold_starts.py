"""One viewer begins a long run from its beginning, which is on the disk alone; others follow its end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from .footprints import read_from_disk
from .lab import Lab
from .lengths import Length
from .measuring import Row, show_seconds, tell, tell_ratio
from .peers import FlaskProcesses, Load
from .reports import Report
from .shows import Delays, Show, open_show
from .stalls import Straggler

__all__ = ["measure_cold"]

_VIEWERS, _RATE = 500, 1000
#: Until the disk is done with what was written, too.
_SETTLING, _BEFORE, _AFTER = 3.0, 5.0, 12.0


class _Cold(NamedTuple):
    """What came of one."""

    before: Delays
    during: Delays
    #: Bytes per second, of what the viewer gets.
    speed: float
    #: The part of the history that was read from the disk.
    share: float


def measure_cold(lab: Lab, length: Length) -> Report:
    """Measure how the head's delays change meanwhile."""
    rounds = [_begin_cold(lab, length.history) for _ in range(length.rounds)]
    name = f"{_VIEWERS} follow, one begins {length.history:,} MB, cold"
    records = [dict[str, object](round_._asdict()) for round_ in rounds]
    return Report(_judge(name, rounds), records=records)


def _judge(name: str, rounds: list[_Cold]) -> list[Row]:
    def compare(what: str, number: int, at_most: float | None = None) -> Row:
        ours, theirs = ([d[number] for d in delays] for delays in zip(*pairs, strict=True))
        return tell_ratio(f"{name}: {what}", ours, theirs, "before", show_seconds, at_most=at_most)

    pairs = [(r.during, r.before) for r in rounds]
    return [
        compare("others' median", 0),
        compare("others' p99", 2, at_most=2),
        tell(f"{name}: it gets", [r.speed for r in rounds], lambda v: f"{v / 1e6:,.0f} MB/s"),
        tell(f"{name}: read from the disk", [r.share for r in rounds], "{:.0%}".format),
    ]


def _begin_cold(lab: Lab, history: int) -> _Cold:
    lines = int((_SETTLING + _BEFORE + _AFTER) * _RATE)
    load = Load(_VIEWERS, _RATE, lines, history=history)
    with open_show(lab, FlaskProcesses, load) as show:
        show.warm()
        client = show.connect(query="&tail=0")
        _cool(show)
        show.begin()
        time.sleep(_SETTLING)
        client.delays()
        time.sleep(_BEFORE)
        before, read = client.delays(), read_from_disk(show.peer)
        straggler = Straggler(show.url(show.paths[0]))
        speed = straggler.catch_up()
        during, read = client.delays(), read_from_disk(show.peer) - read
        straggler.close()
        client.finish(show.finish().written)
        return _Cold(before, during, speed, read / (history * 1e6))


def _cool(show: Show) -> None:
    """Have the kernel forget what it keeps of the journal's files."""
    for path in (show.peer.folder / "store" / "runs").rglob("*"):
        if path.is_file() and path.stat().st_size:
            _forget(path)


def _forget(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    # What is not written yet would stay.
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
