"""The stages of a run on its page, in a real browser."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from outlive.entries import End, Kind, State
from tests.helpers import eventually
from tests.standalone.servers import RUN, SUCCEEDED, Served, serving

pytestmark = pytest.mark.timeout(180)

#: Collects what a reader would see move: each height of the panel, and shifts of the layout.
WATCH = """
() => {
  const panel = document.querySelector("#stages");
  window.heights = new Set([panel.offsetHeight]);
  window.paints = [];
  new MutationObserver(() => {
    heights.add(panel.offsetHeight);
    paints.push(performance.now());
  }).observe(panel, { subtree: true, childList: true, attributes: true, characterData: true });
}
"""


class Job:
    """The run that is shown, and its stages."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.url = f"{served.server.url}runs/{RUN}"

    def stage(self, name: str, current: float | None = None, total: float | None = None, **more):
        """Write a stage: `unit`, `parent`, `done`, and its origin."""
        origin = more.pop("origin", 0)
        facts = {"name": name, "parent": None, "current": current, "total": total}
        payload = json.dumps({**facts, "unit": None, "done": False, **more}).encode()
        self.served.writer.append(Kind.STAGE, payload, origin)

    def log(self, level: str, text: str) -> None:
        """Write a record of logging."""
        head = json.dumps({"level": level, "logger": "app"}).encode()
        self.served.writer.append(Kind.LOG, head + b"\n" + text.encode() + b"\n")

    def end(self, end: End = SUCCEEDED) -> None:
        """End the run."""
        self.served.writer.close(end)


@pytest.fixture
def job() -> Iterator[Job]:
    """Serve a living run."""
    with serving() as served:
        yield Job(served)


def rows(page: Page) -> list[dict[str, Any]]:
    """Get the bars as they are shown."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll("#bars li")].map((row) => ({
          name: row.querySelector(".name").textContent,
          figures: row.querySelector(".figures").textContent,
          percent: row.querySelector(".percent").textContent,
          position: Math.round(row.querySelector("progress").position * 100),
          className: row.className,
        }))"""
    )
    return found


def test_stages_that_go_on_are_bars(job, page):
    """With their name, how far they are, and indented under their parent."""
    page.goto(job.url)
    expect(page.locator("#stages")).to_be_hidden()
    job.stage("Import", 3, 10, unit="tables")
    job.stage("rows", 50, 200, parent="Import", unit="rows")
    job.stage("look", 7, unit="files", parent="Import")
    expect(page.locator("#bars li")).to_have_count(3)
    assert rows(page) == [
        {
            "name": "Import",
            "figures": "3 / 10 tables",
            "percent": "30%",
            "position": 30,
            "className": "depth0",
        },
        {
            "name": "rows",
            "figures": "50 / 200 rows",
            "percent": "25%",
            "position": 25,
            "className": "depth1",
        },
        {
            "name": "look",
            "figures": "7 files",
            "percent": "",
            "position": -100,
            "className": "depth1",
        },
    ]
    bar = page.get_by_role("progressbar", name="Import")
    assert (bar.get_attribute("aria-valuetext"), bar.get_attribute("max")) == (
        "30%, 3 / 10 tables",
        "1",
    )
    job.stage("rows", 60, 200, parent="Import", unit="rows")
    expect(page.locator("#bars")).to_contain_text("30%")


def test_finished_stages_are_one_line_that_opens(job, page):
    """Of stages that were announced before, it says how many there will be."""
    page.goto(job.url)
    for number in range(100):
        job.stage(f"step {number}", 0, 5)
    for number in range(12):
        job.stage(f"step {number}", 5, 5, done=True)
    job.stage("step 12", 2, 5)
    summary = page.locator("#finished summary")
    expect(summary).to_have_text("12 of 100 stages done")
    assert [row["name"] for row in rows(page)] == [f"step {i}" for i in (12, 13, 14, 15, 16)][:5]
    expect(page.locator("#finished li").first).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#finished li")).to_have_count(12)
    expect(page.locator("#finished li").last).to_contain_text("step 11")
    job.stage("step 12", 5, 5, done=True)
    expect(page.locator("#finished li")).to_have_count(13)


def test_nothing_moves_while_stages_come_and_go(job, page):
    """The panel keeps its height and is painted at most five times a second."""
    page.goto(job.url)
    job.stage("Job", 0, 40)
    job.stage("step 0", 0, 9, parent="Job")
    expect(page.locator("#bars li")).to_have_count(2)
    page.evaluate(WATCH)
    for number in range(40):
        for current in range(10):
            job.stage(f"step {number}", current, 9, parent="Job", done=current == 9)
            job.served.write(b"\r%d" % current)
        job.stage("Job", number + 1, 40)
        job.served.write(b"\n")
        # The page takes it in at its own pace.
        page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(page.locator("#finished summary")).to_have_text("40 stages done")
    heights, paints = page.evaluate("() => [[...heights], paints]")
    assert len(heights) == 1
    assert len(paints) > 1
    assert all(after - before > 150 for before, after in itertools.pairwise(paints))


