"""Streams over the real server: live, cut, stalled."""

import random
import threading

from tests.helpers import eventually
from tests.standalone.servers import RUN, SUCCEEDED, dechunk, serving


def test_a_line_is_at_the_client_before_the_next_is_written():
    """In every format, with no buffer between the work and its viewer."""
    with serving() as served:
        streams = [served.get(f"format={name}") for name in ("text", "sse", "ndjson", "entries")]
        for word in (b"first", b"second", b"third"):
            served.write(word + b"\n")
            for stream in streams:
                stream.until(word)
        for stream in streams:
            stream.sock.close()


def test_a_whole_stream_ends_as_one():
    """The last chunk comes only after the end of the run; the connection can be used again."""
    with serving() as served, served.get("format=text") as stream:
        served.write(b"x" * 300_000)
        stream.until(b"x" * 1000)
        served.writer.close(SUCCEEDED)
        stream.until(b"\r\n0\r\n\r\n")
        status, headers = stream.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert dechunk(stream.received) == (b"x" * 300_000, True)
        stream.received.clear()
        stream.ask(f"/runs/{RUN}?format=json")
        assert stream.until(b"}\n")


def test_viewers_who_leave_leave_nothing_behind():
    """Two hundred connects and cuts at random: no task, no watcher, no connection stays."""
    choice = random.Random(1)
    with serving() as served:
        stayed = served.get("format=sse")
        stayed.until(b"event: start")
        for number in range(200):
            stream = served.get(f"format={choice.choice(['text', 'sse', 'ndjson', 'entries'])}")
            if choice.random() < 0.7:
                served.write(b"line %d\n" % number)
                stream.until(b"line")
            stream.sock.close()
        eventually(lambda: served.streams() == 1)
        eventually(lambda: served.watchers() == 1)
        eventually(lambda: len(served.connections()) == 1)
        served.write(b"still here\n")
        stayed.until(b"still here")
        stayed.sock.close()


def test_a_stalled_viewer_costs_little_and_holds_nobody():
    """Its cursor stays behind; what it was not sent is in the journal alone."""
    with serving() as served:
        stalled = served.connect(receive_buffer=4096)
        stalled.ask(f"/runs/{RUN}?format=text")
        stalled.until(b"200 OK")
        lively = served.get("format=text")
        lively.until(b"200 OK")
        for number in range(200):
            served.write(b"%7d\n" % number + b"x" * 100_000 + b"\n")
            lively.until(b"%7d\n" % number)
            lively.received.clear()
        (protocol,) = [
            protocol
            for protocol in served.connections()
            if protocol.transport.get_extra_info("peername") == stalled.sock.getsockname()
        ]
        assert protocol.transport.get_write_buffer_size() < 256 * 1024
        served.writer.close(SUCCEEDED)
        stalled.until(b"\r\n0\r\n\r\n")
        stalled.head()
        assert dechunk(stalled.received)[0].count(b"\n") == 400
        stalled.sock.close()
        lively.sock.close()


def test_a_viewer_of_http_1_0_gets_the_bytes_and_the_close():
    """That version has no chunks."""
    with serving() as served, served.connect() as stream:
        stream.ask(f"/runs/{RUN}?format=text", version="1.0")
        served.write(b"one\n")
        stream.until(b"one\n")
        served.writer.close(SUCCEEDED)
        stream.to_end()
        status, headers = stream.head()
        assert (status, bytes(stream.received)) == (200, b"one\n")
        assert "transfer-encoding" not in headers


def test_two_streams_one_after_the_other_in_one_connection():
    """Requests that were sent ahead are answered in turn."""
    with serving() as served, served.connect() as stream:
        served.write(b"one\n")
        served.writer.close(SUCCEEDED)
        stream.ask(f"/runs/{RUN}?format=text")
        stream.ask(f"/runs/{RUN}?format=json")
        stream.ask(f"/runs/{RUN}?format=ndjson", connection="close")
        received = stream.to_end()
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 3
        places = [received.index(word) for word in (b"one\n\r\n", b'"state"', b'"kind":"end"')]
        assert places == sorted(places)


def test_a_run_can_be_written_by_one_thread_and_watched_from_another():
    """No wake-up is lost between them."""
    with serving() as served, served.get("format=text") as stream:

        def work() -> None:
            for number in range(3000):
                served.write(b"%d\n" % number)
            served.writer.close(SUCCEEDED)

        thread = threading.Thread(target=work)
        thread.start()
        stream.until(b"\r\n0\r\n\r\n")
        thread.join()
        stream.head()
        assert dechunk(stream.received)[0] == b"".join(b"%d\n" % n for n in range(3000))
