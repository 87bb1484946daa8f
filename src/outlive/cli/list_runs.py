"""List the runs of the store, the newest first."""

from __future__ import annotations

import argparse
import json
import time

from ..entries import RunRecord, State
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
    records = store.records()
    if arguments.json:
        print(json.dumps([record.as_json() for record in records], indent=2))
    else:
        print_runs(store, records)
    return 0


def print_runs(store: Store, records: list[RunRecord]) -> None:
    """Print a table of runs."""
    now, ids = time.time_ns(), short_ids(store)
    rows = [
        (
            # One may have been removed meanwhile.
            ids.get(record.id, record.id),
            render_end(record.end),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started_at / 1e9)),
            "" if record.end.state is State.LOST else render_duration(duration_of(record, now)),
            printable(record.title),
        )
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
