"""End a run, and return when everything that belongs to it is gone."""

from __future__ import annotations

import argparse
import sys
import threading

from ..entries import End
from .arguments import add_run_name, add_store, find_run, render_end

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
    journal.request_cancel()
    while (end := journal.end()) is None:
        if not news.wait(_SETTLE_SECONDS):
            journal.settle()
        news.clear()
    print(render_end(End.of(end)), file=sys.stderr)
    return 0
