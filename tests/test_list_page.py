"""The list of runs, live, in a real browser."""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from outlive.entries import End, Kind, RunRecord, State
from outlive.journals.base import JournalWriter
from outlive.standalone.server import Server
from outlive.stores import MemoryStore
from outlive.stores.retention import Bounds
from tests.standalone.servers import SUCCEEDED, Served

pytestmark = pytest.mark.timeout(180)


class Listed:
    """A server of a store, and the runs in it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.server = Server(self.store, host="127.0.0.1", port=0, auth=False)
        self.server.start()
        self.url = self.server.url

    def start(self, title: str, ago: float = 0.0, **facts) -> JournalWriter:
        """Start a run, `ago` seconds in the past."""
        started_at = time.time_ns() - int(ago * 1e9)
        return self.store.create(
            RunRecord(id=secrets.token_hex(10), title=title, started_at=started_at, **facts)
        )


@pytest.fixture
def listed() -> Iterator[Listed]:
    """Serve a store without runs."""
    listed = Listed()
    yield listed
    Served(listed.server, listed.start("last")).stop(drain=False)


def stage(writer: JournalWriter, name: str, current=None, total=None, parent=None, *, done=False):
    """Write a stage of a run."""
    facts = {"name": name, "parent": parent, "current": current, "total": total}
    writer.append(Kind.STAGE, json.dumps({**facts, "unit": None, "done": done}).encode())


def titles(page: Page) -> list[str]:
    """Get the titles of the runs that are shown, from top to bottom."""
    return page.locator("#rows tr:visible .title a").all_text_contents()


def requests_of(page: Page) -> list[tuple[str, str]]:
    """Collect what the page asks for, from now on: how, and what."""
    asked: list[tuple[str, str]] = []
    page.on("request", lambda request: asked.append((request.resource_type, request.url)))
    return asked


def test_what_happens_is_shown_without_asking_again(listed, page):
    """The list is asked for once, and one connection tells of runs, states and stages."""
    listed.start("old", 9)
    asked = requests_of(page)
    page.goto(listed.url)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(1)
    new = listed.start("new", labels={"team": "data"})
    expect(page.locator("#rows tr:visible")).to_have_count(2)
    assert titles(page) == ["new", "old"]
    expect(rows.first).to_contain_text("team: data")
    expect(page.locator("#summary")).to_have_text("2 · 2 running")
    new.close(End(State.FAILED, 3, None, "broken"))
    expect(rows.first).to_contain_text("failed exit code 3")
    expect(rows.first).to_contain_text("broken")
    expect(page.locator("#summary")).to_have_text("2 · 1 running")
    assert page.title() == "Runs (1 running)"
    listed.store.prune(Bounds(keep=0))
    expect(page.locator("#summary")).to_have_text("1 · 1 running")
    assert titles(page) == ["old"]
    kinds = [kind for kind, url in asked if kind in ("eventsource", "fetch")]
    assert sorted(kinds) == ["eventsource", "fetch"]


def test_a_row_is_whole_from_the_first(listed, page):
    """When it began and how long it took are there with its state, and not a moment later."""
    page.goto(listed.url)
    expect(page.locator("#empty")).to_be_visible()
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => seen.push(document.querySelector("#rows tr").innerText))
          .observe(document.querySelector("#rows"), { subtree: true, childList: true }); }"""
    )
    listed.start("new", 5).close(SUCCEEDED)
    expect(page.locator("#rows tr")).to_contain_text("succeeded")
    seen = page.evaluate("seen")
    assert seen
    assert [text for text in seen if "ago" not in text and "just now" not in text] == []


def test_a_stage_is_a_bar_in_the_row(listed, page):
    """The outermost that tells how far it is, and where inside of it the run is."""
    writer = listed.start("import")
    page.goto(listed.url)
    row = page.locator("#rows tr").first
    expect(row).to_contain_text("running")
    height = row.evaluate("row => row.offsetHeight")
    stage(writer, "tables", 41, 100)
    stage(writer, "orders", 3, 4, "tables")
    expect(row.locator(".stage")).to_have_text("41% · orders")
    assert row.get_by_role("progressbar", name="tables").evaluate("bar => bar.value") == 0.41
    stage(writer, "orders", 4, 4, "tables", done=True)
    stage(writer, "tables", 100, 100, done=True)
    stage(writer, "reading", 7)
    expect(row.locator(".stage")).to_have_text("7 · reading")
    assert row.evaluate("row => row.offsetHeight") == height
    writer.close(SUCCEEDED)
    expect(row).to_contain_text("succeeded")
    expect(row.get_by_role("progressbar")).to_have_count(0)


def test_what_happens_while_the_list_is_on_its_way_is_not_missed(listed, page):
    """The list may be older than what the connection told: that is applied to it."""
    ending = listed.start("ending", 9)

    def be_slow(route: Route) -> None:
        answer = route.fetch()
        if "application/json" in answer.headers["content-type"]:
            listed.start("just begun")
            ending.close(SUCCEEDED)
        route.fulfill(response=answer)

    page.route(listed.url, be_slow)
    page.goto(listed.url)
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#rows tr").last).to_contain_text("succeeded")
    assert titles(page) == ["just begun", "ending"]


def test_older_runs_are_behind_a_button(listed, page):
    """The newest hundred, then more; new ones on top meanwhile change nothing about it."""
    for number in range(250):
        listed.start(f"run {number}", 1000 - number).close(SUCCEEDED)
    page.goto(listed.url)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(100)
    assert titles(page)[0] == "run 249"
    older = page.get_by_role("button", name="Older runs")
    listed.start("new")
    expect(rows).to_have_count(101)
    older.click()
    expect(rows).to_have_count(201)
    older.click()
    expect(rows).to_have_count(251)
    assert titles(page) == ["new", *(f"run {number}" for number in reversed(range(250)))]
    expect(older).to_be_hidden()


