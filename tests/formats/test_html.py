"""The page without JavaScript: valid from its first bytes, live, and harmless."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import BEGINNING, TEXT_KINDS, End, Gap, Kind, Position, RunRecord, State
from outlive.formats.html import HtmlFormat
from outlive.formats.html.markup import render_line
from outlive.formats.html.pages import BLOCK_LINES, GLIMPSE_SIZE, LINE_SIZE
from outlive.journals.memory import MemoryJournal, MemoryWriter
from outlive.terminal import Flag, Line, Span, Style, Terminal
from tests.formats.logs import RUN, hostile_bytes, log_payload, logs, make_journal, stream, text_of
from tests.formats.pages import Element, read_page

SUCCEEDED = End(State.SUCCEEDED, 0)


def page_of(*steps, end=SUCCEEDED) -> Element:
    """Read the whole page of a log."""
    return read_page(stream(HtmlFormat(RUN), make_journal(steps, end)))


def log_of(*steps) -> str:
    """Get the text that the page of a log shows as its output."""
    return page_of(*steps).one("pre").text("mark")


class Live:
    """A page that is still coming; `sent` is what came last."""

    def __init__(self, **record):
        self.journal = MemoryJournal(
            RunRecord(id=RUN, started_at=0, **({"title": "a run"} | record))
        )
        self.writer = MemoryWriter(self.journal)
        self.format = HtmlFormat(RUN)
        self.offset = 0
        self.data = self.format.open(self.journal.start(), BEGINNING, resumed=False)
        self.sent = self.data

    def append(self, kind, payload):
        """Append an entry and let the page have it."""
        self.writer.append(kind, payload)
        return self._send()

    def out(self, text):
        """Append output."""
        return self.append(Kind.OUT, text)

    def stage(self, name, current=None, total=None, **more):
        """Append a stage: `parent`, `unit`, `done`."""
        stage = {"name": name, "parent": None, "current": current, "total": total}
        return self.append(
            Kind.STAGE, json.dumps({**stage, "unit": None, "done": False, **more}).encode()
        )

    def partial(self):
        """Let the page have a look at what is not finished."""
        self.sent = self.format.partial()
        self.data += self.sent
        return self

    def end(self, end=SUCCEEDED):
        """End the run, and read the page."""
        self.writer.close(end)
        self._send()
        return read_page(self.data)

    def seen(self):
        """Get what can be seen of the log by now, rows that are no output left out."""
        whole = read_page(self.data + b"</span></pre></div></main></body></html>")
        return whole.one("pre").text("mark")

    def _send(self):
        scan = self.journal.scan(self.offset)
        self.sent = b"".join(self.format.encode(entry) for entry in scan.entries)
        self.offset += len(scan.entries)
        self.data += self.sent
        return self


@given(data=st.lists(st.binary(max_size=20) | hostile_bytes, max_size=8), size=st.integers(1, 9))
def test_bytes_do_not_depend_on_how_output_was_split(data, size):
    """Whatever the output and wherever its entries end, the page is the same."""
    text = b"".join(data)
    pages = []
    for step in (size, len(text) or 1):
        live = Live()
        for place in range(0, len(text), step):
            live.out(text[place : place + step])
        live.end()
        pages.append(live.data)
    assert pages[0] == pages[1]


@given(steps=logs, size=st.integers(1, 50))
def test_any_log_is_a_valid_page_whose_text_is_the_output_redraws_folded(steps, size):
    """Also where unfinished lines were glimpsed on the way."""
    page = read_page(stream(HtmlFormat(RUN), make_journal(steps), size=size))
    assert page.one("pre").text("mark", "cut") == folded(steps)


def folded(steps):
    """Draw a log by itself, and give its text."""
    terminal = Terminal()
    found = ""
    for kind, payload in steps:
        if kind is Kind.GAP:
            continue
        text = payload.partition(b"\n")[2] if kind is Kind.LOG else payload
        if kind in TEXT_KINDS:
            found += said(terminal.write(text, kind))
    return found + said(terminal.cut_off())


def said(drawn):
    """Get the text of what a terminal drew."""
    return "".join(
        item if isinstance(item, str) else "".join(span.text for span in item.spans) + "\n"
        for item in drawn
    )


@pytest.mark.parametrize(
    "hostile",
    [
        b"</pre><script>alert(1)</script>",
        b"</span></pre></main><h1>x",
        b"<!-- <![CDATA[ --> &lt;&amp;&#0; &notin",
        b"<plaintext><title></title>",
        b"\x1b[31m<b>\x1b[0m\" ' onclick=x",
    ],
)
def test_output_is_nothing_but_text(hostile):
    """Tags, comments and entities are shown as they were written."""
    expected = hostile.replace(b"\x1b[31m", b"").replace(b"\x1b[0m", b"").decode()
    assert log_of((Kind.OUT, hostile)) == expected + "\n"
    gap = (Kind.GAP, Gap(1, 0, 0, expected).encode())
    event = (Kind.EVENT, json.dumps({"name": expected, "data": expected}).encode())
    assert page_of(gap, event).one(".gap").text().count(expected) == 1


def test_what_a_user_named_is_nothing_but_text():
    """Title, command, labels, owner, stages and errors come from outside too."""
    name = "\"><script>'\r\n\x1b\0&amp;"
    live = Live(title=name, owner=name, command=[name], labels={name: name})
    live.stage(name)
    page = live.end(End(State.FAILED, None, None, name))
    shown = "\"><script>'\ufffd\ufffd\ufffd\ufffd&amp;"
    assert page.one("title").text() == shown
    assert page.one("h1").text() == page.one("h1").attributes["title"] == shown
    assert shown in page.one("pre").text()
    assert page.text().count(shown) >= 6
    assert not page.all("script")


@pytest.mark.parametrize(
    ("address", "is_link"),
    [
        ("https://example.com/?a=1&b=\"'<>", True),
        ("HTTP://example.com", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://example.com/ x", False),
        ("//example.com", False),
    ],
)
def test_links_lead_to_the_web_and_nowhere_else(address, is_link):
    """And the page that they lead to learns nothing of this one."""
    page = page_of((Kind.OUT, f"\x1b]8;;{address}\x1b\\text\x1b]8;;\x1b\\".encode()))
    links = page.one("pre").all("a")
    assert [link.attributes["href"] for link in links] == [address] * is_link
    assert all("noopener" in link.attributes["rel"].split() for link in links)
    assert page.one("pre").text() == "text\n"


def test_the_page_can_be_drawn_from_its_first_bytes():
    """It is long enough for browsers to begin, and says what runs."""
    live = Live(title="make all", command=["make", "-j", "4 x"], labels={"by": "ci"}, owner="ada")
    assert len(live.sent) >= 1024
    page = read_page(live.sent + b"</pre></div></main></body></html>")
    assert page.one("h1").text() == page.one("title").text() == "make all"
    facts = page.one(".now").text() + page.all("p")[1].text()
    for fact in ("running", "$ make -j '4 x'", "by ada", "by: ci", "1970-01-01 00:00:00 UTC"):
        assert fact in facts


def test_the_page_needs_no_script_and_no_inline_style():
    """Its policy would forbid them."""
    live = Live()
    live.out(b"\x1b[1;38;2;1;2;3;48;5;200mx\x1b[7my\n")
    page = live.stage("a", 1, 2).partial().end()
    assert b"style=" not in live.data
    assert not page.all("script")
    assert not page.all("style")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(State.SUCCEEDED, 0), ["succeeded"]),
        (End(State.FAILED, 3), ["failed", "exit code 3"]),
        (End(State.FAILED, None, None, "time limit"), ["failed", "time limit"]),
        (End(State.CANCELLED, None, "SIGTERM"), ["cancelled", "SIGTERM"]),
        (End(State.LOST), ["lost"]),
    ],
)
def test_the_footing_says_how_it_ended(end, words):
    """State, exit code or signal, error, and how long it took."""
    page = page_of((Kind.OUT, b"unfinished"), end=end)
    assert page.one("pre").text() == "unfinished\n"
    [footing] = [found for found in page.all("p") if found.attributes.get("id") == "end"]
    assert footing.classes == {"end", end.state}
    assert all(word in footing.text() for word in [*words, "after "])


def test_a_bar_is_one_bar_at_every_moment():
    """Each look replaces the one before it, and the finished line replaces the last."""
    live = Live()
    for percent in range(0, 101, 20):
        live.out(b"\r%3d%%|####|" % percent).partial()
        assert live.seen() == f"{percent:3d}%|####|"
    live.out(b"\ndone\n")
    assert live.seen() == "100%|####|\ndone\n"


def test_a_look_at_nothing_new_sends_nothing():
    """What a line looks like counts, not what was written."""
    live = Live().out(b"50%").partial()
    assert live.sent
    assert not live.partial().sent
    assert not live.out(b"\r50%\x1b[31m").partial().sent
    assert live.out(b"\r60%").partial().sent
    assert not Live().partial().sent


def test_a_row_between_does_not_hide_the_unfinished_line_for_long():
    """The row stands before it, and the next look shows it again."""
    live = Live().out(b"50%").partial()
    live.append(Kind.EVENT, b'{"name": "saved", "data": null}').partial()
    assert live.seen() == "50%"
    assert live.data.index(b"saved") < live.data.rindex(b"50%")


def test_an_erased_line_is_gone():
    """Its last look must not stay."""
    live = Live().out(b"50%").partial().out(b"\r\x1b[K").partial()
    assert live.seen() == ""
    assert live.out(b"ok\n").seen() == "ok\n"


@pytest.mark.parametrize("text", [b"x" * 60000, b"\x1b[31mx\x1b[32my" * 1500, b"<" * 60000])
def test_a_look_at_a_long_line_is_small(text):
    """Five a second of it must not be a flood; its end is what counts."""
    live = Live().out(text + b"the end").partial()
    assert len(live.sent) < 2 * GLIMPSE_SIZE
    assert live.seen().endswith("the end")


def test_a_line_whose_markup_would_be_much_longer_than_its_text_loses_its_looks():
    """A link at every second character would make gigabytes out of megabytes."""
    link = b"\x1b]8;;https://e.org/" + b"x" * 2000 + b"\x07"
    text = link + b"ab" * 2000 + b"\x1b]8;;\x07\r" + b"c\x1b[C" * 200 + b"\n"
    live = Live().out(text)
    assert len(live.sent) < LINE_SIZE
    assert live.seen() == "cb" * 200 + "ab" * 1800 + "\n"


def test_a_line_that_was_cut_says_so():
    """And where the rest is."""
    page = page_of((Kind.OUT, b"x" * 100000 + b"\n"))
    assert "34,480 more characters" in page.one(".cut").text()
    assert page.one(".cut").one("a").attributes["href"] == "?format=text"


def test_a_gap_ends_the_line_that_it_cuts():
    """What follows it is not joined to what was before, and has no colour of it."""
    journal = MemoryJournal(RunRecord(id=RUN, title="", started_at=0), kept_size=10)
    writer = MemoryWriter(journal)
    writer.append(Kind.OUT, b"x" * 30)
    writer.append(Kind.OUT, b"ab\ncd\n")
    writer.close(End(State.SUCCEEDED, 0))
    page = read_page(stream(HtmlFormat(RUN), journal))
    assert "missing here" in page.one(".gap").text()
    live = Live().out(b"\x1b[31mone")
    live.append(Kind.GAP, Gap(None, None, None, "lost").encode())
    live.out(b"two\n")
    assert live.seen() == "one\ntwo\n"
    assert live.data.count(b'class="f1"') == 1


def test_a_gap_without_text_leaves_the_line_alone():
    """It stands before the line that is being written."""
    gap = Gap(2, 0, 0, "the disk was full").encode()
    assert log_of((Kind.OUT, b"one"), (Kind.GAP, gap), (Kind.OUT, b" two")) == "one two\n"


def bars_of(live):
    """Get what the last look showed of stages: names, how far they are, and how deep they stand."""
    page = read_page(live.data + b"</span></pre></div></main></body></html>")
    return [
        (bar.one(".name").text(), bar.one(".percent").text(), bar.one(".figures").text())
        for bar in (page.all(".glimpse") or [page])[-1].all(".bar")
    ]


def test_a_stage_is_a_bar_while_it_goes_on_and_a_row_when_it_is_done():
    """The bar leaves nothing behind; the row says how far it came and how long it took."""
    live = Live().stage("parse", 0, 10)
    for current in range(1, 10):
        live.stage("parse", current, 10, unit="files")
        assert live.sent == b""
        live.partial()
    assert bars_of(live) == [("parse", "90%", "9 / 10 files")]
    page = live.stage("parse", 10, 10, unit="files", done=True).partial().end()
    assert page.one("pre").text() == "✓ parse · 10 / 10 files · 0.0s\n"


def test_a_stage_stands_under_its_parent():
    """As a bar, as a row, and in the table; even if it is called as that."""
    live = Live().stage("b", 1, 2, parent="a").stage("a", 1, 2).partial()
    assert [name for name, _, _ in bars_of(live)] == ["a", "b"]
    page = live.stage("b", 2, 2, parent="a", done=True).end()
    assert len(page.one("pre").all(".depth1")) == 2
    assert page.one("details").one("li").classes == {"depth1"}
    live = Live().stage("a", 0, 2).stage("x", parent="a").stage("x", 2, 2, parent="x", done=True)
    assert len(live.end().one("pre").all(".depth2")) == 1


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.LOST])
def test_a_run_that_failed_says_in_which_stage(state):
    """Its bar stays, and the footing names it."""
    live = Live().stage("a", 1, 2).stage("b", 1, 4, parent="a").partial()
    page = live.end(End(state))
    [*_, last] = page.one("pre").all(".block")
    assert [bar.one(".name").text() for bar in last.children[-2:]] == ["a", "b"]
    assert all(str(state) in bar.classes for bar in last.children[-2:])
    assert "in a › b" in page.text()


def test_a_run_is_still_in_what_came_last_within_a_stage():
    """Who leaves a stage tells last how far those around it came; what is done, was left before."""
    live = Live().stage("a", 0, 2).stage("b", parent="a").stage("a", 1, 2)
    assert "in a › b" in live.end(End(State.FAILED)).text()
    live = Live().stage("a", 0, 2).stage("b", parent="a").stage("c", parent="a")
    live.stage("c", parent="a", done=True).stage("a", 1, 2)
    assert "in a\n" in live.end(End(State.FAILED)).text() + "\n"


def test_the_stages_of_a_run_are_listed_at_its_end():
    """With how far they came; of very many, the last, and how many were before them."""
    live = Live()
    for number in range(1000):
        live.stage(f"s{number}", number, 1000, done=True)
    page = live.end()
    assert page.one("summary").text() == "1,000 stages done"
    items = [item.text() for item in page.one("ol").all("li")]
    assert items[0] == "500 earlier"
    assert items[-1] == "s999 999 / 1,000 0.0s"
    assert not Live().stage("a", 1, 2).end().all("details")


def test_what_is_done_again_begins_anew():
    """A bar inside of each of many stages is one stage, again and again."""
    live = Live()
    for _ in range(3):
        live.stage("rows", 1, 2).stage("rows", 2, 2, done=True)
    assert live.end().one("summary").text() == "1 stage done"


def test_bars_stay_where_they_are():
    """Whichever stage goes on, they do not change places; those that only wait come last."""
    live = Live()
    for number in range(20):
        live.stage(f"s{number}", 0, 9)
    for moving in (12, 3, 15, 12):
        live.stage(f"s{moving}", 1, 9)
    live.partial()
    assert [name for name, _, _ in bars_of(live)] == ["s0", "s1", "s2", "s3", "s12", "s15"]


def test_the_number_of_stages_that_are_remembered_is_bounded():
    """So is that of the bars in a look at them."""
    live = Live()
    for number in range(3000):
        live.stage(f"s{number}", 1)
    assert len(live.format._stages.open) <= 500
    assert live.partial().sent.count(b"<progress") <= 6


@pytest.mark.parametrize(
    ("current", "total", "unit", "figures"),
    [
        (40, 100, "rows", "40 / 100 rows"),
        (None, None, "rows", ""),
        (7, None, "it", "7"),
        (0, None, None, ""),
        (41, 100, "%", ""),
        (41, None, "%", "41 %"),
        (1_500_000, 72_000_000, "B", "1.5 / 72 MB"),
        (0, None, "bytes", "0 B"),
        (float("nan"), 10**400, "", ""),
        ("7", True, 5, "1 5"),
    ],
)
def test_figures_are_readable_and_never_wrong(current, total, unit, figures):
    """What is no number is left out."""
    live = Live().stage("a", current, total, unit=unit).partial()
    assert bars_of(live)[0][2] == figures


@pytest.mark.parametrize("parents", [["a", "b", "c"], ["a", "a", "a"], ["b", "c", "a"], range(3)])
def test_whatever_parents_are_every_stage_has_a_bar(parents):
    """Also of stages that stand under themselves."""
    live = Live()
    for name, parent in zip("abc", parents, strict=True):
        live.stage(name, 1, 2, parent=parent)
    assert sorted(name for name, _, _ in bars_of(live.partial())) == ["a", "b", "c"]


def test_the_page_offers_to_cancel_where_that_may_be_done():
    """By a form, behind a button that asks first."""
    assert not Live().end().all("form")
    form = HtmlFormat(RUN)
    form.may_cancel = True
    opening = form.open(make_journal([]).start(), BEGINNING, resumed=False)
    page = read_page(opening + b"</pre></div></main></body></html>")
    attributes = page.one("details").one("form").attributes
    assert attributes == {"method": "post", "action": f"{RUN}/cancel?format=html"}


def test_errors_and_records_are_told_from_output():
    """Quietly: by a class, and each line by itself."""
    warning = json.dumps({"level": "WARNING", "logger": "a"}).encode() + b"\nbeware\n"
    page = page_of((Kind.OUT, b"plain\n"), (Kind.ERR, b"wrong\n\x1b[1mvery\n"), (Kind.LOG, warning))
    assert [line.text() for line in page.all(".err")] == ["wrong\n", "very\n"]
    assert page.one(".warning").text() == "beware\n"
    assert not page.all(".error")
    assert page_of((Kind.LOG, log_payload(b"fine\n"))).one(".info").text() == "fine\n"


@pytest.mark.parametrize(
    ("position", "is_said"), [(BEGINNING, False), (Position(9, 0, 1200), True)]
)
def test_a_page_that_begins_in_the_middle_says_so(position, is_said):
    """And leads to the whole."""
    form = HtmlFormat(RUN)
    opening = form.open(make_journal([]).start(), position, resumed=False)
    page = read_page(opening + b"</pre></div></main></body></html>")
    assert ("line 1,200" in page.text()) == is_said
    assert [link.attributes["href"] for link in page.one("main").all("a")] == (
        ["?format=html", "?format=text"] if is_said else []
    )


def test_lines_are_in_blocks():
    """Browsers lay out a block again while it grows: a small one is cheap."""
    page = page_of((Kind.OUT, b"".join(b"%d\n" % i for i in range(1001))))
    sizes = [block.text().count("\n") for block in page.all(".block")]
    assert sizes == [BLOCK_LINES] * 5 + [1]


STYLES = [
    (Style(), ""),
    (Style(fg=1), "f1"),
    (Style(fg=9, bg=12), "on g12 f9"),
    (Style(flags=Flag.BOLD | Flag.UNDERLINE | Flag.HIDDEN), "b u h"),
    (Style(flags=Flag.INVERSE), "inverse"),
    (Style(fg=2, flags=Flag.INVERSE), "f2 inverse"),
    (Style(bg=2, flags=Flag.INVERSE), "on gink f2"),
    (Style(fg="#ff8700"), "rgb xrf xg8 xb0"),
    (Style(bg="#ff8700"), "on paint yrf yg8 yb0 black"),
    (Style(bg="#080808"), "on paint yr0 yg0 yb0 white"),
]


@pytest.mark.parametrize(("style", "classes"), STYLES)
def test_styles_are_classes(style, classes):
    """The same as those of the page with JavaScript, so that one style sheet has the colours."""
    html = render_line(Line([Span("x", style)]), 1000)
    found = html.partition('class="')[2].partition('"')[0]
    assert sorted(found.split()) == sorted(classes.split())


def test_a_heartbeat_cannot_be_seen():
    """It is a comment."""
    live = Live()
    live.data += live.format.heartbeat
    live.out(b"x\n")
    live.data += live.format.heartbeat
    assert live.end().one("pre").text() == "x\n"


def test_the_text_of_a_log_is_all_there():
    """A plain log needs no folding: its lines are its lines."""
    steps = [(Kind.OUT, b"one\ntwo\nth"), (Kind.ERR, b"ree\n")]
    assert log_of(*steps) == text_of(steps).decode()
