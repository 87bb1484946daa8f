"""Seed 002, a command's output from Flask: what was wrong with it, and is not in the example."""

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from outlive.runs import Run
from tests.helpers import eventually
from tests.seeds.running import ROOT, Example
from tests.standalone.servers import PATIENCE, dechunk

APP = "examples/flask_command/app.py"
EVENTS = {"Accept": "text/event-stream"}

#: A page as the seed prints it: its ids, and what its script does.
SEED_PAGE = """<!DOCTYPE html><html><head><link rel="icon" href="data:,"><script>
var source = new EventSource("/stream");
source.onmessage = function(event) {
  document.getElementById("output").innerHTML += event.data + "<br/>"
}
</script></head><body><h1>Output</h1><div id="output"></div></body></html>"""


class Stepper:
    """The example, whose command does what it is told step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "steps"
        self.folder.mkdir()
        self._store = folder
        self.examples: list[Example] = []

    def serve(self, *arguments: str, **environment: str) -> Example:
        """Start the example's server."""
        command = [sys.executable, str(ROOT / "tests/seeds/stepping.py"), str(self.folder)]
        environment = {"COMMAND": shlex.join(command), "INTERVAL": "0.3", **environment}
        self.examples.append(Example([*(arguments or [APP])], self._store, **environment))
        return self.examples[-1]

    def step(self, name: object, text: str | None = None) -> None:
        """Let the command print something; with the name `end`, let it end with a code."""
        draft = self.folder / "draft"
        draft.write_bytes((f"line {name}\n" if text is None else text).encode())
        draft.rename(self.folder / str(name))

    def starts(self) -> int:
        """Count how often the command was started."""
        return (self.folder / "starts").read_text().count("\n")


@pytest.fixture
def stepper(tmp_path) -> Iterator[Stepper]:
    """Give an example with nothing running, and leave nothing running."""
    stepper = Stepper(tmp_path)
    yield stepper
    stepper.step("end", "0")
    for example in stepper.examples:
        with example:
            pass


def only_run(example: Example) -> Run:
    """Get the one run that there is."""
    [record] = example.store.records()
    return Run(example.store, record.id)


def test_a_stream_does_not_block_the_server(stepper):
    """Fault: 'if you do another curl request in a second console you won't get any response'."""
    example = stepper.serve()
    stepper.step(1)
    with example.ask("/stream") as first, example.ask("/stream") as second:
        for viewer in (first, second):
            viewer.until(b"line 1\n")
        with example.ask("/page") as other:
            assert other.head()[0] == 200


def test_one_process_is_there_for_all_viewers(stepper):
    """Fault: each request starts the command anew, with a process and threads that read it."""
    example = stepper.serve()
    stepper.step(1)
    viewers = [example.ask("/stream") for _ in range(5)]
    for viewer in viewers:
        viewer.until(b"line 1\n")
    assert stepper.starts() == 1
    late = example.ask("/stream", **EVENTS)
    late.until(b"data: line 1\n")
    stepper.step("end", "0")
    for viewer in (*viewers, late):
        viewer.to_end()
        viewer.sock.close()
    assert stepper.starts() == 1


def test_nothing_is_patched_for_it(stepper):
    """Fault: under gunicorn it works only with eventlet, and after `monkey_patch`."""
    server = ["-m", "gunicorn", "--no-control-socket", "-k", "gthread", "--threads", "4"]
    place = ["--bind", "127.0.0.1:0", "--chdir", str(ROOT / APP).removesuffix("/app.py"), "app:app"]
    example = stepper.serve(*server, *place)
    stepper.step(1)
    with example.ask("/stream") as viewer:
        viewer.until(b"line 1\n")
        stepper.step(2)
        viewer.until(b"line 2\n")
    assert "monkey" not in (ROOT / APP).read_text()


def test_a_python_program_needs_no_flag(stepper):
    """Fault: its output is kept back until there is much of it, unless it is started with -u."""
    example = stepper.serve()
    with example.ask("/stream") as viewer:
        for number in (1, 2):
            stepper.step(number)
            viewer.until(b"line %d\n" % number)


def test_a_command_that_takes_too_long_is_ended(stepper):
    """Fault: the loop hopes that it exits, and a limit works only while somebody reads."""
    example = stepper.serve(TIMEOUT="1")
    with example.ask("/stream", **EVENTS) as viewer:
        viewer.until(b"event: start")
    run = only_run(example)
    assert run.wait(PATIENCE) == "failed"
    assert "1 s" in (run.record.end.error or "")


def test_marks_are_lines_and_tell_of_silence(stepper):
    """Fault: a mark has no line end, comes where there is output, and into the middle of lines."""
    example = stepper.serve(INTERVAL="0.1")
    with example.ask("/stream") as viewer:
        viewer.head()
        eventually(lambda: viewer.more() and viewer.received.count(b"*** Interval\n") > 1)
        stepper.step(1, "unfinished")
        viewer.until(b"unfinished")
        later = time.monotonic() + 0.3
        eventually(lambda: time.monotonic() > later)
        stepper.step(2, ", finished\n")
        stepper.step("end", "0")
        text, is_whole = dechunk(viewer.to_end())
    assert is_whole
    assert text.replace(b"*** Interval\n", b"") == b"unfinished, finished\n"
    assert only_run(example).text() == "unfinished, finished\n"


