"""Seed 001, records of logging of a Django view: what was wrong, and is not in the example."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.seeds.instructing import Instructed
from tests.seeds.running import Example
from tests.standalone.servers import PATIENCE

EVENTS = {"Accept": "text/event-stream"}
BROWSER = {"Accept": "text/html", "Sec_Fetch_Mode": "navigate"}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - INFO - (.*)")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Instructed]:
    """Serve the example, whose import does as it is told."""
    with Instructed(tmp_path, "django_logging", "import_clients") as served:
        served.do("import logging; logging.info('begun')")
        yield served


def test_other_requests_log_elsewhere(served):
    """Fault: the handler is on the root logger, so a stream shows what everybody logs."""
    with served.ask("/import/") as viewer:
        viewer.until(b"begun\n")
        with served.ask("/nothing") as other:
            assert other.head()[0] == 404
        served.do("logging.info('done')")
        served.end()
        assert b"Not Found" not in viewer.to_end()
    assert "Not Found: /nothing" in served.printed()


def test_the_logging_of_the_server_is_left_as_it_is(served):
    """Fault: the root logger has a handler more per visit, and for ever the level INFO."""
    # One is of `logging.info` itself.
    served.do("root = logging.getLogger(); print(len(root.handlers), root.level)")
    with served.ask("/import/") as viewer:
        viewer.until(b"1 30\n")


def test_records_have_the_format_of_the_view_and_come_once(served):
    """Fault: a second visit adds a second handler to the same logger."""
    served.do(
        "import threading; t = threading.Thread(target=logging.info, args=('child',)); t.start()"
    )
    served.do("t.join()")
    served.end()
    with served.ask("/import/") as first, served.ask("/import/"):
        first.head()
        lines = first.to_end().decode().splitlines()
    assert [match[1] for line in lines if (match := LINE.fullmatch(line))] == ["begun", "child"]


def test_one_import_goes_on_however_many_ask_for_it(served):
    """Fault: each GET, each reload and each second viewer imports once more, at the same time."""
    with served.ask("/import/") as first, served.ask("/import/", **EVENTS) as second:
        first.until(b"begun\n")
        second.until(b"begun\n")
    with served.ask("/import/", **BROWSER) as viewer:
        assert viewer.head()[0] == 303
    assert served.starts() == 1


def test_who_loses_the_connection_goes_on_where_it_was(served):
    """Fault: a queue is read once; what was sent to nobody is lost."""
    with served.ask("/import/", **EVENTS) as viewer:
        viewer.until(b"begun\n")
        last = re.findall(rb"id: (\S+)\n", viewer.until(b"\n\n"))[-1].decode()
    served.do("logging.info('meanwhile')")
    with served.ask("/import/", Last_Event_ID=last, **EVENTS) as viewer:
        assert b"begun" not in viewer.until(b"meanwhile\n")
    assert served.starts() == 1


def test_who_leaves_leaves_no_handler(served):
    """Fault: without a reader the records pile up in a queue until the import ends."""
    with served.ask("/import/") as viewer:
        viewer.until(b"begun\n")
    served.do("logging.info('alone')")
    served.end()
    [run] = served.runs()
    assert run.wait(PATIENCE) == "succeeded"
    assert [match[1] for line in run.text().splitlines() if (match := LINE.fullmatch(line))] == [
        *("begun", "alone")
    ]


def test_a_failed_import_is_not_finished(served):
    """Fault: 'Import finished.' follows the traceback, too."""
    served.do("raise ValueError('no clients')")
    with served.ask("/import/", **EVENTS) as viewer:
        body = viewer.to_end()
    assert b"data: ValueError: no clients\n" in body
    assert b'"state":"failed"' in body


def test_prints_come_beside_the_records(served):
    """Fault: what the operation prints goes to the server's terminal."""
    served.do("print('printed')")
    with served.ask("/import/") as viewer:
        viewer.until(b"printed\n")
    assert "printed" not in served.printed()


def test_the_page_is_valid_from_its_start_and_shows_text_as_text(served, page):
    """Fault: records are put into `<pre>` as they are; and who fails before the end closes nothing."""
    served.do("logging.info('<b>&amp;</b>')")
    page.goto(f"{served.example.url}/import/", wait_until="commit")
    expect(page.locator("body")).to_contain_text("INFO - <b>&amp;</b>")
    expect(page.locator("b")).to_have_count(0)
    served.do("1 / 0")
    page.wait_for_load_state("load")
    with served.ask("/import/" + page.url.rpartition("/")[2], **BROWSER) as viewer:
        _, body = viewer.head(), viewer.to_end()
    assert body.startswith(b"<!doctype html>")
    assert body.rstrip().endswith(b"</html>")


def test_the_import_is_what_it_shows_by_itself(tmp_path):
    """As its README says: a record per second."""
    with Example(["examples/django_logging/app.py"], tmp_path) as example:
        with example.ask("/import/") as viewer:
            said = viewer.until(b"log 2\n").decode()
        found = [match[1] for line in said.splitlines() if (match := LINE.fullmatch(line))]
        assert found[:2] == ["log 1", "log 2"]
        # It would be waited for.
        example.process.kill()
