"""What a print and a record cost the work that is captured, against a plain file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from outlive.entries import End, State
from outlive.runs import create_run
from outlive.sources.logs import capture_logs
from outlive.sources.stdout import route_streams
from outlive.stores import DirectoryStore

from .lab import Lab
from .measuring import Row, alternate, compare, seconds_of

__all__ = ["measure_prints"]

_ROUNDS = 9
_PRINTS = 200_000
_RECORDS = 40_000
_LINE = "x" * 99
_FORMAT = "%(levelname)s %(name)s: %(message)s"

_logger = logging.getLogger("benchmarks.prints")
_logger.setLevel(logging.INFO)
_logger.propagate = False


def measure_prints(lab: Lab) -> list[Row]:
    """Measure prints, and records of logging, until the last one is written."""
    path = lab.folder / "printed"
    with lab.store() as store:
        prints = alternate(_ROUNDS, lambda: _capture(store, _print), lambda: _print_to(path))
        records = alternate(_ROUNDS, lambda: _capture(store, _log), lambda: _log_to(path))
    return [
        _compare(f"{_PRINTS:,} prints of 100 bytes", prints, "to a plain file", 1.6),
        _compare(f"{_RECORDS:,} log records", records, "StreamHandler to a file", 1.3),
    ]


def _compare(name: str, taken: Sequence[Sequence[float]], against: str, at_most: float) -> Row:
    ours, theirs = taken
    return compare(name, ours, theirs, against, at_most=at_most)


def _print(*, file: TextIO | None = None) -> None:
    for _ in range(_PRINTS):
        print(_LINE, file=file)


def _log() -> None:
    for _ in range(_RECORDS):
        _logger.info("%s", _LINE)


def _capture(store: DirectoryStore, work: Callable[[], None]) -> float:
    """Do the work in a run of this process, and count the time until all of it is in the journal."""
    run = create_run(store, title="prints")
    buffer = run.collect()
    route_streams()
    with capture_logs(buffer), run.current():
        seconds = seconds_of(work) + seconds_of(buffer.flush)
    run.end(End(State.SUCCEEDED))
    return seconds


def _print_to(path: Path) -> float:
    with path.open("w") as file:
        return seconds_of(lambda: _print(file=file)) + seconds_of(file.flush)


def _log_to(path: Path) -> float:
    with path.open("w") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter(_FORMAT))
        _logger.addHandler(handler)
        try:
            return seconds_of(_log)
        finally:
            _logger.removeHandler(handler)
