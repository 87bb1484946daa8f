"""What a pump does next: the same for all, whatever they wait with and send by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from time import monotonic

from ..errors import OutliveError
from ..journals.base import Journal
from ..viewers import Viewer

__all__ = ["SETTLE_SECONDS", "report", "settle", "turns"]

#: Between two looks whether the writer of a silent journal still lives, and who watches it.
SETTLE_SECONDS = 1.0


def turns(viewer: Viewer, look: Callable[[], object]) -> Iterator[bytes | float]:
    """Give bytes to send, or the seconds to wait for news, until the viewer has everything.

    The bytes may be none: a long replay of which nothing comes must leave others their turn, too.
    `look` gives what stands for the last news, the same object as long as there are none.
    """
    while not viewer.finished:
        # Before the look at the journal: what is appended after it is news.
        since = look()
        chunk = viewer.feed.read(viewer.place, since)
        parts, has_entries = viewer.take(chunk, monotonic()), chunk.has_entries
        # What was sent must not stay in memory while more is read: it fills a processor's cache.
        del chunk
        yield from parts
        if has_entries and not parts:
            yield b""
        del parts
        if not has_entries:
            yield max(viewer.deadline() - monotonic(), 0.0)


def settle(journal: Journal) -> None:
    """Look after a journal that was silent for SETTLE_SECONDS; who looks next looks himself."""
    journal.settle()
    journal.moved = object()


def report(error: BaseException) -> None:
    """Tell whoever runs this what cut a stream short; a removed run is no surprise."""
    if not isinstance(error, OutliveError):
        logging.getLogger("outlive").error("a stream was cut short", exc_info=error)
