"""Pumps at work, each in a thread of its own: what the contract of the family needs."""

import asyncio
import contextlib
import socket
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from time import monotonic

from outlive.entries import BEGINNING, End, Kind, RunRecord, State
from outlive.feeds import SEND_SIZE, find_feed
from outlive.formats import FORMATS
from outlive.journals.base import Journal
from outlive.journals.disk import DiskJournal
from outlive.journals.memory import MemoryJournal
from outlive.pumps.awaiting import pump
from outlive.pumps.blocking import BlockingPump
from outlive.pumps.engine import CHUNKED, CLOSED, find_engine
from outlive.pumps.engine.processes import ProcessHost, find_process
from outlive.pumps.engine.threads import adopt
from outlive.stores import DirectoryStore
from outlive.viewers import Viewer
from tests.formats.logs import RUN, make_journal

END = End(State.SUCCEEDED, 0).encode()


def add(journal: Journal, text: bytes, kind: Kind = Kind.OUT) -> None:
    """Append, and wake whoever waits."""
    if isinstance(journal, MemoryJournal):
        journal.add(kind, text, 0)
        journal.notify()
    else:
        assert isinstance(journal, DiskJournal)
        assert journal.writer is not None
        journal.writer.append(kind, text)


def make_viewer(journal: Journal, form: str = "text") -> Viewer:
    """Make a viewer that begins now, at the beginning."""
    feed = find_feed(journal, FORMATS[form](RUN))
    return Viewer(feed, feed.begin(BEGINNING), b"", monotonic())


class Pumping(ABC):
    """A pump that moves a journal, from its beginning, to who takes it."""

    #: Whether it is in this process, where what it waits for can be changed.
    is_here = True

    @staticmethod
    @contextlib.contextmanager
    def make_journal() -> Iterator[Journal]:
        """Make a journal that it can read."""
        yield make_journal([], end=None)

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


class OnSocket(Pumping):
    """The engine, on a socket whose other end is read here, and its framing taken off."""

    framing = CLOSED

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Make both ends: the engine's and the client's."""
        return socket.socketpair()

    def __init__(self, journal: Journal, take: Callable[[bytes], None], form: str = "text") -> None:
        ours, self._client = self.connect()
        self._is_done = threading.Event()
        self.is_complete: bool | None = None
        super().__init__(journal, take, form)
        self.adopt(ours)

    def adopt(self, sock: socket.socket) -> None:
        """Have the engine send to a socket."""
        adopt(sock, self._viewer, self.framing, self._finish)

    def _finish(self, is_complete: bool) -> None:  # noqa: FBT001 - called by the engine
        self.is_complete = is_complete
        self._is_done.set()

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.receive():
                self._take(data)
        self._client.close()
        assert self._is_done.wait(30)

    def receive(self) -> bytes:
        """Get the next bytes of the body; none at its end."""
        return self._client.recv(SEND_SIZE)

    def leave(self) -> None:
        self._client.shutdown(socket.SHUT_RDWR)


class OnTcp(OnSocket):
    """The engine, on a connection of TCP, chunked."""

    framing = CHUNKED

    def connect(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        self._body = client.makefile("rb")
        self._left = 0
        return ours, client

    def receive(self) -> bytes:
        if not self._left:
            self._left = int(self._body.readline() or b"0", 16)
            if not self._left:
                # As long as it is open, the connection is.
                self._body.close()
                return b""
        data = self._body.read1(min(self._left, SEND_SIZE))
        self._left -= len(data)
        if not self._left:
            assert self._body.readline() == b"\r\n"
        return data


class OnProcess(OnTcp):
    """The engine in a process of its own, which reads a journal on disk."""

    is_here = False

    @staticmethod
    @contextlib.contextmanager
    def make_journal() -> Iterator[Journal]:
        with tempfile.TemporaryDirectory() as folder:
            store = DirectoryStore(Path(folder) / "store")
            try:
                yield store.create(RunRecord(id=RUN, title="a run", started_at=0)).journal
            finally:
                # With its store, the engine leaves.
                find_process(store.path).forget()

    def adopt(self, sock: socket.socket) -> None:
        host = find_engine(self._viewer.feed.journal)
        assert isinstance(host, ProcessHost)
        host.adopt(sock, self._viewer, self.framing)
        # Whatever comes of it, only the client gets to know.
        self._is_done.set()


PUMPS = {
    "awaiting": Awaiting,
    "blocking": Blocking,
    "engine on a socketpair": OnSocket,
    "engine on TCP": OnTcp,
    "engine in a process": OnProcess,
}