def test_a_failed_run_shows_the_stage_it_failed_in(job, page):
    """Its bar stays where it was, and the last line names it."""
    page.goto(job.url)
    job.stage("Import", 1, 3)
    job.stage("orders", 9, 9, parent="Import", done=True)
    job.stage("invoices", 4, 9, parent="Import")
    job.end(End(State.FAILED, 1, None, "ValueError: bad row"))
    expect(page.locator("#end")).to_contain_text(
        "The run failed (exit code 1) in Import › invoices: ValueError: bad row · "
    )
    expect(page.locator("#bars li.failed")).to_have_count(2)
    assert [(row["name"], row["position"]) for row in rows(page)] == [
        ("Import", 33),
        ("invoices", 44),
    ]


def test_a_run_that_ended_well_keeps_one_line_of_its_stages(job, page):
    """Also where it was reloaded; what was never done is not said to be."""
    job.stage("one", 1, 1, done=True)
    job.stage("forgotten", 1, 9)
    job.end()
    for _ in range(2):
        page.goto(job.url)
        expect(page.locator("#end")).to_contain_text("The run succeeded ·")
        expect(page.locator("#finished summary")).to_have_text("1 of 2 stages done")
        expect(page.locator("#bars li")).to_have_count(0)


HOSTILE_NAMES = ["<img src=x onerror=alert(1)>", "__proto__", '"]', "\u202eevil", "x" * 100_000]


def test_names_of_stages_are_text(job, page):
    """Whatever they are; and parents may be anything, too."""
    page.goto(job.url)
    for name in HOSTILE_NAMES:
        job.stage(name, 1, 2, unit=name[:99], parent=HOSTILE_NAMES[0])
    expect(page.locator("#bars li")).to_have_count(5)
    assert [row["name"] for row in rows(page)] == [name[:300] for name in HOSTILE_NAMES]
    assert page.locator("#stages img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_of_very_many_stages_the_page_lists_some_and_counts_all(job, page):
    """The document stays small."""
    for number in range(10_000):
        job.stage(f"stage {number}", 1, 1, done=True)
    page.goto(job.url)
    expect(page.locator("#finished summary")).to_have_text("10,000 stages done")
    page.locator("#finished summary").click()
    expect(page.locator("#finished li")).to_have_count(500)
    expect(page.locator("#finished li").last).to_contain_text("stage 9999")


def test_levels_and_origins_are_marks(job, page):
    """Records are marked by their level; origins by a number, only where there are several."""
    page.goto(job.url)
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "ODD"):
        job.log(level, f"of {level}")
    lines = page.locator("#log .line")
    expect(lines.nth(5)).to_contain_text("of ODD")
    classes = [(lines.nth(i).get_attribute("class") or "").split()[-1] for i in range(6)]
    assert classes == ["debug", "info", "warning", "error", "error", "info"]
    assert lines.nth(2).get_attribute("title") == "WARNING · app"
    expect(page.locator("#log.several")).to_have_count(0)
    job.served.writer.append(Kind.OUT, b"one\n", 1)
    job.served.writer.append(Kind.OUT, b"two\n", 2)
    expect(page.locator("#log .origin")).to_have_count(2)
    expect(page.locator("#log .origin").last).to_be_visible()
    text = "() => [...document.querySelectorAll('#log .line')].map((line) => line.textContent)"
    eventually(lambda: page.evaluate(text)[-3:-1] == ["one\n", "two\n"])


def test_a_phone_shows_fewer_bars_and_nothing_beside_it(job, browser: Browser):
    """Three of them, none wider than the screen, and their shares whole."""
    context = browser.new_context(viewport={"width": 390, "height": 700}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(job.url)
    for number in range(9):
        job.stage(f"a stage with quite a long name, the number {number}", 1234, 56789, unit="rows")
    expect(page.locator("#bars li")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#stages").evaluate("element => element.offsetHeight") < 160
    moving = "() => document.getAnimations().length"
    assert page.evaluate(moving) == 0
    job.stage("a stage with quite a long name, the number 0", 56789, 56789)
    percent = page.locator("#bars .percent").first
    expect(percent).to_have_text("100%")
    assert percent.evaluate("element => element.scrollWidth <= element.clientWidth")
    context.close()
