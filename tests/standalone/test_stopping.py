"""How a server ends: at once, or after its viewers have received what there is."""

import asyncio
import threading

import pytest

from tests.event_streams import EventStream
from tests.helpers import eventually
from tests.standalone.servers import RUN, SUCCEEDED, Connection, Served, dechunk, serving


def test_streams_end_at_once_and_are_visibly_cut(monkeypatch):
    """Ten viewers of a living run do not delay the stop, and none takes it for the end."""
    # Whoever is waited for would be waited for until this test has failed.
    monkeypatch.setattr("outlive.standalone.server.STALL_SECONDS", 600.0)
    with serving() as served:
        viewers = [served.get(f"format={name}") for name in ("text", "sse") * 5]
        served.write(b"line\n")
        for viewer in viewers:
            viewer.until(b"line")
        stalled = served.connect(receive_buffer=4096)
        stalled.ask(f"/runs/{RUN}?format=text")
        for _ in range(10):
            served.write(b"x" * 1_000_000)
        eventually(lambda: unsent(served, stalled))
        stopper = threading.Thread(target=served.stop, kwargs={"drain": False})
        stopper.start()
        for viewer in viewers:
            viewer.to_end()
            viewer.head()
            _, is_complete = dechunk(viewer.received)
            assert not is_complete
            viewer.sock.close()
        stopper.join(30)
        assert not stopper.is_alive()
        stalled.sock.close()


def unsent(served: Served, client: Connection) -> int:
    """Count the bytes that the server could not yet hand to the kernel for a client."""
    name = client.sock.getsockname()
    return sum(
        end.transport.get_write_buffer_size()
        for end in served.connections()
        if end.transport.get_extra_info("peername") == name
    )


def test_idle_connections_do_not_delay_the_stop():
    """Neither those that asked for something before, nor those that never did."""
    with serving() as served:
        silent, kept = served.connect(), served.connect()
        kept.ask("/?format=json")
        kept.until(b"}\n")
        served.stop(drain=False)
        assert silent.to_end() == b""
        kept.to_end()
        silent.sock.close()
        kept.sock.close()


def test_nobody_can_connect_after_the_stop():
    """The port is free again."""
    with serving() as served:
        served.stop(drain=False)
        with pytest.raises(ConnectionRefusedError):
            served.connect()


def drain(served: Served) -> threading.Thread:
    """End the run and stop the server as `outlive run` does."""
    served.writer.close(SUCCEEDED)
    thread = threading.Thread(target=served.stop, kwargs={"drain": True})
    thread.start()
    return thread


def test_viewers_receive_the_end_before_the_server_goes(monkeypatch):
    """All that was written, and the proper end."""
    monkeypatch.setattr("outlive.standalone.server.STALL_SECONDS", 20.0)
    monkeypatch.setattr("outlive.standalone.server.GOODBYE_SECONDS", 0.1)
    with serving() as served:
        viewers = [served.get(f"format={name}") for name in ("text", "sse", "ndjson", "entries")]
        for viewer in viewers:
            viewer.until(b"200 OK")
        served.write(b"x" * 3_000_000 + b"\n")
        stopper = drain(served)
        for viewer in viewers:
            viewer.to_end()
            viewer.head()
            body, is_complete = dechunk(viewer.received)
            assert is_complete
            assert body.count(b"x") >= 3_000_000
            viewer.sock.close()
        stopper.join()


def test_a_viewer_of_a_silent_run_has_taken_all_there_was(monkeypatch):
    """That nothing was sent for an hour does not count against it when the server ends."""
    monkeypatch.setattr("outlive.standalone.server.STALL_SECONDS", 20.0)
    with serving() as served, served.get("format=text") as viewer:
        viewer.until(b"200 OK")
        streams, loop = served.server._streams, served.server._loop
        assert loop is not None
        eventually(lambda: streams.ending)
        streams.ending.update(dict.fromkeys(streams.ending, -3600.0))
        stopper = threading.Thread(target=served.stop, kwargs={"drain": True})
        stopper.start()
        # Long enough for the server to look at its viewers.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result()
        served.write(b"last words\n")
        served.writer.close(SUCCEEDED)
        viewer.to_end()
        viewer.head()
        assert dechunk(viewer.received) == (b"last words\n", True)
        stopper.join()


