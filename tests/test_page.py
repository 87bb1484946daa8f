"""The page, in a real browser, over a real server, of real commands."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from playwright.sync_api import Response, expect

from tests.programs import Outlive

pytestmark = pytest.mark.timeout(180)


def start(outlive: Outlive, program: str, *options: str, **others: Any) -> tuple[Any, str]:
    """Run a Python program whose page lingers; returns the process and the page's URL."""
    options = ("--linger", "600", "--title", "The work", *options)
    command = ["run", *options, "--", sys.executable, "-c", program]
    process = outlive.start(*command, stdout=subprocess.DEVNULL, **others)
    return process, outlive.url_of(process)


#: Prints a line for each that it is given, and the rest when its input ends.
ECHO = "for line in open(0): print('got', line, end='')\nprint('bye')\nraise SystemExit(3)"


def test_a_run_is_followed_as_it_prints(outlive, page):
    """Each line is on the page once it is printed; then state and exit code are."""
    process, url = start(outlive, ECHO, stdin=subprocess.PIPE)
    page.goto(url)
    expect(page.locator("#title")).to_have_text("The work")
    expect(page.locator("#state")).to_contain_text("running")
    expect(page.locator("#cancel")).to_be_visible()
    assert "token" not in page.url
    for i in range(3):
        process.stdin.write(b"%d\n" % i)
        process.stdin.flush()
        expect(page.locator("#log .line").nth(i)).to_have_text(f"got {i}")
    process.stdin.close()
    expect(page.locator("#state")).to_contain_text("failed")
    expect(page.locator("#end")).to_contain_text("The run failed (exit code 3)")
    expect(page.locator("#cancel")).to_be_hidden()
    assert page.title().startswith("failed (3)")
    page.reload()
    expect(page.locator("#end")).to_be_visible()
    lines = [line.strip() for line in page.locator("#log .line").all_text_contents()]
    assert [line for line in lines if line] == ["got 0", "got 1", "got 2", "bye"]


def test_colours_are_drawn(outlive, page):
    """The sixteen colours are classes, others are styles, attributes are there."""
    program = (
        "print('\\x1b[31mred\\x1b[0m \\x1b[1;44mbold\\x1b[0m \\x1b[38;2;1;2;3mtrue\\x1b[m plain')"
    )
    page.goto(start(outlive, program)[1])
    line = page.locator("#log .line").first
    expect(line).to_have_text("red bold true plain")
    expect(line.get_by_text("red", exact=True)).to_have_class("f1")
    classes = (line.get_by_text("bold", exact=True).get_attribute("class") or "").split()
    assert {"b", "g4"} <= set(classes)
    true = line.get_by_text("true", exact=True)
    assert true.evaluate("e => e.style.getPropertyValue('--rgb')")


BAR = """
import time
for i in range(0, 101, 5):
    print(f"\\r{i:3}%|{'#' * (i // 10):10}|", end="")
    time.sleep(0.02)
print("\\ndone")
"""


def test_a_bar_is_redrawn_in_its_line(outlive, page):
    """What a carriage return goes back over is replaced."""
    page.goto(start(outlive, BAR)[1])
    expect(page.locator("#end")).to_be_visible()
    lines = [line.strip() for line in page.locator("#log .line").all_text_contents()]
    assert [line for line in lines if line] == ["100%|##########|", "done"]


def test_the_run_can_be_cancelled(outlive, page):
    """Cancel asks once more, then ends the command."""
    _, url = start(outlive, "import time; print('on', flush=True); time.sleep(300)")
    page.goto(url)
    expect(page.locator("#log")).to_contain_text("on")
    page.locator("#cancel").click()
    expect(page.locator("#cancel")).to_have_text("Really cancel?")
    page.locator("#cancel").click()
    expect(page.locator("#state")).to_contain_text("cancelled")
    expect(page.locator("#end")).to_contain_text("SIGTERM")
    assert outlive.record()["state"] == "cancelled"


def test_the_list_shows_runs_live(outlive, page):
    """A run appears when it starts, and its state changes when it ends."""
    server = outlive.start("serve", "--port", "0")
    page.goto(outlive.url_of(server))
    expect(page.locator("#empty")).to_contain_text("outlive run -- make all")
    process = outlive.start(
        "run", "--title", "a <b>work</b>", "--label", "k=v", "--", "sleep", "300"
    )
    row = page.locator("#rows tr").first
    expect(row).to_contain_text("a <b>work</b>")
    expect(row).to_contain_text("running")
    process.terminate()
    expect(row).to_contain_text("cancelled")
    row.get_by_role("link").first.click()
    expect(page.locator("#title")).to_have_text("a <b>work</b>")
    expect(page.locator("#empty")).to_have_text("It wrote no output.")


