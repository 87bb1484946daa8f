"""What a server wrote into the dummy: taken where it is plain, put back where it is not."""

import os
import socket
import ssl
import threading

import pytest

from outlive.entries import End, Kind, State
from outlive.errors import EngineError
from outlive.journals.memory import MemoryWriter
from outlive.pumps.blocking import BlockingPump
from outlive.pumps.engine import CHUNKED, CLOSED
from outlive.pumps.engine.hosts import Host, ThreadHost
from outlive.pumps.engine.interposing import Interposed, can_interpose, hand_over, read_framing
from outlive.pumps.engine.threads import stop
from tests.formats.logs import make_journal
from tests.helpers import few_descriptors
from tests.pumps.pumpings import make_viewer

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
_CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("written", "framing"),
    [
        (_CHUNKED + b"\r\n", None),
        (_CHUNKED + b"\r\nB\r\nhello world\r\n", CHUNKED),
        (_CHUNKED + b"\r\nb\r\nhello world\r\n", CHUNKED),
        (_CHUNKED + b"\r\nb\r\nhello world\r\n0\r\n\r\n", None),
        (_CHUNKED + b"\r\nb\r\nHello world\r\n", None),
        (_CHUNKED + b"\r\n5\r\nhello\r\n6\r\n world\r\n", None),
        (_CHUNKED + b"Content-Encoding: gzip\r\n\r\nb\r\nhello world\r\n", None),
        (_CHUNKED + b"Content-Encoding: identity\r\n\r\nb\r\nhello world\r\n", CHUNKED),
        (_CHUNKED + b"Content-Length: 11\r\n\r\nhello world", None),
        (_CLOSED + b"\r\nhello world", CLOSED),
        (_CLOSED + b"\r\nhello", None),
        (b"HTTP/1.0 200 OK\r\n\r\nhello world", CLOSED),
        (b"HTTP/1.1 200 OK\r\n\r\nhello world", CLOSED),
        (b"HTTP/1.1 200 OK\r\n\r\nhello worl", None),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nhello world", None),
        (b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nhello world", None),
        (b"HTTP/2 200\r\n\r\nhello world", None),
        (b"\x16\x03\x01 not plain at all", None),
        (b"", None),
    ],
)
def test_only_a_plain_head_and_the_untouched_chunk_are_taken(written, framing):
    """Whatever else a server wrote is for the server to go on with."""
    assert read_framing(written, b"hello world") is framing


def test_a_head_alone_is_taken_where_nothing_opens_the_stream():
    """As in text, of a run that has written nothing."""
    assert read_framing(_CHUNKED + b"\r\n", b"") is CHUNKED
    assert read_framing(_CLOSED + b"\r\n", b"") is CLOSED