def test_a_lost_connection_goes_on_where_it_was(stepper):
    """Fault: whoever connects again starts the command again, and sees it from its beginning."""
    example = stepper.serve()
    stepper.step(1)
    with example.ask("/stream", **EVENTS) as viewer:
        viewer.until(b"data: line 1\nid: ")
        last = re.findall(rb"id: (\S+)\n", viewer.until(b"\n\n"))[-1].decode()
    stepper.step(2)
    with example.ask("/stream", Last_Event_ID=last, **EVENTS) as viewer:
        assert b"line 1" not in viewer.until(b"data: line 2\n")
    assert stepper.starts() == 1


def test_an_event_source_stops_at_the_end(stepper, page):
    """Fault: 'once you reach the final number it will just start counting again'."""
    example = stepper.serve()
    stepper.step(1)
    stepper.step("end", "0")
    page.goto(f"{example.url}/page")
    expect(page.locator("#state")).to_have_text("succeeded (0)")
    page.wait_for_function("source.readyState == EventSource.CLOSED")
    expect(page.locator("#output")).to_have_text("line 1\n")
    assert stepper.starts() == 1


def test_an_exit_code_is_told(stepper, page):
    """Fault: nobody learns how the command ended."""
    example = stepper.serve()
    stepper.step(1)
    stepper.step("end", "3")
    with example.ask("/stream", **EVENTS) as viewer:
        told = re.search(rb"event: end\ndata: (.*)\n", viewer.to_end())
    assert told is not None
    assert json.loads(told[1])["exit_code"] == 3
    assert only_run(example).record.end.exit_code == 3


def test_markup_in_the_output_is_text(stepper, page):
    """Fault: the page adds what the command writes to its `innerHTML`."""
    example = stepper.serve()
    text = '<img src="x" onerror="document.title = 1"><b>bold</b>\n'
    stepper.step(1, text)
    page.goto(f"{example.url}/page")
    expect(page.locator("#output")).to_have_text(text)
    expect(page.locator("#output *")).to_have_count(0)
    expect(page).to_have_title("Output")


def test_an_event_is_a_line_whatever_is_in_it(stepper):
    """Fault: `"data:" + line` lets a CR in the output write fields of the stream, and ends lines twice."""
    example = stepper.serve()
    stepper.step(1, "10%\rid: forged\revent: end\n")
    stepper.step("end", "0")
    with example.ask("/stream", **EVENTS) as viewer:
        body = viewer.to_end()
    assert b"data: 10%\ndata: id: forged\ndata: event: end\n" in body
    assert b"\nid: forged" not in body


def test_a_command_goes_on_without_viewers(stepper):
    """Fault: where the one reader goes, nobody reads the process, and it stops at a full pipe."""
    example = stepper.serve()
    with example.ask("/stream") as viewer:
        stepper.step(1)
        viewer.until(b"line 1\n")
    stepper.step(2, "x" * 200_000 + "\n")
    stepper.step("end", "0")
    run = only_run(example)
    assert run.wait(PATIENCE) == "succeeded"
    assert len(run.text()) == len("line 1\n") + 200_001


def test_a_command_goes_on_without_the_server(stepper):
    """Fault: it is the child of a worker, and a deploy leaves it to itself, its output lost."""
    first = stepper.serve()
    stepper.step(1)
    with first.ask("/stream", **EVENTS) as viewer:
        last = re.findall(rb"id: (\S+)\n\n", viewer.until(b"line 1\nid: ") + viewer.until(b"\n\n"))
        first.stop()
    stepper.step(2)
    second = stepper.serve()
    with second.ask("/stream", Last_Event_ID=last[-1].decode(), **EVENTS) as viewer:
        assert b"line 1" not in viewer.until(b"data: line 2\n")
    assert stepper.starts() == 1


def test_the_page_of_the_seed_works_unchanged(stepper, page):
    """Its `innerHTML` is then its own: markup in the output is markup there."""
    example = stepper.serve()
    for number in (1, 2):
        stepper.step(number)
    page.route("**/seed", lambda route: route.fulfill(body=SEED_PAGE, content_type="text/html"))
    page.goto(f"{example.url}/seed")
    expect(page.locator("#output")).to_have_text("line 1line 2")
    expect(page.locator("#output br")).to_have_count(2)
    stepper.step("end", "0")
    page.wait_for_function("source.readyState == EventSource.CLOSED")
    assert stepper.starts() == 1


def test_the_loop_of_the_seed_is_what_it_shows_by_itself(tmp_path):
    """Without a setting, as its README says."""
    with Example([APP], tmp_path) as example, example.ask("/stream") as viewer:
        viewer.head()
        assert dechunk(viewer.until(b"1\n"))[0].startswith(b"0\n1\n")
