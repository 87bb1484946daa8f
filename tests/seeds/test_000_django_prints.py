"""Seed 000, prints of a Django view: what was wrong with it, and is not in the example."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers import eventually
from tests.seeds.instructing import Instructed
from tests.seeds.running import Example
from tests.standalone.servers import PATIENCE

BROWSER = {"Accept": "text/html", "Sec_Fetch_Mode": "navigate"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Instructed]:
    """Serve the example, whose job does as it is told."""
    with Instructed(tmp_path, "django_prints", "job") as served:
        yield served


def read_job(served: Instructed, *statements: str, **headers: str) -> bytes:
    """Visit the view while its job does this, and read what comes until the end."""
    for statement in statements:
        served.do(statement)
    served.end()
    with served.ask("/stream/", **headers) as viewer:
        viewer.head()
        return viewer.to_end()


def cpu_seconds(pid: int) -> float:
    """Tell how long a process has computed (proc(5), `stat`)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_silence_costs_nothing(served):
    """Fault: `while is_alive(): get_nowait()` computes for as long as the job says nothing."""
    with served.ask("/stream/") as viewer:
        served.do("print('one')")
        viewer.until(b"one\n")
        began, until = cpu_seconds(served.example.process.pid), time.monotonic() + 1
        eventually(lambda: time.monotonic() > until)
        assert cpu_seconds(served.example.process.pid) - began < 0.5


def test_what_child_threads_print_comes_too(served):
    """Fault: a queue belongs to one thread's name; its children print to the server's terminal."""
    child = (
        "import threading; t = threading.Thread(target=print, args=('child',)); t.start(); t.join()"
    )
    assert read_job(served, child) == b"child\n"
    assert "child" not in served.printed()


def test_threads_may_have_the_same_name(served):
    """Fault: the second job of one name takes the queue of the first."""
    with served.ask("/stream/") as first, served.ask("/stream/") as second:
        eventually(lambda: len(served.runs()) == 2)
        served.do("import threading; threading.current_thread().name = 'job'; print('mine')")
        for viewer in (first, second):
            viewer.until(b"mine\n")
        served.end()
        for viewer in (first, second):
            assert viewer.to_end().count(b"mine\n") == 1


def test_the_last_words_come(served):
    """Fault: what is in the queue when the thread ends is lost; the job sleeps for that."""
    assert read_job(served, "print('first')", "print('last')") == b"first\nlast\n"


def test_a_print_is_one_line(served):
    """Fault: `print` writes text and end of line apart, and each gets a `<br>`."""
    body = read_job(served, "print('one', 'two'); print('three')", Accept="text/event-stream")
    assert re.findall(rb"^data: (\w.*)$", body, re.MULTILINE) == [b"one two", b"three"]


def test_records_of_logging_come_too(served):
    """Fault: only `sys.stdout` is replaced; logging has kept the one from before."""
    assert read_job(served, "import logging; logging.warning('careful')") == (
        b"WARNING root: careful\n"
    )


def test_standard_output_is_complete(served):
    """Fault: it has `write`, and `flush` because 'Django would crash without this'; nothing else."""
    text = "import sys; sys.stdout.writelines(['a\\n']); print(sys.stdout.encoding, sys.stdout.isatty())"
    assert read_job(served, text, "sys.stdout.buffer.write(b'b\\n')") == b"a\nutf-8 False\nb\n"


def test_an_exception_is_no_happy_end(served):
    """Fault: the traceback goes to the terminal, and viewers read 'End', as after success."""
    assert b"ZeroDivisionError" in read_job(served, "1 / 0")
    [run] = served.runs()
    assert run.state == "failed"


def test_a_reload_starts_nothing(served):
    """Fault: who reloads the page runs the job again."""
    with served.ask("/stream/", **BROWSER) as viewer:
        status, headers = viewer.head()
    assert status == 303
    for _ in range(2):
        with served.ask("/stream/" + headers["location"], **BROWSER) as viewer:
            viewer.until(b"<html")
    assert served.starts() == 1


def test_a_job_has_as_many_viewers_as_come(served):
    """Fault: of one queue each line is taken by one reader."""
    with served.ask("/stream/", **BROWSER) as viewer:
        place = "/stream/" + viewer.head()[1]["location"]
    with served.ask(place) as first, served.ask(place) as second:
        served.do("print('for all')")
        for viewer in (first, second):
            viewer.until(b"for all\n")


def test_who_leaves_ends_nothing_and_leaves_nothing(served):
    """Fault: `clean` is not called then; the queue fills up for ever, and the rest is lost."""
    with served.ask("/stream/") as viewer:
        served.do("print('one')")
        viewer.until(b"one\n")
    served.do("print('two')")
    served.end()
    [run] = served.runs()
    assert run.wait(PATIENCE) == "succeeded"
    assert run.text() == "one\ntwo\n"


def test_the_page_is_whole_and_shows_text_as_text(served, page):
    """Fault: no document but text and `<br>`, in which what is printed is markup."""
    served.do("print('<b>bold</b> & <img src=x onerror=alert(1)>')")
    served.do("print('second')")
    page.goto(f"{served.example.url}/stream/", wait_until="commit")
    expect(page.locator("body")).to_contain_text("<b>bold</b> & <img src=x onerror=alert(1)>")
    expect(page.locator("body")).to_contain_text("second")
    expect(page.locator("b, img")).to_have_count(0)
    served.end()
    page.wait_for_load_state("load")
    with served.ask("/stream/" + page.url.rpartition("/")[2], **BROWSER) as viewer:
        body = viewer.to_end()
    assert body.partition(b"\r\n\r\n")[2].startswith(b"<!doctype html>")
    assert body.rstrip().endswith(b"</html>")


def test_the_job_of_the_seed_is_what_it_shows_by_itself(tmp_path):
    """As its README says: a line per second, each as it is printed."""
    with Example(["examples/django_prints/app.py"], tmp_path) as example:
        with example.ask("/stream/") as viewer:
            assert b"\r\n\r\nTask #0\nTask #1\n" in viewer.until(b"Task #1\n")
        # It would be waited for.
        example.process.kill()
