"""Views in a real browser: the page that grows, and an EventSource of somebody's own page."""

import re

import pytest
from playwright.sync_api import expect

from tests.adapters.serving import PREFIX
from tests.adapters.test_servers import new_name

pytestmark = pytest.mark.timeout(180)

LISTEN = """path => new Promise(resolve => {
  const lines = [], events = new EventSource(path);
  events.onmessage = event => lines.push(event.data);
  events.onerror = () => { if (events.readyState == EventSource.CLOSED) resolve(lines); };
})"""

#: Where the texts of the last line stand, one beside the other.
BOTTOMS = """() => {
  const end = document.getElementById("end"), range = document.createRange()
  return [end.querySelector(".state span").firstChild, end.lastChild].map((part) => {
    range.selectNodeContents(part)
    return range.getBoundingClientRect().bottom
  })
}"""


def test_a_person_who_goes_to_a_view_sees_its_work_grow(serve, page):
    """Within its own style, and a reload shows the same run."""
    served, name = serve("Flask on its own server"), new_name()
    served.step(name, 1)
    page.goto(f"{served.url.geturl()}{PREFIX}/steps/{name}?x=1", wait_until="commit")
    expect(page.locator("pre#log")).to_contain_text("line 1")
    expect(page).to_have_url(re.compile(r"\?x=1&from="))
    expect(page.locator("body")).to_have_css("display", "flex")
    served.step(name, 2)
    expect(page.locator("pre#log")).to_contain_text("line 2")
    served.step(name, "end")
    expect(page.locator("#end")).to_contain_text("succeeded")
    page.reload()
    expect(page.locator("pre#log")).to_have_text("line 1\nline 2\n")
    page.get_by_role("link", name="Plain text").click()
    expect(page.locator("body")).to_contain_text("line 2")
    assert [record.title for record in served.store.records()].count(name) == 1


def test_a_view_stands_as_the_page_does(serve, browser):
    """Also without the way back to a list; on a phone in one column; how it ended is one line."""
    served, name = serve("Flask on its own server"), new_name()
    served.step(name, 1)
    served.step(name, "end")
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{served.url.geturl()}{PREFIX}/steps/{name}")
        expect(page.locator("#end")).to_contain_text("succeeded")
        left = {page.locator(part).bounding_box()["x"] for part in ("h1", ".now", "#end")}
        assert left == {12}
        assert len(set(page.evaluate(BOTTOMS))) == 1
        page.set_viewport_size({"width": 1000, "height": 800})
        actions = page.locator(".actions").bounding_box()
        assert actions["x"] + actions["width"] == 1000 - 16
        assert page.locator("h1").bounding_box()["x"] == 16


def test_an_event_source_hears_each_line_once_and_stops(serve, page):
    """It connects again by itself after the end, and that starts nothing."""
    served, name = serve("Flask on its own server"), new_name()
    served.step(name, 1)
    served.step(name, 2)
    served.step(name, "end")
    page.goto(f"{served.url.geturl()}{PREFIX}/live/")
    assert page.evaluate(LISTEN, f"{PREFIX}/steps/{name}") == ["line 1", "line 2"]
    assert [record.title for record in served.store.records()].count(name) == 1
