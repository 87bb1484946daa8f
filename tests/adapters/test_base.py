"""What a view of any framework answers: when it starts work, and which runs it shows."""

import functools
import json
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from outlive import seats
from outlive.activities import Activity, activity
from outlive.adapters.base import make_site, respond
from outlive.entries import BEGINNING, Cursor
from outlive.errors import ConfigError
from outlive.runs import Run
from outlive.stores import DirectoryStore, MemoryStore, Store
from outlive.web.access import PUBLIC
from outlive.web.messages import Request, Response
from outlive.work.functions import start
from tests.web.sites import BROWSER, body_of, headers_of, shape_of

NAVIGATION = {"accept": BROWSER, "sec_fetch_mode": "navigate"}
EVENTS = {"accept": "text/event-stream"}


class View:
    """A view that starts work, and counts how often it did."""

    def __init__(self, store: Store, **more) -> None:
        self.store = store
        self.more = more
        self.runs: list[Run] = []

    def start(self) -> Run:
        """Start work that prints two lines, and wait for them."""
        run = start(functools.partial(print, "one\ntwo"), store=self.store, **self.more)
        run.wait(30)
        self.runs.append(run)
        return run

    def ask(self, url: str = "/stream", method: str = "GET", mark=None, **headers) -> Response:
        """Ask the view for a URL; names of headers have underscores for hyphens."""
        parts = urlsplit(url)
        request = Request(
            method=method,
            path=parts.path,
            query_string=parts.query,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return respond(request, self.start, store=self.store, mark=mark)


@pytest.fixture(params=["memory", "directory"])
def view(request, tmp_path: Path) -> View:
    """Give a view whose runs are in each kind of store in turn."""
    return View(MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path))


def ids_of(body: bytes) -> list[str]:
    """Get the ids of a stream of events."""
    return [line[4:].decode() for line in body.split(b"\n") if line.startswith(b"id: ")]


@pytest.mark.parametrize(
    ("headers", "shape"),
    [
        ({}, "text"),
        ({"accept": "*/*"}, "text"),
        ({"accept": "image/png"}, "text"),
        (EVENTS, "sse"),
        ({"accept": "application/x-ndjson"}, "ndjson"),
        ({"accept": BROWSER, "sec_fetch_mode": "cors"}, "html"),
    ],
)
def test_who_asks_gets_the_run_that_was_started(view, headers, shape):
    """Each in the format that it takes; a program gets it at once."""
    response = view.ask(**headers)
    assert (response.status, shape_of(response)) == (200, shape)
    assert b"two" in body_of(response)
    assert len(view.runs) == 1


@pytest.mark.parametrize("headers", [NAVIGATION, {"accept": BROWSER}])
def test_a_browser_that_goes_there_is_sent_to_the_run(view, headers):
    """So that a reload shows the run, and starts nothing."""
    response = view.ask("/stream?a=1&from=&b=%C3%A9", **headers)
    assert response.status == 303
    run = view.runs[0].id
    place = headers_of(response)["location"]
    assert place == f"?a=1&b=%C3%A9&from={Cursor(run, BEGINNING)}"
    for _ in range(2):
        page = view.ask(urljoin("/stream", place), **headers)
        assert shape_of(page) == "html"
        assert b"one\ntwo\n" in body_of(page)
    assert len(view.runs) == 1


def test_a_post_that_starts_work_is_sent_to_its_run(view):
    """Whoever posts: what follows is a GET."""
    response = view.ask(method="POST", accept="text/event-stream")
    assert response.status == 303
    followed = view.ask(urljoin("/stream", headers_of(response)["location"]), **EVENTS)
    assert b"data: one" in body_of(followed)
    assert len(view.runs) == 1


def test_a_client_that_comes_again_goes_on(view):
    """By its header or its URL; it misses nothing, gets nothing twice, and starts nothing."""
    body = body_of(view.ask(**EVENTS))
    first = ids_of(body)[1]
    assert body.count(b"data: one\n") == 1
    for response in (
        view.ask(last_event_id=first, **EVENTS),
        view.ask(f"/stream?from={first}", **EVENTS),
        view.ask("/stream?from=garbage", last_event_id=first, **EVENTS),
    ):
        rest = body_of(response)
        assert b"data: one\n" not in rest
        assert rest.count(b"data: two\n") == 1
    assert view.ask(last_event_id=ids_of(body)[-1], **EVENTS).status == 204
    assert len(view.runs) == 1


def test_head_starts_nothing(view):
    """It gets the headers, and no length that would be wrong."""
    response = view.ask(method="HEAD", **EVENTS)
    assert response.status == 200
    asked = headers_of(view.ask(**EVENTS))
    assert headers_of(response) == asked
    assert response.body == b""
    assert len(view.runs) == 1


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_a_method_that_changes_nothing_starts_nothing(view, method):
    """Not all frameworks keep it from a view; a browser sends it before a request to another site."""
    response = view.ask(method=method, **EVENTS)
    assert (response.status, response.body) == (200, b"")
    assert view.runs == []


