"""End a run, and return when everything that belongs to it is gone."""

from __future__ import annotations

import argparse
import sys
import threading

from ..entries import End, Kind
from ..journals.base import Reader
from ..supervisors import REPORTER
from .arguments import add_run_name, add_store, find_run, render_end
from .console import printable

__all__ = ["act", "add_arguments"]

_SETTLE_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive cancel`."""
    add_store(parser)
    add_run_name(parser)


def act(arguments: argparse.Namespace) -> int:
    """Cancel the run and wait for its end."""
    store, run = find_run(arguments)
    journal = store.journal(run)
    news = threading.Event()
    journal.watch(news.set)
    journal.settle()
    reader = Reader(journal, journal.locate_end())
    journal.request_cancel()
    while (end := journal.end()) is None:
        if not news.wait(_SETTLE_SECONDS):
            journal.settle()
        news.clear()
    print(" · ".join([render_end(End.of(end)), *_reports(reader)]), file=sys.stderr)
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
