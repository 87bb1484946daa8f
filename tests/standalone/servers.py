"""A real server of a store of the test's own, and a client that sees every byte."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from outlive.entries import End, Kind, RunRecord, State
from outlive.journals.base import JournalWriter
from outlive.standalone.server import Server
from outlive.stores import MemoryStore

RUN = "a" * 20
SUCCEEDED = End(State.SUCCEEDED, 0)
PATIENCE = 30.0


@dataclass
class Served:
    """A server, and the writer of the one run that it shows."""

    server: Server
    writer: JournalWriter
    stopped: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        parts = urlsplit(self.server.url)
        return parts.hostname or "", parts.port or 0

    def write(self, text: bytes) -> None:
        """Append output to the run."""
        self.writer.append(Kind.OUT, text)

    def stop(self, *, drain: bool) -> None:
        """Stop the server; with `drain`, viewers first receive what there is."""
        enough = threading.Event()
        if not drain:
            enough.set()
        if not self.stopped:
            self.stopped = True
            self.server.stop(enough)
            self.server._thread.join(PATIENCE)

    def streams(self) -> int:
        """Count the streams that are open."""
        return len(self.server._streams.ending)

    def watchers(self) -> int:
        """Count who watches the run's journal."""
        return len(self.writer.journal._watchers)

    def connections(self) -> list[Any]:
        """List the server's ends of its connections."""
        http = self.server._http
        return [] if http is None else list(http.server_state.connections)

    def connect(self, *, receive_buffer: int = 0) -> "Connection":
        """Open a connection, with a small window where asked to."""
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        return Connection(sock)

    def get(self, query: str = "", **more: str) -> "Connection":
        """Open a stream of the run."""
        connection = self.connect()
        connection.ask(f"/runs/{RUN}?{query}", **more)
        return connection


@contextlib.contextmanager
def serving(*, auth: bool = False, engine: bool = False) -> Iterator[Served]:
    """Serve a living run until the block is left."""
    store = MemoryStore()
    writer = store.create(RunRecord(id=RUN, title="served", started_at=time.time_ns()))
    server = Server(store, host="127.0.0.1", port=0, auth=auth)
    if engine:
        server.use_engine()
    server.start()
    served = Served(server, writer)
    try:
        yield served
    finally:
        served.stop(drain=False)


class Connection:
    """One end of a connection, and what was received of the current response."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.at_end = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, url: str, method: str = "GET", version: str = "1.1", **headers: str) -> None:
        """Send a request."""
        lines = [f"{method} {url} HTTP/{version}", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())

    def more(self) -> bytes:
        """Receive something; nothing at the end."""
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            data = b""
        self.at_end = not data
        self.received += data
        return data

    def until(self, wanted: bytes) -> bytes:
        """Receive until something has come; returns all that has."""
        searched = 0
        while self.received.find(wanted, searched) < 0:
            searched = max(0, len(self.received) - len(wanted))
            assert self.more(), f"{wanted!r} never came: {bytes(self.received[-300:])!r}"
        return bytes(self.received)

    def to_end(self) -> bytes:
        """Receive everything, until the other end closes."""
        while self.more():
            pass
        return bytes(self.received)

    def head(self) -> tuple[int, dict[str, str]]:
        """Receive the head of the response and take it off."""
        head, _, rest = self.until(b"\r\n\r\n").partition(b"\r\n\r\n")
        self.received = bytearray(rest)
        first, *lines = head.decode().split("\r\n")
        named = (line.partition(": ") for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, _, value in named}


def dechunk(data: bytes | bytearray) -> tuple[bytes, bool]:
    """Take chunks apart; returns what they hold, and whether the last one was there."""
    parts: list[bytes] = []
    place = 0
    while (newline := data.find(b"\r\n", place)) >= 0:
        count = int(data[place:newline], 16)
        if not count:
            return b"".join(parts), data[newline:] == b"\r\n\r\n"
        parts.append(bytes(data[newline + 2 : newline + 2 + count]))
        place = newline + 2 + count + 2
    return b"".join(parts), False
