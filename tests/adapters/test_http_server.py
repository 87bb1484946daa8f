"""What is the own of `http.server`: its servers, both versions of HTTP, bodies, shutting down."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import pytest

from outlive.adapters import http_server
from outlive.adapters.http_server import PUBLIC, OutliveHandler
from outlive.entries import Kind, RunRecord
from outlive.errors import ConfigError
from outlive.stores import MemoryStore
from tests.adapters.serving import body_of
from tests.helpers import eventually
from tests.standalone.servers import PATIENCE, RUN, SUCCEEDED, Connection, dechunk


class WaitingServer(ThreadingHTTPServer):
    """One that waits for its threads when it is closed."""

    daemon_threads = False


class Shown:
    """A run that goes on until it is told to end, and a handler that shows it."""

    def __init__(self, version: str = "HTTP/1.0") -> None:
        store = MemoryStore()
        self.version = version
        self.writer = store.create(RunRecord(id=RUN, title="x", started_at=1))
        self.writer.append(Kind.OUT, b"one\n")

        class Handler(OutliveHandler, access=PUBLIC, store=store):
            protocol_version = version
            #: Bytes of a body that are read before it is answered.
            reads = 0

            def do_POST(self) -> None:
                """Read, and leave the rest to the page."""
                self.rfile.read(self.reads)
                self.do_GET()

        self.handler = Handler

    def end(self) -> None:
        """Write the last line, and end."""
        self.writer.append(Kind.OUT, b"two\n")
        self.writer.close(SUCCEEDED)

    def watch(self, server: HTTPServer) -> Connection:
        """Open a stream, and see its first line."""
        viewer = connect(server)
        viewer.ask(f"/runs/{RUN}", version=self.version[-3:], Connection="close")
        viewer.until(b"one\n")
        return viewer

    def watchers(self) -> int:
        """Count who watches."""
        return len(self.writer.journal._watchers)


@contextlib.contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], kind: type[HTTPServer] = WaitingServer
) -> Iterator[HTTPServer]:
    """Serve until the block is left; then nothing of it may be left."""
    with kind(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(PATIENCE)


def connect(server: HTTPServer) -> Connection:
    """Open a connection."""
    return Connection(socket.create_connection(("127.0.0.1", server.server_port), PATIENCE))


@pytest.fixture(params=["HTTP/1.0", "HTTP/1.1"])
def shown(request) -> Shown:
    """Give a run, and a handler of each version of HTTP in turn."""
    return Shown(request.param)


def test_a_stream_is_as_long_as_its_run(shown):
    """Its end is told as the version of HTTP has it."""
    with serving(shown.handler) as server, shown.watch(server) as viewer:
        shown.end()
        assert body_of(viewer) == b"one\ntwo\n"


def test_a_connection_ends_with_its_stream():
    """What comes before serves again; the stream has an end of its own, where there are chunks."""
    shown = Shown("HTTP/1.1")
    shown.end()
    with serving(shown.handler) as server, connect(server) as viewer:
        for _ in range(2):
            viewer.ask(f"/runs/{RUN}", "HEAD")
            assert viewer.head()[0] == 200
            viewer.received.clear()
        viewer.ask(f"/runs/{RUN}")
        assert viewer.head()[1]["connection"] == "close"
        assert dechunk(viewer.to_end()) == (b"one\ntwo\n", True)


@pytest.mark.parametrize("kind", [HTTPServer, ThreadingHTTPServer, WaitingServer])
def test_a_server_that_is_shut_down_cuts_its_streams(shown, kind, monkeypatch):
    """It waits for none, also where it waits for its threads, or has none; and a cut can be seen."""
    monkeypatch.setenv("OUTLIVE_ENGINE", "off")
    with contextlib.ExitStack() as stack:
        with serving(shown.handler, kind) as server:
            viewer = stack.enter_context(shown.watch(server))
        rest = viewer.to_end()
        assert not rest.endswith(b"0\r\n\r\n")
    eventually(lambda: shown.watchers() == 0)


def test_a_viewer_who_leaves_is_no_error(shown, capfd):
    """Neither while it is waited for nor while something is written; nothing of it stays."""
    with serving(shown.handler) as server:
        for _ in range(2):
            shown.watch(server).sock.close()
        eventually(lambda: shown.watchers() == 0)
        shown.watch(server).sock.close()
        shown.end()
    assert shown.watchers() == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_single_thread_serves_one_viewer_after_another(shown):
    """That is all that a server without threads can do."""
    with serving(shown.handler, HTTPServer) as server:
        first = shown.watch(server)
        with connect(server) as second:
            second.ask(f"/runs/{RUN}", version="1.0")
            first.sock.close()
            second.until(b"one\n")
            shown.end()
            assert body_of(second) == b"one\ntwo\n"


def test_a_body_that_nobody_wants_takes_no_answer_back(shown):
    """It is taken after the answer, for a while: to close meanwhile would reset the connection."""
    with serving(shown.handler) as server, connect(server) as viewer:
        viewer.ask(f"/runs/{RUN}/cancel", "POST", Content_Length="200000")
        assert viewer.head()[0] == 202
        assert json.loads(viewer.to_end())["run"] == RUN
        for _ in range(20):
            viewer.sock.sendall(b"x" * 10_000)


def test_a_body_may_have_been_read(shown):
    """The handler's own method did, and leaves the rest to the page."""
    shown.handler.reads = 200_000
    with serving(shown.handler) as server, connect(server) as viewer:
        viewer.ask(f"/runs/{RUN}/cancel", "POST", Content_Length="200000")
        viewer.sock.sendall(b"x" * 200_000)
        assert viewer.head()[0] == 202
        assert json.loads(viewer.to_end())["run"] == RUN


