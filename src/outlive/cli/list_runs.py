"""List the runs of the store, the newest first."""

from __future__ import annotations

import argparse
import gc
import sys
import time

from ..entries import State
from ..stores import Store
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
    if not arguments.json:
        print_runs(store)
        return 0
    # Of a hundred thousand runs none is garbage: looking for some took a quarter of the time.
    gc.disable()
    try:
        print(f"[{_SEPARATOR.join(store.documents())}]")
    finally:
        gc.enable()
    return 0


def print_runs(store: Store) -> bool:
    """Print a table of the newest runs; tells whether there are any."""
    records, runs = store.records(count=_SHOWN), store.ids()
    if not records:
        return False
    now, ids = time.time_ns(), short_ids(runs)
    rows = [
        (
            # Some may have been removed meanwhile.
            ids.get(record.id, record.id),
            render_end(record.end),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started_at / 1e9)),
            "" if record.end.state is State.LOST else render_duration(duration_of(record, now)),
            printable(record.title),
        )
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # The last column needs no width.
    line = "".join(f"%-{width}s  " for width in widths[:-1]) + "%s"
    print("".join([f"{(line % row).rstrip()}\n" for row in rows]), end="")
    if len(records) == _SHOWN < len(runs):
        print(f"… and {len(runs) - _SHOWN:,} older: outlive list --json has all", file=sys.stderr)
    return True


#: Runs of a table; nobody reads more, and programs have JSON.
_SHOWN = 1000
#: One run in each line.
_SEPARATOR = ",\n "
