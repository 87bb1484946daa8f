"""From connecting to the first line, in a journal of 1 GB: near its end against near its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

from outlive.entries import Cursor, End, Kind, State, render_time
from outlive.journals.base import Journal
from outlive.runs import create_run
from outlive.stores import DirectoryStore

from .lab import Lab, ask, read_url
from .measuring import Row, alternate, compare

__all__ = ["measure_resumption"]

_LINES = 10_000_000
_LINES_PER_ENTRY = 100
_ROUNDS = 25
#: The server notices that a viewer left at its next turn, and must be idle before the next one.
_PAUSE = 0.03


def measure_resumption(lab: Lab) -> list[Row]:
    """Measure each way to start in the middle, 1 % from the start and 1 % from the end."""
    with lab.store() as store:
        journal = _write_journal(store)
        server = lab.outlive("serve", "--no-auth", "--port", "0", store=store)
        url = f"{read_url(server)}runs/{journal.run}"
        near, far = _LINES // 100, _LINES // 100 * 99
        rows = []
        for name, request in (
            ("Last-Event-ID", _by_cursor), ("?line=", _by_line), ("?time=", _by_time),
        ):  # fmt: skip
            start, end = (request(url, journal, line) for line in (near, far))
            alternate(2, end, start)
            ours, theirs = alternate(_ROUNDS, end, start)
            rows.append(
                compare(f"1 GB, {name}: near the end", ours, theirs, "near the start", at_most=1.5)
            )
        lab.stop(server)
    return rows


def _write_journal(store: DirectoryStore) -> Journal:
    """Write 1 GB of lines that tell their numbers."""
    run = create_run(store, title="1 GB")
    for first in range(1, _LINES + 1, _LINES_PER_ENTRY):
        numbers = range(first, first + _LINES_PER_ENTRY)
        run.write(Kind.OUT, b"line %093d \n" * _LINES_PER_ENTRY % tuple(numbers))
    journal = run.journal
    run.end(End(State.SUCCEEDED, 0))
    return journal


def _by_cursor(url: str, journal: Journal, line: int) -> Callable[[], float]:
    cursor = Cursor(journal.run, journal.locate_line(line))
    return lambda: _first_line(url, line, f"Last-Event-ID: {cursor}")


def _by_line(url: str, journal: Journal, line: int) -> Callable[[], float]:  # noqa: ARG001
    return lambda: _first_line(url, line, line=str(line))


def _by_time(url: str, journal: Journal, line: int) -> Callable[[], float]:
    entry = journal.last_where(lambda entry: entry.line, line)
    if entry is None:
        raise RuntimeError(f"no line {line}")
    # To the microsecond: the first entry of the next one.
    when = entry.time // 1000 * 1000 + 1000
    before = journal.locate_time(when)
    return lambda: _first_line(url, before.line, time=quote(render_time(when)))


def _first_line(url: str, line: int, /, *headers: str, **query: str) -> float:
    """Connect, and wait for the line that has to come first."""
    expected = b"\ndata: line %093d" % line
    received = b""
    before = time.perf_counter()
    with ask(url, *headers, format="sse", **query) as viewer:
        while expected not in received:
            data = viewer.recv(65536)
            if not data or len(received) > 1_000_000:
                raise RuntimeError(f"line {line} did not come first: {received[:500]!r}")
            received += data
        seconds = time.perf_counter() - before
    time.sleep(_PAUSE)
    return seconds