def test_a_body_that_never_comes_is_not_waited_for(shown, monkeypatch):
    """The answer is there at once, and the thread is free soon after."""
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.1)
    with serving(shown.handler) as server, connect(server) as viewer:
        viewer.ask(f"/runs/{RUN}/cancel", "POST", Content_Length="10")
        assert viewer.head()[0] == 202
        assert json.loads(viewer.to_end())["run"] == RUN


class Site(OutliveHandler, access=PUBLIC, prefix="/live/", store=MemoryStore()):
    """The page, below a prefix."""


class Whole(OutliveHandler, access=PUBLIC, store=MemoryStore()):
    """The page, and nothing else."""


def ask(handler: type[BaseHTTPRequestHandler], path: str) -> tuple[int, dict[str, str]]:
    """Ask a server for the head of something."""
    with serving(handler) as server, connect(server) as viewer:
        viewer.ask(path, Accept="text/html")
        return viewer.head()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/live/", 200),
        ("/l%69ve/?count=2", 200),
        ("/live/static/page.css", 200),
        ("/live/runs/x", 404),
        ("/lively", 404),
        ("/", 404),
    ],
)
def test_a_page_is_below_its_prefix(path, status):
    """And nowhere else."""
    assert ask(Site, path)[0] == status


def test_a_prefix_leads_to_its_page():
    """With the slash that its links need."""
    status, headers = ask(Site, "/live")
    assert (status, headers["location"]) == (303, "live/")


def test_the_page_may_be_all_there_is():
    """Without a prefix."""
    assert ask(Whole, "/")[0] == 200
    assert ask(Whole, "/static/page.css")[0] == 200


def test_access_must_be_given():
    """Nothing is open by mistake."""
    make = partial(type, "Handler", (OutliveHandler,), {})
    with pytest.raises(TypeError, match="access"):
        make()
    with pytest.raises(ConfigError, match="access"):
        type("Handler", (OutliveHandler,), {}, access=True)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ConfigError, match="access=…"):
        OutliveHandler(ours, ("", 0), None)  # type: ignore[arg-type]


def test_a_prefix_begins_with_a_slash():
    """Or nothing would be below it."""
    with pytest.raises(ConfigError, match="'/live', not 'live'"):
        type("Handler", (OutliveHandler,), {}, access=PUBLIC, prefix="live")
