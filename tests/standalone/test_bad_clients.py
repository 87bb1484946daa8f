"""Clients that send garbage, too much, too slowly or nothing; the others never notice."""

import contextlib
import logging

import pytest

from tests.helpers import eventually
from tests.standalone.servers import RUN, SUCCEEDED, serving

OVERSIZED = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n",
        OVERSIZED,
        b"\r\n" * 1000 + b"x\r\n\r\n",
    ],
)
def test_garbage_is_a_400_and_the_end_of_the_connection(garbage, caplog):
    """And nothing on the terminal of whoever runs the server."""
    with serving() as served, served.get("format=text") as viewer, served.connect() as bad:
        with contextlib.suppress(ConnectionError):
            bad.sock.sendall(garbage)
        # A client that goes on sending may get a reset before it reads the answer.
        received = bad.to_end()
        assert not received or received.startswith(b"HTTP/1.1 400 ")
        assert b"Traceback" not in received
        served.write(b"others go on\n")
        viewer.until(b"others go on")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("garbage", [b"rubbish\r\n\r\n", b"zz\r\n", b"\xff" * 70_000])
@pytest.mark.parametrize("framing", [{}, {"transfer_encoding": "chunked"}])
def test_garbage_behind_a_good_request_harms_only_its_own_stream(garbage, framing, caplog):
    """Be it taken for a body or for the next request."""
    with serving() as served, served.get("format=text") as viewer:
        with served.connect() as bad:
            bad.ask(f"/runs/{RUN}?format=text", **framing)
            bad.until(b"200 OK")
            with contextlib.suppress(ConnectionError):
                bad.sock.sendall(garbage)
            served.write(b"others go on\n")
            viewer.until(b"others go on")
        served.writer.close(SUCCEEDED)
        viewer.until(b"\r\n0\r\n\r\n")
        eventually(lambda: served.streams() == 0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_body_that_nobody_wants_is_not_kept():
    """However long it is, memory holds a bounded part of it."""
    with serving() as served, served.connect() as bad:
        bad.ask(f"/runs/{RUN}/cancel", "POST", content_length=str(10**12))
        bad.until(b"202 Accepted")
        bad.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(200):
                bad.sock.sendall(b"x" * 1_000_000)
        for protocol in served.connections():
            assert len(protocol.cycle.body) < 1_000_000


def test_a_websocket_is_answered_as_what_it_asks_for(caplog):
    """An upgrade that is not offered is ignored (RFC 9110, section 7.8)."""
    with serving() as served, served.connect() as client:
        client.ask(
            "/?format=json", connection="Upgrade", upgrade="websocket", sec_websocket_version="13"
        )
        assert client.until(b"}\n").startswith(b"HTTP/1.1 200 OK")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.fixture
def short_deadline(monkeypatch):
    """Make clients hurry, but not more than a busy machine can."""
    monkeypatch.setattr("outlive.standalone.serving.REQUEST_SECONDS", 1.0)


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_client_that_sends_no_whole_request_is_cut(beginning, monkeypatch):
    """Also one that sends a byte now and then to seem alive."""
    monkeypatch.setattr("outlive.standalone.serving.REQUEST_SECONDS", 0.2)
    with serving() as served, served.connect() as slow:
        slow.sock.sendall(beginning)
        slow.sock.settimeout(0.05)

        def is_cut() -> bool:
            with contextlib.suppress(TimeoutError):
                slow.sock.sendall(b"X" if beginning else b"")
                return slow.more() == b""
            return False

        def is_cut_or_reset() -> bool:
            try:
                return is_cut()
            except (BrokenPipeError, ConnectionResetError):
                return True

        eventually(is_cut_or_reset)
        eventually(lambda: not served.connections())


@pytest.mark.usefixtures("short_deadline")
def test_a_client_that_watches_is_not_cut():
    """A stream may be silent for much longer than a request may take."""
    with serving() as served, served.get("format=text") as viewer:
        viewer.until(b"200 OK")
        with served.connect() as idle:
            idle.to_end()
        with served.connect() as idle:
            idle.to_end()
        served.write(b"still there\n")
        viewer.until(b"still there")


@pytest.mark.usefixtures("short_deadline")
def test_a_client_that_asks_again_is_not_cut():
    """Each whole request buys time for the next."""
    with serving() as served, served.connect() as client, served.connect() as clock:
        done = False
        while not done:
            client.ask("/?format=json")
            client.until(b"}\n")
            client.received.clear()
            clock.sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                done = clock.more() == b""
        client.ask("/?format=json")
        client.until(b"}\n")
