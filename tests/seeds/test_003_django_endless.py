"""Seed 003, an endless generator in Django: what was wrong with it, and is not in the example."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.seeds.running import ROOT, Example

APP = "examples/django_endless/app.py"
EVENTS = {"Accept": "text/event-stream"}
FIRST = b"[         0 s] Little brown lady"

#: The example, with a heartbeat that tests can wait for, as `-c` takes it.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT / "examples" / "django_endless")!r})
from outlive import viewers
viewers.HEARTBEAT = 0.2
import app
"""
#: On a server of ASGI, where a generator of the seed's kind is gathered up whole: for ever.
ASGI = """
import django, uvicorn
from django.core.asgi import get_asgi_application
uvicorn.run(get_asgi_application(), port=0)
"""


@pytest.fixture(params=["runserver", "uvicorn"])
def example(request, tmp_path: Path) -> Iterator[Example]:
    """Serve the example."""
    serve = "app.main()" if request.param == "runserver" else ASGI
    # An engine in a process of its own would have the heartbeat that users have.
    with Example(["-c", PROGRAM + serve], tmp_path, OUTLIVE_ENGINE="thread") as example:
        yield example
        # What is endless would be waited for.
        example.process.kill()


def test_it_outlives_the_connection(example):
    """Fault: 'the connection can be easily interrupted'; it ends with it, and starts over at 0 s."""
    with example.ask("/streamed?sleep=1", **EVENTS) as viewer:
        viewer.until(FIRST)
        last = re.findall(rb"id: (\S+)\n\n", viewer.until(b"\n\n"))[-1].decode()
    with example.ask("/streamed?sleep=1", Last_Event_ID=last, **EVENTS) as viewer:
        assert FIRST not in viewer.until(b"[         1 s] Jumped into the blue water")
    assert len(example.store.records()) == 1


def test_all_see_the_same(example):
    """Fault: each visitor has a generator of his own, and a thread that sleeps for it."""
    with example.ask("/streamed?sleep=60") as first, example.ask("/streamed?sleep=60") as second:
        first.until(FIRST)
        second.until(FIRST)
        [record] = example.store.records()
        assert record.title == "recite every 60 s"


def test_what_is_between_does_not_cut_it(example):
    """Fault: it is silent between two lines, and load balancers time out; it would send blanks."""
    with example.ask("/streamed?sleep=3", **EVENTS) as viewer:
        viewer.until(FIRST)
        # Comments, which no page sees.
        viewer.until(b"\n:")
        received = bytes(viewer.received)
    assert b"Jumped" not in received


def test_its_type_is_one(example):
    """Fault: `content_type='text'` is no media type: browsers guess, and keep back what comes first."""
    with example.ask("/streamed?sleep=1") as viewer:
        _, headers = viewer.head()
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"


def test_what_is_no_number_is_told(example):
    """Fault: `int('x')` is an error of the server."""
    for text in ("x", "0", "-1"):
        with example.ask(f"/streamed?sleep={text}") as viewer:
            assert viewer.head()[0] == 400
            assert b"sleep: a number of seconds\n" in viewer.to_end()


def test_it_can_be_ended(example):
    """Fault: it ends when somebody ends the server."""
    with example.ask("/streamed?sleep=1", **EVENTS) as viewer:
        viewer.until(FIRST)
        [record] = example.store.records()
        with example.ask(f"/live/runs/{record.id}/cancel", "POST", Content_Length="0") as other:
            assert other.head()[0] == 202
        assert b'"state":"cancelled"' in viewer.to_end()


def test_the_lines_of_the_seed_are_what_it_shows_by_itself(tmp_path):
    """As its README says."""
    with Example([APP], tmp_path) as example:
        with example.ask("/streamed?sleep=1") as viewer:
            viewer.head()
            said = viewer.until(b"again ===========\n").decode()
        example.process.kill()
    assert re.match(
        r"\[         0 s\] Little brown lady\n"
        r"\[         \d s\] Jumped into the blue water\n"
        r"\[         \d s\] And smiled\n"
        r"=========== Here we go again ===========\n",
        said,
    )
