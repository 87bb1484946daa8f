"""What a measurement leaves: rows with targets, tables, and records for programs; as files, too."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .measuring import Row, render

__all__ = ["RESULTS", "Report", "describe_machine", "tell_progress", "write_report"]

RESULTS = Path(__file__).parent / "results"

#: The measurement's own load, per core; more is the work of others.
_OWN_LOAD = 2
_BEGAN = time.monotonic()


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one measurement."""

    rows: list[Row] = field(default_factory=list)
    #: Markdown, before the rows.
    tables: list[str] = field(default_factory=list)
    records: list[dict[str, object]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take over all of another one."""
        self.rows.extend(other.rows)
        self.tables.extend(other.tables)
        self.records.extend(other.records)

    def render(self) -> str:
        """Write all of it (Markdown)."""
        return "\n\n".join([*self.tables, *([render(self.rows)] if self.rows else [])])


def tell_progress(what: str) -> None:
    """Say on standard error what begins now, and how long it all has taken so far."""
    print(f"{time.monotonic() - _BEGAN:5.0f} s  {what}", file=sys.stderr, flush=True)


def write_report(name: str, report: Report) -> None:
    """Keep it in `benchmarks/results`, as Markdown and as JSON."""
    RESULTS.mkdir(exist_ok=True)
    machine = describe_machine()
    rows = [row._asdict() for row in report.rows]
    values = {"machine": machine, "rows": rows, "records": report.records}
    text = json.dumps(values, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(f"{report.render()}\n\n{machine}\n", encoding="utf-8")


def describe_machine() -> str:
    """Say where and of what numbers were taken, and whether they can be any good."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = ", **on a busy machine: to be measured anew**" if load > _OWN_LOAD * cores else ""
    return (
        f"{platform.machine()}, {cores} CPUs, load {load:.1f}{busy}, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, Outlive {_revision()}"
    )


def _revision() -> str:
    argv = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of unknown revision"
