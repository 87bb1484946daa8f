"""List the runs of the store, the newest first."""

from __future__ import annotations

import argparse
import gc
import time
from functools import cache

from ..entries import RunRecord, State
from .arguments import (
    add_store,
    duration_of,
    existing_store_of,
    render_duration,
    render_end,
    short_ids,
)
from .console import printable

__all__ = ["act", "add_arguments", "print_runs"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive list`."""
    add_store(parser)
    parser.add_argument("--json", action="store_true", help="for programs: one array of objects")


def act(arguments: argparse.Namespace) -> int:
    """Print the runs."""
    store = existing_store_of(arguments)
    # Of a hundred thousand runs none is garbage: looking for some took a quarter of the time.
    gc.disable()
    try:
        if arguments.json:
            print(f"[{_SEPARATOR.join(store.documents())}]")
        else:
            print_runs(store.records())
    finally:
        gc.enable()
    return 0


def print_runs(records: list[RunRecord]) -> None:
    """Print a table of all runs."""
    now, ids = time.time_ns(), short_ids(record.id for record in records)
    rows = [
        (
            ids[record.id],
            render_end(record.end),
            _render_minute(record.started_at // _MINUTE),
            "" if record.end.state is State.LOST else render_duration(duration_of(record, now)),
            printable(record.title),
        )
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # The last column needs no width.
    line = "".join(f"%-{width}s  " for width in widths[:-1]) + "%s"
    print("".join([f"{(line % row).rstrip()}\n" for row in rows]), end="")


_MINUTE = 60_000_000_000
#: One run in each line.
_SEPARATOR = ",\n "


@cache
def _render_minute(minute: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(minute * 60))
