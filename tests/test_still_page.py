"""The page without JavaScript, in a real browser, while commands run."""

import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from outlive.entries import End, State
from tests.browsers import PATIENCE
from tests.programs import Outlive
from tests.standalone.servers import serving
from tests.test_page import HOSTILE
from tests.test_stages_of_page import Job

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def still(browser: Browser) -> Iterator[Page]:
    """Open a small window of a browser that runs no scripts."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 640, "height": 400})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()


def show(page: Page, url: str) -> Locator:
    """Open the page of a run, as `<noscript>` leads to it, and find its output."""
    page.goto(url)  # the page proper, which exchanges the token for a cookie
    page.get_by_role("link", name="a page without").click(no_wait_after=True)
    return page.locator("pre#log")


class Typed:
    """A command that writes what it is given."""

    def __init__(self, outlive: Outlive) -> None:
        options = ("--title", "typed", "--linger", "600")
        self.process = outlive.start("run", *options, "--", "cat", stdin=subprocess.PIPE)
        self.url = outlive.url_of(self.process)

    def write(self, text: str) -> None:
        """Write at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> None:
        """End well."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def test_a_bar_is_one_bar_while_the_document_still_comes(outlive, still):
    """What can be seen is what a terminal shows, at every moment, and how it ended."""
    command = Typed(outlive)
    command.write("begun\n")
    log = show(still, command.url)
    for percent in (10, 20, 30):
        command.write(f"\r{percent}%|####|")
        expect(log).to_have_text(f"begun {percent}%|####|", use_inner_text=True)
    expect(still.locator("header .running")).to_be_visible()
    command.write("\r\x1b[Kdone\n")
    expect(log).to_have_text("begun done", use_inner_text=True)
    command.end()
    expect(still.locator("#end")).to_contain_text("succeeded")
    expect(still.locator("header .running")).to_be_hidden()
    expect(log).to_have_text("begun done", use_inner_text=True)


def test_the_end_stays_in_view_unless_the_reader_scrolls_up(outlive, still):
    """Without a script: the page is built from its end."""
    command = Typed(outlive)
    log = show(still, command.url)
    command.write("".join(f"line {number}\n" for number in range(2000)))
    command.write("\x1b[1mnow\x1b[0m\n")
    expect(log.get_by_text("now", exact=True)).to_be_in_viewport()
    still.mouse.move(300, 300)
    still.mouse.wheel(0, -4000)
    expect(log.get_by_text("now", exact=True)).not_to_be_in_viewport()
    command.write("\x1b[1mlater\x1b[0m\n")
    expect(log.get_by_text("later", exact=True)).to_be_attached()
    expect(log.get_by_text("later", exact=True)).not_to_be_in_viewport()
    command.end()


def test_hostile_output_is_text_without_a_script_to_say_so(outlive, still):
    """Tags, comments and links change nothing but what is read."""
    command = Typed(outlive)
    command.write("".join(f"{line}\n" for line in HOSTILE))
    command.write(
        "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n</span></pre>\x1b[1mlast\x1b[0m"
    )
    command.end()
    log = show(still, command.url)
    expect(still.locator("#end")).to_contain_text("succeeded")
    assert (log.text_content() or "").splitlines() == [*HOSTILE, "link", "</span></pre>last"]
    assert log.locator("a, script, img").count() == 0
    assert still.title() == "typed"


def test_a_run_can_be_cancelled_without_a_script(outlive, still):
    """By a form that asks first, and comes back to the page; afterwards there is nothing to cancel."""
    process = outlive.start("run", "--linger", "600", "--", "sleep", "300")
    show(still, outlive.url_of(process))
    expect(still.get_by_role("button", name="Really cancel")).to_be_hidden()
    still.locator("#cancel summary").click()
    still.get_by_role("button", name="Really cancel").click(no_wait_after=True)
    expect(still.locator("#end")).to_contain_text("cancelled · SIGTERM")
    assert still.url.endswith("?format=html")
    expect(still.locator("#cancel")).to_be_hidden()


def test_a_stage_is_a_bar_without_a_script(still):
    """One, however often it was sent, until it is done; the whole list opens at the end."""
    with serving() as served:
        job = Job(served)
        still.goto(f"{job.url}?format=html", wait_until="commit")
        for current in (1, 2, 3):
            job.stage("import", current, 4)
            job.stage("rows", 10 * current, None, parent="import")
            shown = still.locator(".bar:visible")
            expect(shown).to_have_count(2)
            expect(shown.first).to_contain_text(f"{current} / 4")
        job.stage("rows", 40, parent="import", done=True)
        expect(still.locator(".bar:visible")).to_have_count(1)
        job.end(End(State.FAILED, 1))
        expect(still.locator("#end")).to_contain_text("in import")
        expect(still.locator(".bar.failed:visible")).to_have_count(1)
        expect(still.locator(".bar:visible")).to_have_count(1)
        still.locator("#finished summary").click()
        expect(still.locator("#finished li")).to_contain_text("rows")


def test_the_list_leads_to_runs_without_a_script(outlive, still):
    """From the page proper to the list, and from there to a run and back."""
    server = outlive.start("serve", "--port", "0")
    outlive("run", "--title", "a <b>work</b>", "--label", "k=v", "--", "echo", "there")
    still.goto(outlive.url_of(server))
    still.get_by_role("link", name="a page without").click()
    row = still.locator("tbody tr")
    expect(row).to_contain_text("succeeded")
    expect(row).to_contain_text("k: v")
    row.get_by_role("link", name="a <b>work</b>").click()
    expect(still.locator("pre#log")).to_contain_text("there")
    still.get_by_role("link", name="Runs").click()
    expect(still.locator("tbody tr")).to_have_count(1)
