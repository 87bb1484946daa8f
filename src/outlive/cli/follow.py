"""Print the output of a run from its beginning, and on until it ends."""

from __future__ import annotations

import argparse
import os
import threading
from base64 import b64decode

from ..entries import BEGINNING, End, Gap, Kind, State
from ..formats.base import render_gap
from ..formats.text import TextFormat
from ..journals.readers import Reader
from .arguments import add_store, exit_code, find_run
from .remotes import RemoteRun, is_url

__all__ = ["act", "add_arguments"]

#: Between two looks whether the writer still lives.
_SETTLE_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive follow`."""
    add_store(parser)
    parser.add_argument("--tail", metavar="N", type=_parse_count, help="only the last N lines")
    parser.add_argument(
        "run", metavar="RUN|URL", help="an id, the beginning of one, last, or the URL of a page"
    )


def _parse_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"give a number of lines, not {text!r}")
    return int(text)


def act(arguments: argparse.Namespace) -> int:
    """Print the run; returns its exit code."""
    if is_url(arguments.run):
        return _follow_remote(RemoteRun(arguments.run, arguments.tail))
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


def _follow_remote(run: RemoteRun) -> int:
    is_open = False
    for entry in run.entries():
        if entry["kind"] == "end":
            end = End(State(entry["state"]), entry["exit_code"], entry["signal"], entry["error"])
            return exit_code(end)
        if entry["kind"] == "gap":
            gap = Gap(entry["entries"], entry["bytes"], entry["lines"], entry["reason"])
            text = b"\n" * is_open + render_gap(gap).encode() + b"\n"
        else:
            # Which neither has that is no text.
            text = entry["text"].encode() if "text" in entry else b64decode(entry.get("bytes", ""))
        _print(text)
        is_open = not text.endswith(b"\n") if text else is_open
    raise AssertionError("its entries end with the end")


def _print(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