def test_a_client_that_takes_nothing_is_dropped(monkeypatch):
    """It holds the end of the command for a bounded time."""
    monkeypatch.setattr("outlive.standalone.server.STALL_SECONDS", 0.5)
    with serving() as served:
        stalled = served.connect(receive_buffer=4096)
        stalled.ask(f"/runs/{RUN}?format=text")
        stalled.until(b"200 OK")
        for _ in range(30):
            served.write(b"x" * 1_000_000)
        stopper = drain(served)
        stopper.join(30)
        assert not stopper.is_alive()
        stalled.to_end()
        stalled.head()
        assert not dechunk(stalled.received)[1]
        stalled.sock.close()


class EventSourceLike:
    """Reads one stream to its end and comes back with the last id, as browsers do."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.events = EventStream()
        self.names: list[str] = []

    def visit(self) -> int:
        """Connect, read to the end; returns the status."""
        headers = {"last_event_id": self.events.last_id} if self.events.last_id else {}
        with self.served.get("format=sse", accept="text/event-stream", **headers) as stream:
            status, _ = stream.head()
            if status == 200:
                stream.until(b"\r\n0\r\n\r\n")
                body, _ = dechunk(stream.received)
                self.names += [event.name for event in self.events.feed(body)]
            return status


def test_an_event_source_hears_that_it_was_the_end_before_the_server_goes(monkeypatch):
    """It reconnects after its `retry`, gets the 204 that makes it stop, and only then it is over."""
    # Waited for is who comes, and not until a busy machine lets him.
    monkeypatch.setattr("outlive.standalone.server.GOODBYE_SECONDS", 60.0)
    with serving() as served:
        source = EventSourceLike(served)
        statuses: list[int] = []

        def browse() -> None:
            statuses.append(source.visit())
            threading.Event().wait((source.events.retry or 0) / 1000)
            statuses.append(source.visit())

        browser = threading.Thread(target=browse)
        browser.start()
        eventually(lambda: served.streams() == 1)
        served.write(b"one\ntwo\n")
        stopper = drain(served)
        browser.join()
        stopper.join()
        assert source.events.retry == 100
        assert source.names == ["start", "message", "message", "end"]
        assert statuses == [200, 204]


def test_one_who_just_connected_is_served_before_the_server_goes():
    """The page may be opened by the very line that the command prints last."""
    with serving() as served:
        served.write(b"all\n")
        late: Connection = served.get("format=text")
        stopper = drain(served)
        late.to_end()
        assert b"all\n" in late.received
        assert late.received.endswith(b"\r\n0\r\n\r\n")
        late.sock.close()
        stopper.join()


def test_a_reload_after_the_end_does_not_hide_who_is_awaited():
    """Whoever is sent away twice is not two."""
    with serving() as served:
        served.write(b"x\n")
        source = EventSourceLike(served)
        served.writer.close(SUCCEEDED)
        assert [source.visit() for _ in range(4)] == [200, 204, 204, 204]
        other = EventSourceLike(served)
        assert other.visit() == 200
        assert eventually(lambda: served.server._streams.awaited) == 1


def test_who_watches_the_activity_delays_no_stop(monkeypatch):
    """It has no end that could be waited for; what happened before is delivered."""
    monkeypatch.setattr("outlive.standalone.server.STALL_SECONDS", 600.0)
    with serving() as served:
        viewer = served.connect()
        viewer.ask("/activity?format=sse")
        viewer.until(b"event: start")
        served.writer.close(SUCCEEDED)
        viewer.until(b'"state":"succeeded"')
        served.stop(drain=True)
        viewer.to_end()
        viewer.sock.close()
