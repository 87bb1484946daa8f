"""End a run, and return when everything that belongs to it is gone."""

from __future__ import annotations

import argparse
import sys

from ..entries import Kind
from ..journals.readers import Reader
from ..runs import Run
from ..supervisors import REPORTER
from .arguments import add_run_name, add_store, find_run, render_end
from .console import printable

__all__ = ["act", "add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive cancel`."""
    add_store(parser)
    add_run_name(parser)


def act(arguments: argparse.Namespace) -> int:
    """Cancel the run and wait for its end."""
    run = Run(*find_run(arguments))
    reader = Reader(run.journal, run.journal.locate_end())
    run.cancel()
    run.wait()
    print(" · ".join([render_end(run.record.end), *_reports(reader)]), file=sys.stderr)
    return 0


def _reports(reader: Reader) -> list[str]:
    """Gather what the supervisor told of the end."""
    found = []
    while entries := reader.read():
        for entry in entries:
            if entry.kind is Kind.LOG and entry.data["logger"] == REPORTER:
                text = entry.text.decode(errors="replace")
                found.append(printable(text.strip().removeprefix(f"{REPORTER}: ")))
    return found
