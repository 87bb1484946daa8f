"""The list of runs as a page without JavaScript."""

from outlive.entries import End, RunRecord, State
from outlive.formats.html import render_list
from tests.formats.pages import read_page

SECOND = 1_000_000_000


def record(name: str, **facts) -> RunRecord:
    """Make a record of a run that began a minute before `NOW`."""
    return RunRecord(id=name * 20, started_at=40 * SECOND, **({"title": name} | facts))


def page_of(*records: RunRecord, older: str | None = None):
    """Read the page that lists these runs, a minute after they began."""
    return read_page(render_list(records, older=older, now=100 * SECOND))


def test_a_run_is_a_row_that_leads_to_its_page():
    """With its state, how it ended, its labels and times."""
    page = page_of(
        record("a", labels={"team": "data", "nightly": ""}, command=["make", "a b"]),
        record("b", end=End(State.FAILED, 3, None, "broken"), ended_at=43 * SECOND),
        record("c", end=End(State.CANCELLED, None, "SIGTERM"), ended_at=50 * SECOND),
    )
    assert page.one(".now").text() == "3 · 1 running"
    first, second, third = (row.text() for row in page.one("tbody").all("tr"))
    for word in ("running", "make 'a b'", "team: data", "nightly", "1m 00s", "1970-01-01 00:00:40"):
        assert word in first
    assert "failed exit code 3" in second
    assert "broken" in second
    assert "3.0s" in second
    assert "cancelled SIGTERM" in third
    links = [link.attributes["href"] for link in page.one("tbody").all("a")]
    assert links == [f"runs/{name * 20}?format=html" for name in "abc"]


def test_more_runs_are_behind_a_link():
    """To the place where this page ends."""
    [older] = page_of(record("a"), older='x"&').one("main").all(".button")
    assert older.attributes["href"] == '?format=html&before=x"&'
    assert not page_of(record("a")).one("main").all(".button")


def test_where_there_are_no_runs_it_says_how_to_start_one():
    """And shows no table."""
    page = page_of()
    assert "outlive run -- make all" in page.text()
    assert not page.all("table")


def test_what_users_named_is_nothing_but_text():
    """Titles, labels, commands, errors."""
    name = "\"><script>'\r\n&amp;"
    page = page_of(
        record(
            "a",
            title=name,
            labels={name: name},
            command=[name, name],
            end=End(State.FAILED, None, None, name),
            ended_at=99 * SECOND,
        )
    )
    shown = "\"><script>'\ufffd\ufffd&amp;"
    assert page.one("tbody").one("a").text() == page.one(".why").text() == shown
    assert page.one(".label").text() == f"{shown}: {shown}"
    assert not page.all("script")
