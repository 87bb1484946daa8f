"""What a pump does next: the same for all, whatever they wait with and send by."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic
from typing import Protocol

from ..errors import OutliveError
from ..journals.base import Reader
from ..viewers import Viewer

__all__ = ["News", "report", "turns"]

#: Between two looks whether the writer of a silent journal still lives, and who watches it.
SETTLE_SECONDS = 1.0
#: Bytes per send: how fine the progress of a slow client can be seen. A send costs about 60 µs
#: above copying, and the kernel lets a full socket take more only by the third of its buffer.
SEND_SIZE = 256 * 1024


class News(Protocol):
    """An event that is set when the journal moves; of whichever kind the pump can wait for."""

    def is_set(self) -> bool: ...
    def clear(self) -> None: ...


def turns(viewer: Viewer, reader: Reader, news: News) -> Iterator[bytes | float]:
    """Give bytes to send, or the seconds to wait for news, until the viewer has everything.

    The bytes may be none: a long replay of which nothing comes must leave others their turn, too.
    """
    while not viewer.finished:
        # Before the look: what is appended after it sets it again.
        news.clear()
        entries = reader.read()
        yield from _cut(viewer.feed(entries, monotonic()))
        if entries:
            continue
        yield min(max(viewer.deadline() - monotonic(), 0.0), SETTLE_SECONDS)
        if not news.is_set():
            reader.journal.settle()
            yield from _cut(viewer.tick(monotonic()))


def _cut(data: bytes) -> Iterator[bytes]:
    for place in range(0, max(len(data), 1), SEND_SIZE):
        # A whole is not copied.
        yield data[place : place + SEND_SIZE]


def report(error: BaseException) -> None:
    """Tell whoever runs this what cut a stream short; a removed run is no surprise."""
    if not isinstance(error, OutliveError):
        logging.getLogger("outlive").error("a stream was cut short", exc_info=error)
