"""What a server wrote into the dummy: taken where it is plain, put back where it is not."""

import socket
import threading

import pytest

from outlive.entries import Kind
from outlive.pumps.blocking import BlockingPump
from outlive.pumps.engine import CHUNKED, CLOSED, stop
from outlive.pumps.engine.interposing import Interposed, can_interpose, read_framing
from tests.formats.logs import make_journal
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
        (b"HTTP/1.1 200 OK\r\n\r\nhello world", None),
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


def serve(server: socket.socket, head: bytes, coding: bytes = b"") -> None:
    """Answer as a server of WSGI does, which leaves out what is empty."""
    journal = make_journal([(Kind.OUT, b"one\n"), (Kind.OUT, b"two\n")])
    viewer = make_viewer(journal)
    assert can_interpose(server)
    body = Interposed(viewer, server, BlockingPump(viewer))
    next_part = next(body)
    server.sendall(head + b"\r\n" + coding + next_part)
    for part in body:
        server.sendall(part)
    server.sendall(b"the end of the server")
    body.close()
    server.close()


@pytest.mark.parametrize(
    ("head", "coding", "expected"),
    [
        (_CLOSED, b"", b"one\ntwo\n"),
        (_CLOSED + b"Content-Encoding: x\r\n", b"head ", b"head one\ntwo\nthe end of the server"),
    ],
    ids=["taken", "put back"],
)
def test_the_client_gets_every_byte_once(head, coding, expected):
    """From the engine, which leaves the server's own end unseen; or from the server as ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    thread = threading.Thread(target=serve, args=(server, head, coding))
    thread.start()
    with client, client.makefile("rb") as answer:
        assert answer.read() == head + b"\r\n" + expected
    thread.join(30)
    stop()


def test_a_stream_that_is_left_before_its_second_chunk_leaves_nothing():
    """A server that fails on its first write closes what it iterates over."""
    journal = make_journal([], end=None)
    ours, theirs = socket.socketpair()
    viewer = make_viewer(journal, "sse")
    body = Interposed(viewer, ours, BlockingPump(viewer))
    next(body)
    body.close()
    ours.close()
    with theirs:
        theirs.settimeout(10)
        assert theirs.recv(1) == b""
    assert not journal._watchers
