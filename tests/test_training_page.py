"""The example of a training: one run, which everybody sees, whatever becomes of server and page."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from outlive.entries import State
from outlive.runs import Run
from tests.helpers import eventually, free_port
from tests.seeds.running import Example

APP = "examples/fastapi_training/app.py"
EPOCHS = 4000


@pytest.fixture
def port() -> str:
    """Choose a port that the example keeps when it comes again."""
    return str(free_port())


@pytest.fixture
def example(tmp_path, port) -> Iterator[Example]:
    """Start the example, with many short epochs."""
    with Example([APP], tmp_path, EPOCHS=str(EPOCHS), PAUSE="0.02", PORT=port) as example:
        yield example


def epochs_of(page: Page) -> list[int]:
    """Get the epochs whose lines a page shows, the first one first."""
    text = page.locator("#output").text_content() or ""
    return [int(number) for number in re.findall(r"epoch (\d+):", text)][::-1]


def only_run(example: Example) -> Run:
    """Get the run, of which there is one."""
    [record] = example.store.records()
    return Run(example.store, record.id)


def test_all_pages_show_one_training_which_its_button_ends(example, page):
    """A late one has its curve from the first epoch."""
    page.goto(example.url)
    eventually(lambda: len(epochs_of(page)) > 5)
    late = page.context.new_page()
    late.goto(example.url)
    eventually(lambda: len(epochs_of(late)) > 5)
    assert epochs_of(late)[:5] == [1, 2, 3, 4, 5]
    points = late.locator("#curve").get_attribute("points") or ""
    assert len(points.split()) > 5
    late.locator("#cancel").click()
    for each in (page, late):
        expect(each.locator("#state")).to_have_text("cancelled")
        expect(each.locator("#cancel")).to_be_disabled()
    assert only_run(example).state is State.CANCELLED


def test_a_training_goes_on_when_its_server_does_not(example, page, tmp_path, port, complaints):
    """The page resumes at the next one, without an epoch lost or shown twice."""
    page.goto(example.url)
    eventually(lambda: len(epochs_of(page)) > 5)
    example.stop()
    with Example([APP], tmp_path, PORT=port) as again:
        before = len(epochs_of(page))
        eventually(lambda: len(epochs_of(page)) > before + 5)
        shown = epochs_of(page)
        assert shown == list(range(1, len(shown) + 1))
        assert only_run(again).state is State.RUNNING
    # That nobody listened for a moment.
    complaints[:] = [each for each in complaints if "ERR_CONNECTION_REFUSED" not in each]
