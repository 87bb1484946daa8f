"""Print the output of a run from its beginning, and on until it ends."""

from __future__ import annotations

import argparse
import os
import threading

from ..entries import BEGINNING, End, Kind
from ..formats.text import TextFormat
from ..journals.base import Reader
from .arguments import add_run_name, add_store, exit_code, find_run

__all__ = ["act", "add_arguments"]

#: Between two looks whether the writer still lives.
_SETTLE_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive follow`."""
    add_store(parser)
    parser.add_argument("--tail", metavar="N", type=_parse_count, help="only the last N lines")
    add_run_name(parser)


def _parse_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"give a number of lines, not {text!r}")
    return int(text)


def act(arguments: argparse.Namespace) -> int:
    """Print the run; returns its exit code."""
    store, run = find_run(arguments)
    journal = store.journal(run)
    journal.settle()
    start = BEGINNING if arguments.tail is None else journal.locate_tail(arguments.tail)
    reader, form = Reader(journal, start), TextFormat(run)
    news = threading.Event()
    journal.watch(news.set)
    while True:
        news.clear()
        entries = reader.read()
        for entry in entries:
            _print(form.encode(entry))
            if entry.kind is Kind.END:
                return exit_code(End.of(entry))
        if not entries and not news.wait(_SETTLE_SECONDS):
            journal.settle()


def _print(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
