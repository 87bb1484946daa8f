"""Engines of a test's own, and who views by them."""

import contextlib
import socket
import threading
from collections.abc import Iterator

from outlive.journals.memory import MemoryJournal
from outlive.pumps.engine import CLOSED, Framing
from outlive.pumps.engine.loop import Engine
from tests.pumps.pumpings import make_viewer

#: The sockets of all clients, to be closed behind a test.
opened: list[socket.socket] = []


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """Run an engine of a test's own, in a thread."""
    engine = Engine()
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join(30)
        assert not thread.is_alive()


class Client:
    """The other end of a connection that an engine has."""

    def __init__(
        self,
        engine: Engine,
        journal: MemoryJournal,
        form: str = "text",
        framing: Framing = CLOSED,
        opening: bytes = b"",
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.socket = socket.socket()
            # So that it is full soon.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.socket.connect(listener.getsockname())
            ours, _ = listener.accept()
        opened.append(self.socket)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.data = b""
        self.done: list[bool] = []
        viewer = make_viewer(journal, form)
        viewer.opening = opening
        engine.adopt(ours, viewer, framing, self.done.append)

    def read(self, size: int) -> bool:
        """Read at most so much, where there is something; gives whether it is the end."""
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            data = self.socket.recv(size)
            self.data += data
            return not data
        return False

    def read_until(self, size: int) -> None:
        """Read until it has so much in all."""
        self.socket.settimeout(30)
        while len(self.data) < size:
            data = self.socket.recv(size - len(self.data))
            assert data
            self.data += data

    def read_all(self) -> bytes:
        """Read to the end."""
        self.socket.settimeout(30)
        while data := self.socket.recv(1 << 20):
            self.data += data
        self.socket.close()
        return self.data


def dechunk(data: bytes) -> bytes:
    """Take the framing off a complete body."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            assert data == b"\r\n"
            return body
        body += data[: int(size, 16)]
        data = data[int(size, 16) :]
        assert data.startswith(b"\r\n")
        data = data[2:]
