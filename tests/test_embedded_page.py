"""The example of a page of one's own, on its real server and in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.seeds.running import Example

pytestmark = pytest.mark.timeout(180)

LINES = 190


@pytest.fixture
def example(tmp_path) -> Iterator[Example]:
    """Run the example; a build takes about two seconds."""
    with Example(["examples/embedded_page/app.py"], tmp_path, SECONDS="0.01") as example:
        yield example


def test_frame_and_script_show_the_whole_run(example, page, complaints):
    """From its first line to its end, and once more after a reload in the middle."""
    page.goto(example.url)
    page.get_by_role("button", name="Build").click()
    frame = page.frame_locator("iframe")
    for _ in range(2):
        expect(page.locator("#log")).to_contain_text("Compile: file   1 of 60")
        expect(frame.locator("#log")).to_contain_text("Compile: file   1 of 60")
        page.reload()
    expect(page.locator("#state")).to_have_text("succeeded")
    text = page.locator("#log").text_content()
    assert text is not None
    assert text.count("\n") == LINES + 1
    assert text.endswith("Pack: file  30 of 30\nThe build is <good>.\n")
    bars = page.locator("progress").evaluate_all("bars => bars.map(bar => [bar.value, bar.max])")
    assert bars == [[60, 60], [100, 100], [30, 30]]
    expect(page.locator("label").first).to_contain_text("Compile: 60 of 60 files")
    expect(frame.locator("#log")).to_contain_text("The build is <good>.")
    expect(frame.locator("#end")).to_contain_text("The run succeeded")
    assert not complaints


def test_who_presses_twice_gets_one_build(example):
    """A build that goes on is shown, and not started again."""
    places = set()
    for _ in range(2):
        with example.ask("/builds", "POST") as asked:
            status, headers = asked.head()
            assert status == 303
            places.add(headers["location"])
    [record] = example.store.records()
    assert places == {f"/builds/{record.id}"}


def test_no_other_site_may_frame_the_run(example):
    """The page is for frames of the same origin alone."""
    with example.ask("/builds", "POST") as asked:
        run = asked.head()[1]["location"].removeprefix("/builds/")
    with example.ask(f"/live/runs/{run}", Accept="text/html") as asked:
        policy = asked.head()[1]["content-security-policy"]
    assert "frame-ancestors 'self'" in policy
