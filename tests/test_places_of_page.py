"""The pages while there is no place for one more viewer, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Request, expect

from outlive.entries import Kind
from tests.standalone.servers import RUN, Served, serving

pytestmark = pytest.mark.timeout(180)

WAITING = "As many watch here as may at once. Waiting for a place…"


@pytest.fixture(autouse=True)
def only_expected(served, page, complaints):
    """Chromium complains of each answer that sends it away."""
    yield
    page.goto("about:blank")
    complaints[:] = [text for text in complaints if "503 (Service Unavailable)" not in text]


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve a living run, longer than the page is open."""
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def few_places(monkeypatch):
    """Let two watch at once, and others come again after a second."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", "2")
    monkeypatch.setattr("outlive.web.answers.RETRY_SECONDS", 1)


def requests_of(page: Page, part: str) -> list[Request]:
    """Collect what the page asks for at URLs with something in them, from now on."""
    requests: list[Request] = []
    page.on("request", lambda asked: requests.append(asked) if part in asked.url else None)
    return requests


def asked_at(request: Request) -> float:
    """Return when the browser asked, in seconds; how late a busy machine tells us of it does not count."""
    assert request.response() is not None
    return request.timing["startTime"] / 1000


def hold_places(served: Served) -> list:
    """Let two watch."""
    viewers = [served.get("format=sse") for _ in range(2)]
    for viewer in viewers:
        viewer.until(b"event: start")
    return viewers


@pytest.mark.parametrize(
    ("limit", "where"),
    [("", "here"), ("_PER_RUN", "this run"), ("_PER_ADDRESS", "from this address")],
)
def test_the_page_of_a_run_waits_for_a_place_and_takes_it(served, page, monkeypatch, limit, where):
    """It says which limit it is, tries again by itself, and misses nothing."""
    monkeypatch.delenv("OUTLIVE_VIEWERS")
    monkeypatch.setenv(f"OUTLIVE_VIEWERS{limit}", "2")
    first, second = hold_places(served)
    served.writer.append(Kind.OUT, b"one\n")
    page.goto(f"{served.server.url}runs/{RUN}")
    expect(page.locator("#notice")).to_contain_text(WAITING.replace("here", where))
    expect(page.locator("#retry")).to_be_visible()
    expect(page.locator("#title")).to_have_text("served")
    expect(page.locator("#empty")).to_have_text("Its output comes once there is a place.")
    with first:
        pass
    expect(page.locator("#log .line").first).to_have_text("one")
    expect(page.locator("#notice")).to_be_hidden()
    served.writer.append(Kind.OUT, b"two\n")
    expect(page.locator("#log .line").nth(1)).to_have_text("two")
    with second:
        pass


def test_a_silent_run_is_said_to_be_silent_once_that_is_known(served, page):
    """Not while there is no place to hear of it."""
    first, second = hold_places(served)
    page.goto(f"{served.server.url}runs/{RUN}")
    expect(page.locator("#empty")).to_have_text("Its output comes once there is a place.")
    with first, second:
        pass
    expect(page.locator("#empty")).to_have_text("No output yet.")


def test_the_list_is_there_though_there_is_no_place_for_its_news(served, page):
    """As it is when the page is opened; once there is a place, it lives."""
    first, second = hold_places(served)
    page.goto(served.server.url)
    expect(page.locator("#notice")).to_contain_text(WAITING)
    expect(page.locator("#rows .title a")).to_have_text("served")
    with first:
        pass
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#rows .title a")).to_have_count(1)
    with second:
        pass


def test_pages_that_were_sent_away_together_do_not_come_again_together(served, browser):
    """Each waits at least as long as it was told, and then at random up to as long again."""
    held = hold_places(served)
    context = browser.new_context()
    delays: list[float] = []
    for page in (context.new_page() for _ in range(4)):
        asked = requests_of(page, "format=entries")
        page.goto(f"{served.server.url}runs/{RUN}")
        expect(page.locator("#notice")).to_contain_text(WAITING)
        begun = len(asked)
        page.wait_for_event("request", lambda asked: "format=entries" in asked.url)
        delays.append(asked_at(asked[begun]) - asked_at(asked[begun - 1]))
    context.close()
    for viewer in held:
        viewer.sock.close()
    assert min(delays) > 0.9
    assert len({round(delay, 3) for delay in delays}) > 1
