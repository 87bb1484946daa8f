"""Pumps at work, each in a thread of its own: what the contract of the family needs."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import aclosing
from time import monotonic

from outlive.entries import BEGINNING, End, Kind, State
from outlive.feeds import find_feed
from outlive.formats import FORMATS
from outlive.journals.base import Journal
from outlive.journals.memory import MemoryJournal
from outlive.pumps.awaiting import pump
from outlive.pumps.blocking import BlockingPump
from outlive.viewers import Viewer
from tests.formats.logs import RUN

END = End(State.SUCCEEDED, 0).encode()


def add(journal: MemoryJournal, text: bytes, kind: Kind = Kind.OUT) -> None:
    """Append, and wake whoever waits."""
    journal.add(kind, text, 0)
    journal.notify()


def make_viewer(journal: Journal, form: str = "text") -> Viewer:
    """Make a viewer that begins now, at the beginning."""
    feed = find_feed(journal, FORMATS[form](RUN))
    return Viewer(feed, feed.begin(BEGINNING), b"", monotonic())


class Pumping(ABC):
    """A pump that moves a journal, from its beginning, to who takes it."""

    def __init__(self, journal: Journal, take: Callable[[bytes], None], form: str = "text") -> None:
        self._take = take
        self._viewer = make_viewer(journal, form)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @abstractmethod
    def _work(self) -> None:
        """Pump until it is over."""

    @abstractmethod
    def leave(self) -> None:
        """Go, as a client does."""

    def join(self) -> None:
        """Wait until the pump is over."""
        self._thread.join(60)
        assert not self._thread.is_alive()


class Awaiting(Pumping):
    """The pump for asyncio."""

    def _work(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._move())
        await asyncio.wait({self._task})

    async def _move(self) -> None:
        async with aclosing(pump(self._viewer)) as chunks:
            async for data in chunks:
                self._take(bytes(data))

    def leave(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)


class Blocking(Pumping):
    """The iterator of WSGI."""

    def _work(self) -> None:
        self._pump = BlockingPump(self._viewer)
        try:
            for data in self._pump:
                self._take(data)
        except ConnectionResetError:
            pass
        finally:
            self._pump.close()

    def leave(self) -> None:
        self._pump.close()


PUMPS = {"awaiting": Awaiting, "blocking": Blocking}