def test_head_of_a_run_has_no_body(view):
    """Nobody pumps for it."""
    view.ask()
    response = view.ask(f"/stream?from={Cursor(view.runs[0].id, BEGINNING)}", method="HEAD")
    assert (response.status, response.body) == (200, b"")


def test_a_prefetch_starts_nothing(view):
    """The browser asks again when its user goes there."""
    assert view.ask(sec_purpose="prefetch;prerender", **NAVIGATION).status == 503
    assert view.runs == []


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/stream?format=page", 400),
        ("/stream?line=0", 400),
        ("/stream?from=garbage", 404),
        (f"/stream?from={Cursor('0' * 20, BEGINNING)}", 404),
    ],
)
def test_what_cannot_be_answered_starts_nothing(view, url, status):
    """The mistake is told first."""
    assert view.ask(url).status == status
    assert view.runs == []


def test_a_cursor_counts_for_runs_of_its_view_alone(view):
    """Neither those of other URLs of the same code nor those that nobody started here are shown."""
    view.ask("/jobs/1")
    other = start(print, store=view.store)
    own = Cursor(view.runs[0].id, BEGINNING)
    assert view.ask(f"/jobs/1?from={own}").status == 200
    assert view.ask(f"/jobs/2?from={own}").status == 404
    assert view.ask(f"/jobs/1?from={Cursor(other.id, BEGINNING)}").status == 404
    other.wait(30)


def test_other_workers_and_later_ones_know_the_runs_of_a_view(tmp_path):
    """Also those of a key, which somebody else had started."""
    stranger = View(DirectoryStore(tmp_path), key="train")
    gone_on = start(input_that_waits, store=stranger.store, key="train")
    own = View(DirectoryStore(tmp_path), key="train")
    cursor = Cursor(gone_on.id, BEGINNING)
    assert own.ask(f"/train?from={cursor}").status == 404
    request = Request(method="GET", path="/train", headers=EVENTS)
    again = functools.partial(start, print, store=own.store, key="train")
    assert respond(request, again, store=own.store).status == 200
    later = View(DirectoryStore(tmp_path))
    assert later.ask(f"/train?from={cursor}").status == 200
    gone_on.cancel()
    gone_on.wait(30)


def input_that_waits() -> None:
    """Go on until somebody asks for the end."""
    from outlive.runs import cancelled
    from tests.helpers import eventually

    eventually(cancelled)


def test_a_run_needs_no_start(view):
    """A view may know its run: then only cursors of that count."""
    run, other = view.start(), view.start()
    request = functools.partial(Request, method="GET", path="/here", headers=EVENTS)
    assert b"data: two" in body_of(respond(request(), run))
    assert respond(request(query_string=f"from={Cursor(other.id, BEGINNING)}"), run).status == 404
    assert len(view.runs) == 2


def test_the_page_of_a_view_needs_nothing_else(view):
    """Its style is within, and its links lead to the same run, whatever the query was."""
    place = headers_of(view.ask('/stream?q="<&format=html', **NAVIGATION))["location"]
    response = view.ask(urljoin("/stream", place), **NAVIGATION)
    page = body_of(response).decode()
    assert "static/" not in page
    assert "<style>" in page
    assert "sha256-" in headers_of(response)["content-security-policy"]
    cursor = Cursor(view.runs[0].id, BEGINNING)
    assert f'href="?q=&quot;&lt;&amp;from={cursor}&amp;format=text"' in page


def test_a_silence_can_be_marked(view):
    """In text alone."""
    response = view.ask(mark=(0.5, "*** Interval\n"))
    form = response.body.viewer.format
    assert (form.silence, form.heartbeat) == (0.5, b"*** Interval\n")
    assert view.ask(mark=(5, "*** Interval\n"), **EVENTS).body.viewer.format.heartbeat == b":\n"


def test_what_a_start_raises_is_the_frameworks(view):
    """Its own answers to errors, and those of its extensions, are raised like this."""

    def refuse() -> Run:
        raise PermissionError

    with pytest.raises(PermissionError):
        respond(Request(method="GET", path="/"), refuse, store=view.store)


def test_a_start_must_return_a_run_of_the_views_store(view):
    """Or the first reconnect would find nothing."""
    request = Request(method="GET", path="/")
    with pytest.raises(ConfigError, match="must return a run"):
        respond(request, lambda: None, store=view.store)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match="not in the store"):
        respond(request, View(MemoryStore()).start, store=view.store)


@pytest.mark.parametrize("work", ["hello", None, 42])
def test_what_is_shown_must_be_a_run_or_start_one(view, work):
    """The error tells how that is written."""
    with pytest.raises(ConfigError, match=r"respond\(lambda: .*: not "):
        respond(Request(method="GET", path="/"), work, store=view.store)


@pytest.mark.parametrize("mark", [5, (5,), ("5", "***"), (5, b"***"), (0, "***"), (-1, "***")])
def test_a_mark_that_cannot_be_is_told_before_anything_starts(view, mark):
    """To whoever wrote it, and not to who looks."""
    with pytest.raises(ConfigError, match="mark: give seconds and a text"):
        view.ask(mark=mark)
    assert not view.runs


