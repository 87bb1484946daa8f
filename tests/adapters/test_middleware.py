"""Middleware on the way, of Starlette: it is passed by all at once."""

from collections.abc import Iterator

import pytest

from tests.adapters.serving import SERVERS, Served
from tests.helpers import eventually

HEADERS = {"Accept_Encoding": "gzip", "Origin": "https://example.org"}
FORMATS = ["text", "sse", "ndjson", "html"]


@pytest.fixture(scope="module", params=["uvicorn", "uvicorn with our protocol"])
def served(request, tmp_path_factory) -> Iterator[Served]:
    """Start the application with all of it."""
    kind = SERVERS[f"FastAPI on {request.param}"]
    command = kind.command.replace("fastapi_app", "fastapi_middleware_app")
    folder = tmp_path_factory.mktemp("served")
    with Served(kind._replace(command=command), folder) as served:
        yield served


@pytest.mark.parametrize("form", FORMATS)
def test_each_line_passes_before_the_next_is_written(served, form):
    """None is compressed and held; what middleware adds is there."""
    with served.ask(f"/steps/{form}?format={form}", **HEADERS) as viewer:
        served.step(form, 1)
        viewer.until(b"line 1")
        _, headers = viewer.head()
        assert headers["visits"] == "1"
        assert headers["access-control-allow-origin"] == "https://example.org"
        assert "session=" in headers["set-cookie"]
        assert headers.get("content-encoding", "identity") == "identity"
        served.step(form, 2)
        viewer.until(b"line 2")
        served.step(form, "end")
        viewer.to_end()


@pytest.mark.parametrize("path", ["/live/runs/{}", "/steps/{}"])
def test_a_viewer_who_leaves_is_noticed(served, path):
    """Though middleware stands between, and nothing is written."""
    name = f"leaving{path.count('live')}"
    with served.ask(f"/steps/{name}") as first:
        served.step(name, 1)
        first.until(b"line 1\n")
        [run] = [record.id for record in served.store.records() if record.title == name]
        before = served.watchers()
        other = served.ask(path.format(run if "live" in path else name), **HEADERS)
        other.until(b"line 1\n")
        assert served.watchers() == before + 1
        other.sock.close()
        eventually(lambda: served.watchers() == before)
        served.step(name, "end")
        first.to_end()