def test_the_list_can_be_filtered(listed, page):
    """By words of title, label and state; the address keeps them; new runs obey."""
    listed.start("Import clients", 3, labels={"team": "data"}).close(SUCCEEDED)
    listed.start("Import orders", 2, labels={"team": "web"}).close(End(State.FAILED, 1))
    listed.start("Build", 1, labels={"team": "data"})
    page.goto(listed.url)
    expect(page.locator("#rows tr")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("IMPORT team=data")
    expect(page.locator("#summary")).to_have_text("1 of 3 · 0 running")
    assert titles(page) == ["Import clients"]
    page.reload()
    expect(page.locator("#summary")).to_have_text("1 of 3 · 0 running")
    page.locator("#filter").fill("failed")
    assert titles(page) == ["Import orders"]
    listed.start("Failed attempt")
    expect(page.locator("#rows tr:visible")).to_have_count(2)
    page.locator("#filter").fill("<b>nothing</b>")
    expect(page.locator("#none")).to_have_text("None of the 4 runs has “<b>nothing</b>”.")
    page.keyboard.press("Escape")
    expect(page.locator("#rows tr:visible")).to_have_count(4)
    assert page.url == listed.url


def test_arrows_lead_from_run_to_run(listed, page):
    """And enter opens one."""
    for number in range(3):
        listed.start(f"run {number}", 9 - number)
    page.goto(listed.url)
    expect(page.locator("#rows tr")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="run 1")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("link", name="run 2")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("run 2")


def test_an_event_that_is_called_like_a_change_of_state_is_none(listed, page):
    """What programs send to the activity changes nothing on the list."""
    writer = listed.start("at work")
    run = writer.journal.run
    page.goto(f"{listed.url}#%")
    expect(page.locator("#rows tr")).to_contain_text("running")
    record = listed.store.record(run).as_json() | {"state": "failed", "title": "forged"}
    facts = {"run": run, "title": "at work", "labels": {}, "owner": None}
    payload = json.dumps({"name": "run", "data": record, **facts}).encode()
    listed.store.announce(Kind.EVENT, payload)
    stage(writer, "after it", 1)
    expect(page.locator("#rows tr")).to_contain_text("after it")
    assert titles(page) == ["at work"]
    expect(page.locator("#rows tr")).to_contain_text("running")


HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "x" * 3000


def test_what_runs_are_called_is_text(listed, page):
    """Titles, labels, commands, errors and stages; and none of them is wider than the page."""
    facts = {"labels": {HOSTILE: HOSTILE}, "command": [HOSTILE, "x"], "owner": HOSTILE}
    listed.start(HOSTILE, **facts).close(End(State.FAILED, 1, None, HOSTILE))
    stage(listed.start(HOSTILE, 1), HOSTILE, 1, 2)
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 600})
        page.goto(listed.url)
        expect(page.locator("#rows tr")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("#rows img:not([alt=''])").count() == 0


def test_a_list_that_cannot_be_read_is_asked_for_again(listed, page, complaints):
    """And says so meanwhile."""
    listed.start("there")
    answers = iter([503, 503])

    def fail_first(route: Route) -> None:
        is_list = route.request.resource_type == "fetch"
        status = next(answers, None) if is_list else None
        route.continue_() if status is None else route.fulfill(status=status, body="no")

    page.route(listed.url, fail_first)
    page.goto(listed.url)
    expect(page.locator("#notice")).to_contain_text("could not be read")
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#notice")).to_be_hidden()
    assert all("503" in complaint for complaint in complaints)
    complaints.clear()


def test_where_its_place_is_gone_the_list_begins_anew(listed, page, complaints):
    """Nothing that happened meanwhile is missed."""
    listed.start("one", 9)
    page.goto(listed.url)
    expect(page.locator("#rows tr")).to_have_count(1)
    page.route("**/activity?*from=*", lambda route: route.fulfill(status=404, body="gone"))
    page.evaluate("dispatchEvent(new Event('offline'))")
    expect(page.locator("#notice")).to_contain_text("No network")
    page.evaluate("dispatchEvent(new Event('online'))")
    listed.start("two")
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#notice")).to_be_hidden()
    assert all("404" in complaint for complaint in complaints)
    complaints.clear()


def test_a_list_whose_server_was_gone_resumes(outlive, page, complaints):
    """What happened without it is told by the next server; the list is not asked for again."""
    server = outlive.start("serve", "--port", "0")
    base = outlive.url_of(server)
    port = base.split(":")[2].partition("/")[0]
    asked = requests_of(page)
    page.goto(base)
    expect(page.locator("#empty")).to_be_visible()
    server.terminate()
    assert server.wait(60) == 0
    expect(page.locator("#notice")).to_contain_text("Connection lost")
    assert outlive("run", "--title", "meanwhile", "--", "true").returncode == 0
    outlive.start("run", "--title", "at work", "--", "cat", stdin=subprocess.PIPE)
    again = outlive.start("serve", "--port", port)
    outlive.url_of(again)
    expect(page.locator("#rows tr:visible")).to_have_count(2, timeout=60_000)
    expect(page.locator("#notice")).to_be_hidden()
    assert titles(page) == ["at work", "meanwhile"]
    expect(page.locator("#rows tr").last).to_contain_text("succeeded")
    lists = [url for kind, url in asked if kind == "fetch" and url.rstrip("/").endswith(port)]
    assert len(lists) == 1
    complaints.clear()