class Served:
    """A client, and a server of WSGI in a thread, which answers as those do."""

    def __init__(self, host: Host | None = None, *, skips=False, fails=False, splits=False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            self.server, _ = listener.accept()
        self.client.settimeout(30)
        self.journal = make_journal([(Kind.OUT, b"one\n"), (Kind.OUT, b"two\n")], end=None)
        self.viewer = make_viewer(self.journal)
        self._host, self._skips, self._fails = host or ThreadHost(), skips, fails
        self._splits = splits
        self._thread = threading.Thread(target=self._serve)

    def answer(self, head: bytes, coding: bytes = b"") -> bytes:
        """Serve, and give all that the client receives."""
        self._head, self._coding = head, coding
        self._thread.start()
        with self.client, self.client.makefile("rb") as answer:
            received = b"".join(iter(answer.readline, b"two\n"))
            MemoryWriter(self.journal).close(End(State.SUCCEEDED, 0))
            received += b"two\n" + answer.read()
        self._thread.join(30)
        stop()
        return received

    def _serve(self) -> None:
        assert can_interpose(self.server, "127.0.0.1")
        body = Interposed(self.viewer, self.server, self._host, BlockingPump(self.viewer))
        prefix = self._head + b"\r\n" + self._coding
        for part in body:
            if part or not self._skips:
                for piece in _split(prefix, part) if self._splits else [prefix + part]:
                    self.server.sendall(piece)
                prefix = b""
            if self._fails:
                break
        if self._fails:
            body.close()
            self.server.sendall(b"two\n")
        else:
            self.server.sendall(b"the end of the server")
            body.close()
        self.server.close()


def _split(prefix: bytes, part: bytes) -> list[bytes]:
    """Cut a chunk into pieces of one byte, and frame none of them."""
    return [prefix, *(part[i : i + 1] for i in range(len(part)))]


@pytest.mark.parametrize("skips", [False, True], ids=["writes a head for nothing", "does not"])
@pytest.mark.parametrize(
    ("head", "coding", "expected"),
    [
        (_CLOSED, b"", b"one\ntwo\n"),
        (_CLOSED + b"Content-Encoding: x\r\n", b"head ", b"head one\ntwo\nthe end of the server"),
    ],
    ids=["taken", "put back"],
)
def test_the_client_gets_every_byte_once(head, coding, expected, skips):
    """From the engine, which leaves the server's own end unseen; or from the server as ever."""
    assert Served(skips=skips).answer(head, coding) == head + b"\r\n" + expected


@pytest.mark.parametrize("opening", [b"", b"x" * 100_000], ids=["text", "opened"])
def test_a_first_chunk_that_is_cut_up_holds_up_nobody(opening):
    """As by middleware that writes each byte by itself, though nobody reads the dummy meanwhile."""
    text = b"line\n" * 10_000
    served = Served(skips=True, splits=True)
    served.journal = make_journal([(Kind.OUT, text + b"two\n")], end=None)
    served.viewer = make_viewer(served.journal)
    served.viewer.opening = opening
    assert served.answer(_CLOSED) == _CLOSED + b"\r\n" + opening + text + b"two\n"


class DeadHost(ThreadHost):
    """An engine that is no more."""

    def adopt(self, *_: object, **__: object) -> None:
        """Take nothing."""
        raise EngineError("there is none")


def test_where_the_engine_cannot_take_it_the_server_goes_on():
    """With nothing lost: the client does not notice."""
    expected = _CLOSED + b"\r\none\ntwo\nthe end of the server"
    assert Served(DeadHost()).answer(_CLOSED) == expected


def test_what_a_server_says_to_an_error_reaches_the_client():
    """As where a middleware fails behind the first chunk: it closes what it iterates over."""
    served = Served(fails=True)
    assert served.answer(_CLOSED) == _CLOSED + b"\r\ntwo\n"


def test_a_connection_that_the_server_closed_is_let_go():
    """By then its descriptor may be another's, which is none of ours."""
    viewer = make_viewer(make_journal([], end=None), "sse")
    ours, theirs = socket.socketpair()
    body = Interposed(viewer, ours, ThreadHost(), BlockingPump(viewer))
    next(body)
    other, end = socket.socketpair()
    descriptor = ours.fileno()
    ours.close()
    with theirs, other, end:
        os.dup2(other.fileno(), descriptor)
        body.close()
        assert os.path.samestat(os.fstat(descriptor), os.fstat(other.fileno()))
        os.close(descriptor)
        theirs.settimeout(10)
        assert theirs.recv(1) == b""


def test_only_the_clients_own_plain_socket_is_taken():
    """Neither one with another end, nor one of TLS, nor a dummy, which has no name."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        ssl.create_default_context().wrap_socket(
            client.dup(), server_hostname="x", do_handshake_on_connect=False
        ) as wrapped,
    ):
        assert can_interpose(client)
        assert can_interpose(client, "127.0.0.1")
        assert not can_interpose(client, "127.0.0.2")
        assert not can_interpose(wrapped)
    assert not can_interpose(client)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not can_interpose(ours)


def test_a_socket_with_a_path_is_taken(tmp_path):
    """As behind nginx, which knows its client."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        client.connect(str(tmp_path / "socket"))
        server, _ = listener.accept()
        with server:
            assert can_interpose(server, "")


def test_a_stream_that_is_left_before_its_second_chunk_leaves_nothing():
    """A server that fails on its first write closes what it iterates over."""
    journal = make_journal([], end=None)
    ours, theirs = socket.socketpair()
    viewer = make_viewer(journal, "sse")
    body = Interposed(viewer, ours, ThreadHost(), BlockingPump(viewer))
    next(body)
    body.close()
    ours.close()
    with theirs:
        theirs.settimeout(10)
        assert theirs.recv(1) == b""
    assert not journal._watchers


@pytest.mark.parametrize("count", range(3))
def test_without_descriptors_the_server_keeps_the_connection(count):
    """It cannot be taken, nor anything laid over it."""
    viewer = make_viewer(make_journal([(Kind.OUT, b"one\n")]))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = Interposed(viewer, ours, ThreadHost(), BlockingPump(viewer))
        with few_descriptors(count):
            assert not hand_over(viewer, ours, ThreadHost(), CLOSED)
            for part in body:
                ours.sendall(part)
        body.close()
        assert theirs.recv(99) == b"one\n"


def test_a_default_timeout_of_an_application_changes_nothing():
    """Nobody waits for so long, and the server's socket blocks as before."""
    viewer = make_viewer(make_journal([(Kind.OUT, b"one\n")]))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.setdefaulttimeout(600)
        try:
            body = Interposed(viewer, ours, DeadHost(), BlockingPump(viewer))
            assert list(body) == [b"", b"one\n"]
            body.close()
        finally:
            socket.setdefaulttimeout(None)
        assert os.get_blocking(ours.fileno())
