"""Seed 001, log records by http.server: what was wrong with it, and is not in the example."""

import re
import signal
from pathlib import Path
from urllib.parse import urljoin

import pytest

from outlive.entries import State
from outlive.runs import Run
from tests.helpers import eventually
from tests.seeds.running import Example
from tests.standalone.servers import PATIENCE, Connection, dechunk

APP = "examples/http_server_logging/app.py"
EVENTS = {"Accept": "text/event-stream"}
BROWSER = {"Accept": "text/html,*/*;q=0.8", "Sec_Fetch_Mode": "navigate"}
RECORD = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} - import - INFO - log %d\n"
ALL = "".join(RECORD % number for number in (1, 2, 3))


def serve(folder: Path, pause: str = "0.3") -> Example:
    """Start the example's server."""
    return Example([APP], folder, PAUSE=pause)


def text_of(viewer: Connection) -> str:
    """Receive a text to its end, which must be a proper one."""
    viewer.head()
    body, is_whole = dechunk(viewer.to_end())
    assert is_whole
    return body.decode()


def runs_of(example: Example) -> list[Run]:
    """Get all runs."""
    return [Run(example.store, record.id) for record in example.store.records()]


def test_each_sees_its_own_records_alone(tmp_path):
    """Fault: a handler on the root logger takes the records of all who are being served."""
    with serve(tmp_path) as example, example.ask("/") as first, example.ask("/") as second:
        for viewer in (first, second):
            assert re.fullmatch(ALL, text_of(viewer))
        assert len(runs_of(example)) == 2


def test_others_are_answered_meanwhile(tmp_path):
    """Fault: `HTTPServer` does one thing at a time."""
    with serve(tmp_path, "1") as example, example.ask("/") as first:
        first.until(b"log 1")
        with example.ask("/") as second:
            second.until(b"log 1")
        assert {run.state for run in runs_of(example)} == {State.RUNNING}


def test_a_viewer_who_leaves_loses_nothing_and_breaks_nothing(tmp_path):
    """Fault: each further record is a traceback of logging, and nobody can see it any more."""
    with serve(tmp_path) as example:
        with example.ask("/") as viewer:
            viewer.until(b"log 1")
        [run] = runs_of(example)
        assert run.wait(PATIENCE) is State.SUCCEEDED
        assert re.fullmatch(ALL, run.text())
    assert "Traceback" not in "".join(example.said)
    assert "Logging error" not in "".join(example.said)


def test_to_reload_runs_nothing_again(tmp_path):
    """Fault: every request, and so every reload, performs the operation."""
    with serve(tmp_path) as example:
        with example.ask("/", **BROWSER) as visitor:
            status, headers = visitor.head()
        assert status == 303
        place = urljoin("/", headers["location"])
        for _ in range(2):
            with example.ask(place, **BROWSER) as visitor:
                page = text_of(visitor)
            assert page.startswith("<!doctype html>")
            assert page.count("log 3") == 1
        assert len(runs_of(example)) == 1


def test_a_connection_that_was_lost_is_resumed(tmp_path):
    """Fault: what is written meanwhile is gone."""
    with serve(tmp_path) as example:
        with example.ask("/", **EVENTS) as viewer:
            lines = viewer.until(b"log 2").decode().splitlines()
        last = [line[4:] for line in lines if line.startswith("id: ")][-1]
        with example.ask("/", Last_Event_ID=last, **EVENTS) as viewer:
            rest = text_of(viewer)
        heard = [int(number) for number in re.findall(r"log (\d)", "".join(lines) + rest)]
        assert heard in ([1, 2, 3], [1, 2, 2, 3])
        assert len(runs_of(example)) == 1


@pytest.mark.parametrize("path", ["/favicon.ico", "/robots.txt"])
def test_no_other_path_starts_the_work(path, tmp_path):
    """Fault: `do_GET` performs the operation whatever is asked for, a browser's icon for example."""
    with serve(tmp_path) as example:
        with example.ask(path) as visitor:
            assert visitor.head()[0] == 404
        assert runs_of(example) == []


def test_records_are_shown_as_they_come_whatever_the_level_of_the_root_logger(tmp_path):
    """Fault: it is `WARNING`, unless somebody sets it, and `info` shows nothing."""
    with serve(tmp_path) as example, example.ask("/") as viewer:
        assert viewer.head()[1]["content-type"] == "text/plain; charset=utf-8"
        viewer.until(b" - INFO - log 1\n")
        assert b"log 2" not in viewer.received


def test_an_exception_is_seen_by_whoever_looks(tmp_path):
    """Fault: it is logged when the handler has been removed, and the response looks complete."""
    with serve(tmp_path, "much") as example, example.ask("/") as viewer:
        text = text_of(viewer)
        assert re.match(RECORD % 1, text)
        assert "ValueError: could not convert string to float: 'much'\n" in text
        [run] = runs_of(example)
        assert run.state is State.FAILED


def test_a_stream_that_was_cut_does_not_look_complete(tmp_path, monkeypatch):
    """Fault: the end of the connection is all there is of an end."""
    # An engine would tell that the run was lost, and end the stream in order.
    monkeypatch.setenv("OUTLIVE_ENGINE", "off")
    with serve(tmp_path, "60") as example, example.ask("/") as viewer:
        viewer.until(b"log 1")
        example.process.kill()
        viewer.head()
        assert dechunk(viewer.to_end())[1] is False


def test_one_ctrl_c_ends_it(tmp_path):
    """Fault: it waits for the operation, and then shows a traceback; here the run is kept."""
    with serve(tmp_path) as example, example.ask("/") as viewer:
        viewer.until(b"log 1")
        example.process.send_signal(signal.SIGINT)
        viewer.to_end()
        assert example.process.wait(PATIENCE) == 0
        eventually(lambda: runs_of(example)[0].state is State.SUCCEEDED)
    assert "Traceback" not in "".join(example.said)


def test_it_listens_on_this_computer_only(tmp_path):
    """Fault: `0.0.0.0` lets a whole network start work."""
    with serve(tmp_path) as example:
        assert example.url.startswith("http://127.0.0.1:")
