"""A server in a process of its own that does nothing but hand its connections to an engine.

`python -m tests.pumps.workers STORE LISTENER`: a client sends one line, `RUN FORMAT [CURSOR]`, and
is sent the stream by the engine; where that is refused, it is told so by the worker.
"""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic

from outlive.entries import BEGINNING, Cursor, End, Kind, RunRecord, State
from outlive.errors import EngineError, OutliveError
from outlive.feeds import find_feed
from outlive.formats import FORMATS
from outlive.journals.base import Journal, JournalWriter
from outlive.pumps.engine import CHUNKED, EngineSeats, find_engine
from outlive.pumps.engine.processes import ProcessHost
from outlive.stores import Store, open_store
from outlive.viewers import Viewer
from tests.helpers import eventually

__all__ = ["Client", "Worker", "begin_run", "engines_of", "hand_over", "make_viewer", "serve"]


def make_viewer(journal: Journal, form: str = "sse", cursor: str = "") -> Viewer:
    """Make a viewer that begins at a cursor, or at the beginning."""
    view = FORMATS[form](journal.run)
    position = Cursor.parse(cursor).position if cursor else BEGINNING
    feed = find_feed(journal, view)
    opening = view.open(journal.start(), position, resumed=bool(cursor))
    return Viewer(feed, feed.begin(position), opening, monotonic())


def serve(store: Store, listener: socket.socket) -> None:
    """Hand over whoever comes, for ever."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile() as lines:
            run, form, *cursor = lines.readline().split()
            viewer = make_viewer(store.journal(run), form, *cursor)
            try:
                viewer.seat = EngineSeats().take(viewer.feed.journal, run, "127.0.0.1")
                host = find_engine(viewer.feed.journal)
                assert host is not None
                host.adopt(connection.dup(), viewer, CHUNKED, b"head\r\n")
            except OutliveError as error:
                connection.sendall(b"refused: " + str(error).encode())


class Worker:
    """Such a process, and where it listens; several may share that."""

    def __init__(
        self, store: Path, listener: socket.socket | None = None, *prefix: str, **env: str
    ) -> None:
        made = listener or socket.create_server(("127.0.0.1", 0))
        self.address = made.getsockname()
        self.errors = store / f"errors-{os.urandom(4).hex()}"
        command = [*prefix, sys.executable, "-m", __name__, str(store), str(made.fileno())]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command, stderr=errors, pass_fds=[made.fileno()], env=os.environ | env
            )
        if listener is None:
            made.close()

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        self.process.wait(30)

    def told(self) -> str:
        """Get what it wrote to its standard error."""
        return self.errors.read_text()


class Client:
    """A viewer of a run, who comes again with the last cursor when told to."""

    def __init__(self, address: tuple[str, int], run: str, form: str = "sse") -> None:
        self._address, self._run, self._form = address, run, form
        self.data = b""
        self.is_over = False
        self.socket = socket.socket()
        self.connect()

    def connect(self) -> None:
        """Connect; where something came before, go on behind it."""
        found = re.findall(rb"id: (\S+)\n", self.body())
        cursor = found[-1].decode() if found else ""
        self.socket.close()
        self.socket = socket.create_connection(self._address, 30)
        self.socket.sendall(f"{self._run} {self._form} {cursor}\n".encode())
        self.socket.settimeout(0)
        self.is_over = False

    def read(self) -> bytes:
        """Take what is there; gives all that came so far."""
        while not self.is_over:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            self.data += data
            self.is_over = not data
        return self.data

    def wait_for(self, data: bytes) -> None:
        """Read until something is among what came."""
        eventually(lambda: data in self.read())

    def wait_for_end(self) -> bytes:
        """Read until the connection ends."""
        eventually(lambda: self.read() is not None and self.is_over, seconds=60)
        return self.data

    def body(self) -> bytes:
        """Take heads and the framing off, whatever of that was cut."""
        return re.sub(rb"head\r\n|\r\n[0-9a-f]+\r\n|^[0-9a-f]+\r\n|\r\n$", b"", self.data)

    def lines(self) -> list[bytes]:
        """Get the lines that came."""
        return re.findall(rb"data: (\d+)\nid: ", self.body())

    def close(self) -> None:
        """Go."""
        self.socket.close()


def begin_run(store: Store) -> JournalWriter:
    """Begin a run that is written here."""
    return store.create(RunRecord(id=os.urandom(10).hex(), title="a run", started_at=0))


def write_lines(writer: JournalWriter, numbers: range) -> None:
    """Write lines, each an entry."""
    for number in numbers:
        writer.append(Kind.OUT, b"%d\n" % number)


def end_run(writer: JournalWriter) -> None:
    """End it well."""
    writer.close(End(State.SUCCEEDED, 0))


def engines_of(store: Path) -> list[int]:
    """Find the processes that are engines of a store."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(store) in words and b"pumps/engine/__main__.py" in b" ".join(words):
            found.append(int(path.parent.name))
    return found


def hand_over(host: ProcessHost, store: Store, run: str, form: str = "text") -> socket.socket:
    """Have a viewer's socket handed over by this process; gives the client's end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    try:
        host.adopt(ours, make_viewer(store.journal(run), form), CHUNKED)
    except EngineError:
        ours.close()
        theirs.close()
        raise
    return theirs


if __name__ == "__main__":
    logging.basicConfig()
    serve(open_store(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
