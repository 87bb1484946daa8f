"""Show what is known of a run."""

from __future__ import annotations

import argparse
import json
import shlex
import time

from ..entries import RunRecord
from .arguments import (
    add_run_name,
    add_store,
    duration_of,
    find_run,
    render_duration,
    render_end,
    render_hint,
)
from .console import printable

__all__ = ["act", "add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive show`."""
    add_store(parser)
    parser.add_argument("--json", action="store_true", help="for programs: one object")
    add_run_name(parser)


def act(arguments: argparse.Namespace) -> int:
    """Print the run's record."""
    store, run = find_run(arguments)
    record = store.record(run)
    if arguments.json:
        print(json.dumps(record.as_json(), indent=2))
        return 0
    tail, _ = store.journal(run).tail()
    for name, value in _facts(record, tail.lines):
        if value:
            print(f"{name:<8}  {printable(value)}")
    print(f"\n{render_hint(arguments, 'follow', arguments.run)} prints its output")
    return 0


def _facts(record: RunRecord, lines: int) -> list[tuple[str, str]]:
    clock = "%Y-%m-%d %H:%M:%S %z"
    ended = record.ended_at
    return [
        ("run", record.id),
        ("title", record.title),
        ("command", shlex.join(record.command or [])),
        ("owner", record.owner or ""),
        ("key", record.key or ""),
        ("labels", ", ".join(f"{key}={value}" for key, value in record.labels.items())),
        ("state", render_end(record.end)),
        ("error", record.end.error or ""),
        ("started", time.strftime(clock, time.localtime(record.started_at / 1e9))),
        ("ended", time.strftime(clock, time.localtime(ended / 1e9)) if ended else ""),
        ("took", render_duration(duration_of(record, time.time_ns()))),
        ("lines", f"{lines:,}"),
    ]