def test_access_must_be_a_function(view):
    """A setting that was forgotten lets nobody in."""
    assert make_site(PUBLIC, view.store).store is view.store
    with pytest.raises(ConfigError, match="access"):
        make_site(None, view.store)  # type: ignore[arg-type]


def test_the_record_is_no_format_of_a_view(view):
    """What is known of a run is for the API."""
    response = view.ask("/stream?format=json", accept="application/json")
    assert response.status == 400
    assert "text" in json.loads(body_of(response))["error"]


@pytest.mark.parametrize(
    ("headers", "shape"),
    [
        ({}, "_text"),
        ({"accept": BROWSER}, "_text"),
        ({"accept": "text/html"}, "_text"),
        ({"accept": "image/png"}, "_text"),
        (EVENTS, "_sse"),
        ({"accept": "application/x-ndjson"}, "_ndjson"),
    ],
)
def test_a_view_shows_what_happens_to_runs_with_its_labels(view, headers, shape):
    """To everybody who comes, from then on, and as it happens."""
    request = Request(method="GET", path="/stage", headers=headers)
    view.more = {"labels": {"kind": "upload", "by": "me"}, "title": "before"}
    view.start()
    response = respond(request, activity({"kind": "upload"}), store=view.store)
    assert (response.status, shape_of(response)) == (200, shape)
    view.more |= {"title": "Mine"}
    view.start()
    view.more |= {"labels": {"kind": "other"}, "title": "other"}
    view.start()
    body = body_of(response)
    assert body.count(b"Mine") == 2
    assert b"before" not in body
    assert b"other" not in body


def test_a_viewer_of_the_activity_misses_nothing(view):
    """A cursor of this activity counts, at any view; one of a run, or of another store, does not."""
    shown = activity(store=view.store)
    ask = functools.partial(Request, method="GET", path="/stage")
    first = ids_of(body_of(respond(ask(headers=EVENTS), shown)))[-1]
    view.more = {"title": "meanwhile"}
    view.start()
    for more in (
        {"headers": {**EVENTS, "last-event-id": first}},
        {"query_string": f"from={first}"},
    ):
        assert body_of(respond(ask(**more), shown)).count(b"meanwhile") == 2
    other = Activity(store=MemoryStore())
    assert respond(ask(query_string=f"from={first}"), other).status == 404
    run = Cursor(view.runs[0].id, BEGINNING)
    assert respond(ask(query_string=f"from={run}"), shown).status == 404


def test_a_view_of_the_activity_tells_mistakes_before_its_first_byte(view):
    """Those of whoever asks are answered, those of the application are raised."""
    shown = activity(store=view.store)
    ask = functools.partial(Request, path="/stage")
    assert respond(ask(method="GET", query_string="format=html"), shown).status == 400
    assert respond(ask(method="HEAD"), shown).body == b""
    with pytest.raises(ConfigError, match="labels"):
        activity({"kind": 1})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="mark"):
        respond(ask(method="GET"), shown, mark=(5, "***"))


def test_nothing_is_started_for_one_viewer_too_many(view, monkeypatch):
    """It comes again, and would start it once more; who is sent on needs no place yet."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", "0")
    for _ in range(2):
        response = view.ask()
        assert (response.status, dict(response.headers)["Retry-After"]) == (503, "5")
    assert not view.runs
    assert view.ask(method="POST").status == 303
    assert view.ask(**NAVIGATION).status == 303
    assert len(view.runs) == 2


def _fail() -> Run:
    raise ZeroDivisionError


def test_the_seat_of_work_that_cannot_start_is_free(view, monkeypatch):
    """Also while whoever reports what was raised still has all that it was amid."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", "1")
    monkeypatch.setattr(seats, "_own", seats.SeatTable())
    fails = functools.partial(respond, Request(method="GET", path="/stream"), store=view.store)
    with pytest.raises(ZeroDivisionError) as kept:
        fails(_fail)
    assert view.ask().status == 200
    assert kept.traceback


def test_who_comes_to_a_living_run_finds_its_limit(view, monkeypatch):
    """Its view starts no other for one viewer too many, and asks no seat for what only asks."""
    monkeypatch.setenv("OUTLIVE_VIEWERS_PER_RUN", "1")
    monkeypatch.setenv("OUTLIVE_VIEWERS", "2")
    monkeypatch.setattr(seats, "_own", seats.SeatTable())
    run = view.start()
    ask = functools.partial(respond, work=lambda: run, store=view.store)
    first = ask(Request(method="GET", path="/stream"))
    for _ in range(3):
        refused = ask(Request(method="GET", path="/stream"))
        assert (refused.status, headers_of(refused)["retry-after"]) == (503, "5")
        assert b"OUTLIVE_VIEWERS_PER_RUN" in body_of(refused)
    second = view.ask()
    assert (first.status, second.status) == (200, 200)
    assert ask(Request(method="HEAD", path="/stream")).status == 200
