"""What becomes of tasks and streams when a server that has an event loop ends."""

import contextlib
import re
from pathlib import Path

import pytest

from outlive.entries import State
from tests.adapters.serving import SERVERS, Served

ASYNC = [f"FastAPI on {name}" for name in ("uvicorn", "gunicorn asgi", "granian", "hypercorn")]
# Not daphne, which kills the requests that Django has open, and logs what that complains of.
ASYNC += ["Django on uvicorn"]
EXTRAS = {
    "FastAPI on uvicorn": ["", "--reload", "--workers 2"],
    "FastAPI on hypercorn": ["", "-w 0"],
}
CASES = [(name, extra) for name in ASYNC for extra in EXTRAS.get(name, [""])]


def serve_with(extra: str, name: str, folder: Path) -> Served:
    """Start a server with a further option."""
    kind = SERVERS[name]
    return Served(kind._replace(options=f"{kind.options} {extra}"), folder)


def state_of(served: Served, title: str) -> State:
    """Get the state of a run, as it stands on the disk."""
    [record] = [record for record in served.store.records() if record.title == title]
    return record.end.state


@pytest.mark.parametrize(("name", "extra"), CASES)
@pytest.mark.parametrize("viewers", [0, 2])
def test_work_on_the_loop_of_a_server_ends_with_it(name, extra, viewers, tmp_path):
    """It is cancelled, whether or not somebody watches; no run of it becomes lost."""
    with serve_with(extra, name, tmp_path) as served, contextlib.ExitStack() as stack:
        for _ in range(viewers):
            viewer = stack.enter_context(served.ask("/rest/x", Accept="text/event-stream"))
            viewer.until(b"resting")
        if not viewers:
            with served.ask("/rest/x") as viewer:
                viewer.until(b"resting")
        assert served.stop(served.kind.ends)
    said = "".join(served.said)
    assert state_of(served, "x") is State.CANCELLED
    assert "Traceback" not in said
    assert "destroyed" not in said


@pytest.mark.parametrize("name", ASYNC)
def test_who_reconnects_anyway_leaves_no_error_in_the_log(name, tmp_path):
    """A stream of events is ended properly, which an EventSource takes as it takes a cut."""
    with (
        Served(SERVERS[name], tmp_path) as served,
        served.ask("/rest/x", Accept="text/event-stream") as viewer,
    ):
        viewer.until(b"resting")
        assert served.stop(served.kind.ends)
        viewer.to_end()
    assert not re.search("error", "".join(served.said), re.IGNORECASE)


def test_a_server_that_has_served_enough_ends_its_streams(tmp_path):
    """Uvicorn would wait for them, and serve nobody meanwhile."""
    with (
        serve_with("--limit-max-requests 3", "FastAPI on uvicorn", tmp_path) as served,
        served.ask("/rest/x") as viewer,
    ):
        viewer.until(b"resting")
        for _ in range(3):
            with served.ask("/live/") as other:
                other.to_end()
        viewer.to_end()
        assert served.stop(served.kind.ends)
