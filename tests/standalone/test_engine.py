"""A server that leaves its streams to an engine, as `outlive serve` does."""

import pytest

from outlive.pumps.engine.threads import stop
from tests.helpers import eventually
from tests.standalone.servers import SUCCEEDED, dechunk, serving


@pytest.fixture(autouse=True)
def engine(monkeypatch) -> None:
    """Have an engine in a thread, though all tests were to have none."""
    monkeypatch.setenv("OUTLIVE_ENGINE", "thread")


def test_a_stream_is_no_connection_of_its_server():
    """It goes on from line to line, and ends with its run."""
    with serving(engine=True) as served, served.get("format=text") as viewer:
        served.write(b"one\n")
        viewer.until(b"one")
        eventually(lambda: not served.connections() and not served.streams())
        served.write(b"two\n")
        viewer.until(b"two")
        served.writer.close(SUCCEEDED)
        viewer.to_end()
        viewer.head()
        assert dechunk(viewer.received) == (b"one\ntwo\n", True)


@pytest.mark.parametrize(("form", "is_complete"), [("text", False), ("sse", True)])
def test_streams_end_with_the_engine(form, is_complete):
    """The server waits for none; only clients that come back by themselves get a proper end."""
    with serving(engine=True) as served, served.get(f"format={form}") as viewer:
        served.write(b"one\n")
        viewer.until(b"one")
        eventually(lambda: not served.connections())
        served.stop(drain=True)
        stop()
        viewer.to_end()
        viewer.head()
        assert dechunk(viewer.received)[1] is is_complete