HOSTILE = [
    "<script>document.title = 'forged'</script><img src=x onerror=alert(1)>",
    "</pre></div></body></html><!--",
    "data: forged",
    "id: 7",
    "event: end",
    "retry: 1",
    ": comment",
    "&lt;not a tag&gt; &amp;",
    "javascript:alert(1)",
    '{"kind": "end", "state": "succeeded"}',
]
CONTROLS = (
    "\\x1b]0;title\\x07\\x1b]8;;javascript:alert(1)\\x07link\\x1b]8;;\\x07 \\x1b[999999999C"
    "\\x1bPq#0\\x1b\\\\ \\x1b[?1049h\\x1b[12;1H\\x00\\x9b31m\\u202e\\u2028end"
)


def test_hostile_output_is_text(outlive, page):
    """Tags, fields of the wire, escape sequences: nothing changes but what is read."""
    program = (
        f"import sys, json\nfor line in json.loads({json.dumps(json.dumps(HOSTILE))}): print(line)\n"
        f'print("\\rid: 1\\revent: end\\rdata: x\\n\\nafter")\nprint("{CONTROLS}")\nprint("last")\n'
        "sys.stdout.flush(); sys.stdout.buffer.write(b'\\xff\\xfe\\n')"
    )
    page.goto(start(outlive, program)[1])
    expect(page.locator("#end")).to_contain_text("The run succeeded")
    lines = [line.removesuffix("\n") for line in page.locator("#log .line").all_text_contents()]
    assert lines[: len(HOSTILE)] == HOSTILE
    assert "after" in lines
    assert "last" in lines
    assert page.locator("#log script, #log img, #log a[href^=javascript]").count() == 0
    assert "forged" not in page.title()
    assert page.evaluate("document.querySelectorAll('script').length") == 1


def test_a_flood_does_not_freeze_the_page(outlive, page):
    """After 200,000 lines the end is in view, the document is small, and what is not shown is said."""
    page.goto(start(outlive, "for i in range(200000): print('line', i)")[1])
    expect(page.locator("#end")).to_be_visible()
    expect(page.locator("#log .line").filter(has_text="line 199999").first).to_be_in_viewport()
    assert page.locator("#log .line").count() < 11_000
    expect(page.locator("#earlier")).to_contain_text("earlier lines")


STOCK = """
async () => {
  const lines = [], ids = [];
  const source = new EventSource(location.href);
  source.onmessage = (event) => { lines.push(event.data); ids.push(event.lastEventId); };
  await new Promise((resolve) => {
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve();
  });
  return { lines, ids, state: source.readyState, closed: EventSource.CLOSED };
}
"""


@pytest.mark.parametrize("mode", [(), ("--pipe",)], ids=["terminal", "pipe"])
def test_a_stock_event_source_shows_the_lines_and_stops(outlive, page, mode):
    """A page that only takes `event.data` gets each line once, and is not connected again."""
    program = (
        "import time\n"
        "for i in range(50):\n"
        "    print('line', i)\n"
        "    time.sleep(0.02)\n"
        "print('data: forged\\rid: 9\\revent: end')\n"
        "print(); print('end')"
    )
    _, url = start(outlive, program, *mode)
    statuses: list[int] = []
    # Any page of the same origin will do; without its scripts it leaves the run to the test.
    empty = {"body": "", "content_type": "text/javascript"}
    page.route("**/static/*.js", lambda route: route.fulfill(**empty))
    page.goto(url)
    page.goto(url.partition("?")[0])

    def note(answer: Response) -> None:
        if answer.request.resource_type == "eventsource":
            statuses.append(answer.status)

    page.on("response", note)
    seen = page.evaluate(STOCK)
    assert seen["state"] == seen["closed"]
    expected = [f"line {i}" for i in range(50)]
    assert seen["lines"] == [*expected, "data: forged\nid: 9\nevent: end", "", "end"]
    assert len(set(seen["ids"])) == len(seen["ids"])
    assert statuses == [200, 204]


def test_the_page_goes_on_after_the_server_was_gone(outlive, page, complaints):
    """A page that lost its server says so, comes back to it, and misses nothing."""
    server = outlive.start("serve", "--port", "0")
    base = outlive.url_of(server)
    port = base.split(":")[2].partition("/")[0]
    process = outlive.start("run", "--", "cat", stdin=subprocess.PIPE)
    page.goto(outlive.url_of(process))
    process.stdin.write(b"one\n")
    process.stdin.flush()
    expect(page.locator("#log")).to_contain_text("one")
    server.terminate()
    assert server.wait(60) == 0
    expect(page.locator("#notice")).to_be_visible()
    process.stdin.write(b"two\n")
    process.stdin.flush()
    outlive.written(b"two\n")
    deadline = time.monotonic() + 30
    while True:
        again = outlive.start("serve", "--port", port)
        if b"http://" in again.stderr.readline() or time.monotonic() > deadline:
            break
    process.stdin.write(b"three\n")
    process.stdin.close()
    page.locator("#retry").click()
    expect(page.locator("#end")).to_be_visible(timeout=60_000)
    lines = [line.strip() for line in page.locator("#log .line").all_text_contents()]
    assert [line for line in lines if line] == ["one", "two", "three"]
    assert all("net::ERR_" in complaint for complaint in complaints)
    complaints.clear()
