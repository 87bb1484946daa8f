"""The pump for threads: an iterator, as WSGI takes it, that waits in the server's own thread."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator

from ..journals.base import Journal
from ..viewers import Viewer
from . import base
from .base import report, settle, turns

__all__ = ["BlockingPump"]


class BlockingPump:
    """Gives a viewer's bytes until its run ends; `is_over` tells that nobody takes them any more.

    A stream that is cut short raises ConnectionResetError, or what is `lost` to a server. That is a
    connection that the other end has lost: it is closed without the end of a complete response,
    and nothing is said.
    """

    def __init__(
        self,
        viewer: Viewer,
        is_over: Callable[[], bool] = lambda: False,
        lost: type[Exception] = ConnectionResetError,
    ) -> None:
        self._news = threading.Event()
        self._viewer = viewer
        self._feed = viewer.feed
        self._journal = viewer.feed.journal
        self._turns = turns(viewer, _make_look(self._news, self._journal))
        self._is_over = is_over
        self._lost = lost
        self._closed = False
        self._stop: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._stop is None:
            # Not before: a server that asks for nothing may forget to close this.
            self._stop = self._begin()
        found = None
        try:
            found = self._take()
        except Exception as error:  # noqa: BLE001 - a traceback is for whoever runs this
            report(error)
        finally:
            if not found:
                self._leave()
        if found is None:
            raise self._lost(errno.ECONNRESET, "the stream is cut short")
        if not found:
            raise StopIteration
        return found

    def _begin(self) -> Callable[[], None]:
        """Watch the journal; returns how to stop, which may be called again."""
        stack = contextlib.ExitStack()
        stack.callback(self._journal.watch(self._news.set))
        self._feed.enter()
        stack.callback(self._feed.leave)
        return stack.close

    def _take(self) -> bytes | None:
        """Wait for bytes; there are none at the end, and None is for who does not take them."""
        for step in self._turns:
            if self._closed or self._is_over():
                return None
            if isinstance(step, float):
                if not self._news.wait(min(step, base.SETTLE_SECONDS)):
                    settle(self._journal)
            elif step:
                return step
        return b""

    def close(self) -> None:
        """End it at once, from any thread; servers call this when the client is gone."""
        self._closed = True
        self._news.set()
        self._leave()

    def _leave(self) -> None:
        if self._stop is not None:
            self._stop()
        self._viewer.leave()


def _make_look(news: threading.Event, journal: Journal) -> Callable[[], object]:
    # A method would refer to the pump from within it: who is dropped must go at once.
    def look() -> object:
        news.clear()
        return journal.moved

    return look
