"""What every URL answers."""

import html
import json
import logging
import re

import pytest

from outlive.entries import Cursor, End, Kind, Position, RunRecord, State
from outlive.errors import JournalUnavailable
from outlive.formats import FORMATS
from outlive.journals.memory import MemoryJournal
from outlive.stores import MemoryStore
from outlive.web.answers import Site, answer
from outlive.web.messages import Request, Stream
from tests.event_streams import parse_events
from tests.formats.pages import read_page
from tests.web.sites import BROWSER, ENDED, LIVING, Client, body_of, headers_of, make_client

RECONNECTING = ["sse", "entries"]
STREAMING = list(FORMATS)


def end_of(client, run, form="sse"):
    """Get the cursor that comes with the end of a run."""
    return parse_events(body_of(client.ask(f"/runs/{run}?format={form}")))[-1].last_id


@pytest.mark.parametrize("form", STREAMING)
def test_a_stream_cannot_be_kept_changed_or_guessed_at(form):
    """Proxies and browsers are told to leave it alone."""
    headers = headers_of(make_client().ask(f"/runs/{LIVING}?format={form}"))
    assert headers.pop("content-type") == FORMATS[form].media_type
    assert ("content-security-policy" in headers) == (form == "html")
    assert "script" not in headers.pop("content-security-policy", "")
    assert headers == {
        "cache-control": "no-store, no-transform",
        "x-accel-buffering": "no",
        "content-encoding": "identity",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "vary": "Accept",
    }


@pytest.mark.parametrize("url", ["/", f"/runs/{LIVING}"])
def test_a_page_may_load_only_what_is_ours(url):
    """No inline script, no frame of a stranger, no form that leads elsewhere."""
    headers = headers_of(make_client().ask(url, accept=BROWSER))
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == policy["frame-ancestors"] == "'self'"
    assert headers["cache-control"].startswith("no-store")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/?format=json",
        f"/runs/{LIVING}",
        f"/runs/{LIVING}?format=json",
        f"/runs/{LIVING}?format=page",
        *(f"/runs/{LIVING}?format={form}" for form in STREAMING),
        "/static/page.css",
        "/nothing",
        f"/runs/{'c' * 20}",
        f"/runs/{LIVING}?format=x",
        f"/runs/{LIVING}?line=x",
        f"/runs/{LIVING}/cancel",
        f"/runs/{ENDED}?format=sse&from=x",
    ],
)
def test_head_is_get_without_a_body(url):
    """The same status and headers, and no stream that would have to be closed."""
    client = make_client()
    got, head = client.ask(url), client.ask(url, "HEAD")
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")
    if isinstance(got.body, bytes):
        assert headers_of(head)["content-length"] == str(len(got.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
@pytest.mark.parametrize("url", ["/", f"/runs/{LIVING}", "/static/page.css"])
def test_a_method_that_a_url_does_not_have_is_refused(url, method):
    """405 tells which there are."""
    response = make_client().ask(url, method)
    assert (response.status, headers_of(response)["allow"]) == (405, "GET, HEAD")


def test_to_cancel_takes_a_post():
    """A link or a prefetch must not end a run."""
    response = make_client().ask(f"/runs/{LIVING}/cancel")
    assert (response.status, headers_of(response)["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/nothing", 404),
        ("/runs", 404),
        ("/runs/", 404),
        (f"/runs/{'c' * 20}", 404),
        (f"/runs/{'c' * 20}/cancel", 405),
        (f"/runs/{LIVING}/", 404),
        (f"/runs/{LIVING}/else", 404),
        (f"/runs/{LIVING}/cancel/x", 404),
        ("/runs/..", 404),
        ("/runs/%00", 404),
        ("/runs/\0", 404),
        ("/static/", 404),
        ("/static/../answers.py", 404),
        ("/static/answers.py", 404),
        (f"/runs/{LIVING}?format=x", 400),
        (f"/runs/{LIVING}?format=html%0d%0a", 400),
        (f"/runs/{LIVING}?format=sse&line=x", 400),
        (f"/runs/{LIVING}?format=sse&tail=-1", 400),
        (f"/runs/{LIVING}?format=sse&time=noon", 400),
        (f"/runs/{LIVING}?format=sse&line=1&tail=2", 400),
        (f"/runs/{LIVING}?format=sse&from=x", 404),
        (f"/runs/{LIVING}?format=sse&from=%ff%fe", 404),
        ("/" + "x" * 4100, 414),
        (f"/runs/{LIVING}?x=" + "x" * 4100, 414),
        ("/static/" + "x" * 4100, 414),
    ],
)
def test_what_cannot_be_answered_is_one_clear_sentence(url, status):
    """As text, or as JSON for those who accept that; never kept, never a page."""
    for accept, media_type in (("*/*", "text/plain"), ("application/json", "application/json")):
        response = make_client().ask(url, accept=accept)
        assert response.status == status
        headers = headers_of(response)
        assert headers["content-type"].partition(";")[0] == media_type
        assert headers["cache-control"].startswith("no-store")
        assert headers["x-content-type-options"] == "nosniff"
        body = body_of(response).decode()
        assert len(body) < 300
        said = json.loads(body)["error"] if "json" in media_type else body
        assert said
        assert "Traceback" not in said


def test_a_mistake_of_ours_is_not_shown_to_whoever_asked(caplog, monkeypatch):
    """The one who runs this gets the traceback, the client a status."""
    client = make_client()

    def fail(**_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(client.site.store, "records", fail)
    with caplog.at_level(logging.ERROR, "outlive"):
        response = client.ask("/", accept="application/json")
    assert response.status == 500
    assert b"secret" not in response.body
    assert "secret detail" in caplog.text


def test_a_setting_that_is_none_is_told_to_whoever_runs_this(caplog, monkeypatch):
    """In one line, and not only to whoever asked."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", "many")
    with caplog.at_level(logging.ERROR, "outlive"):
        response = make_client().ask(f"/runs/{LIVING}?format=sse")
    assert response.status == 500
    (record,) = caplog.records
    assert record.getMessage() == (
        f"GET /runs/{LIVING}: OUTLIVE_VIEWERS: give a number, not 'many'"
    )


def test_trouble_with_the_store_is_answered_as_such(monkeypatch):
    """503, and what is wrong."""
    client = make_client()

    def fail(run: str) -> None:
        raise JournalUnavailable(f"cannot read {run}")

    monkeypatch.setattr(client.site.store, "record", fail)
    response = client.ask(f"/runs/{LIVING}")
    assert (response.status, response.body) == (503, f"cannot read {LIVING}\n".encode())


def test_the_list_has_every_run_with_its_record():
    """Newest first."""
    answer = json.loads(body_of(make_client().ask("/", accept="application/json")))
    assert [(run["id"], run["state"], run["title"]) for run in answer["runs"]] == [
        (ENDED, "succeeded", "run b"),
        (LIVING, "running", "run a"),
    ]
    assert set(answer["runs"][0]) == {
        *("id", "title", "labels", "owner", "key", "command"),
        *("state", "exit_code", "signal", "error", "started_at", "ended_at"),
    }


def test_the_list_comes_in_pages_of_what_may_be_seen():
    """`older` leads to what follows, is null at the end, and counts nothing that is hidden."""
    store = MemoryStore()
    for number in range(1, 10):
        run = RunRecord(id=f"{number}" * 20, title="x", started_at=number)
        store.create(run).close(End(State.SUCCEEDED))

    def access(request, action, record):
        return record is None or record.started_at % 2 == 1

    client = Client(Site(store=store, access=access))
    pages, before = [], ""
    while before is not None:
        url = f"/?format=json&count=2&before={before}"
        page = json.loads(body_of(client.ask(url)))
        pages.append("".join(run["id"][0] for run in page["runs"]))
        before = page["older"]
    assert pages == ["97", "53", "1"]
    exactly = json.loads(body_of(client.ask("/?format=json&count=5")))
    assert exactly["older"] is None


@pytest.mark.parametrize("count", ["0", "1001", "-1", "x", "", "²", "9" * 20])
def test_a_page_of_the_list_has_a_sensible_size(count):
    """Anything else is one clear error."""
    response = make_client().ask(f"/?format=json&count={count}")
    assert response.status == 400
    assert b"count is a number from 1 to 1,000" in body_of(response)


def test_a_server_of_one_run_shows_nothing_else():
    """Neither in the list, nor to who knows the id, nor to be cancelled."""
    client = make_client(only=LIVING)
    listed = json.loads(body_of(client.ask("/", accept="application/json")))["runs"]
    assert [run["id"] for run in listed] == [LIVING]
    for url in (f"/runs/{ENDED}", f"/runs/{ENDED}?format=sse", f"/runs/{ENDED}?format=json"):
        assert client.ask(url).status == 404
    assert client.ask(f"/runs/{ENDED}/cancel", "POST").status == 404
    assert client.ask(f"/runs/{LIVING}").status == 200


def test_what_may_not_be_seen_does_not_exist():
    """The access hook decides list, read and cancel alike; the answer tells nothing more."""
    asked = []

    def access(request, action, record):
        asked.append((action, record.id if record else None))
        return record is None or (record.id == ENDED and action == "read")

    client = make_client()
    client.site = type(client.site)(store=client.site.store, access=access)
    assert json.loads(body_of(client.ask("/", accept="application/json"))) == {
        "runs": [],
        "older": None,
    }
    unknown, hidden = client.ask(f"/runs/{'c' * 20}"), client.ask(f"/runs/{LIVING}")
    assert hidden.status == unknown.status == 404
    assert body_of(hidden).replace(LIVING.encode(), b"") == body_of(unknown).replace(b"c" * 20, b"")
    assert client.ask(f"/runs/{ENDED}").status == 200
    assert client.ask(f"/runs/{LIVING}/cancel", "POST").status == 404
    assert not client.site.store.journal(LIVING).cancel_requested()
    assert ("cancel", LIVING) in asked
    client.site = type(client.site)(store=client.site.store, access=lambda *_: False)
    assert client.ask("/").status == 403


@pytest.mark.parametrize("form", STREAMING)
@pytest.mark.parametrize(
    ("query", "text"),
    [("", "one\ntwo\n"), ("&line=2", "two\n"), ("&tail=1", "two\n"), ("&tail=0", "")],
)
def test_a_stream_begins_where_it_was_asked_to(form, query, text):
    """By line or from the end; each format has the same lines from there."""
    body = body_of(make_client().ask(f"/runs/{ENDED}?format={form}{query}")).decode()
    if form == "text":
        found = body
    elif form == "html":
        found = read_page(body.encode()).one("pre").text()
    elif form == "sse":
        found = "".join(e.data + "\n" for e in parse_events(body.encode()) if e.name == "message")
    else:
        values = (
            body.splitlines() if form == "ndjson" else [e.data for e in parse_events(body.encode())]
        )
        found = "".join(json.loads(value).get("text", "") for value in values)
    assert found == text


@pytest.mark.parametrize("form", RECONNECTING)
def test_a_reconnect_after_the_end_is_told_to_stop(form):
    """204, however the cursor comes; each time, the server that waits for it hears of it."""
    client = make_client()
    goodbyes = []
    client.site = type(client.site)(
        store=client.site.store, access=client.site.access, on_goodbye=lambda: goodbyes.append(1)
    )
    end = end_of(client, ENDED, form)
    for response in (
        client.ask(f"/runs/{ENDED}?format={form}", last_event_id=end),
        client.ask(f"/runs/{ENDED}?format={form}&from={end}"),
        client.ask(f"/runs/{ENDED}?format={form}&tail=9", last_event_id=end),
    ):
        assert (response.status, response.body) == (204, b"")
        assert "content-length" not in headers_of(response)
    assert len(goodbyes) == 3


@pytest.mark.parametrize("form", RECONNECTING)
def test_a_reconnect_before_the_end_is_told_the_end(form):
    """Though nothing but the end is left, it has not been heard."""
    client = make_client()
    before = parse_events(body_of(client.ask(f"/runs/{ENDED}?format={form}")))[-2].last_id
    response = client.ask(f"/runs/{ENDED}?format={form}", last_event_id=before)
    assert response.status == 200
    assert '"state":"succeeded"' in parse_events(body_of(response))[-1].data


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_a_program_that_asks_from_the_end_gets_an_empty_stream(form):
    """It does not reconnect by itself, and nobody has to stop it."""
    client = make_client()
    response = client.ask(f"/runs/{ENDED}?format={form}&from={end_of(client, ENDED)}")
    assert response.status == 200


@pytest.mark.parametrize("form", STREAMING)
@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(ENDED, Position(0, 0, 1)),
        Cursor(LIVING, Position(10**6, 0, 1)),
        Cursor(LIVING, Position(16**12 - 1, 16**5 - 1, 16**9 - 1)),
    ],
)
def test_a_cursor_that_names_nothing_here_is_not_found(form, cursor):
    """Of another run, or beyond what is written."""
    client = make_client()
    assert client.ask(f"/runs/{LIVING}?format={form}&from={cursor}").status == 404
    if form in RECONNECTING:
        response = client.ask(f"/runs/{LIVING}?format={form}", last_event_id=str(cursor))
        assert response.status == 404


def test_a_cursor_at_the_end_of_a_living_run_waits_for_more():
    """Whoever has everything so far gets what comes next."""
    client = make_client()
    last = parse_events(body_of(client.ask(f"/runs/{LIVING}?format=entries")))[-1].last_id
    response = client.ask(f"/runs/{LIVING}?format=entries", last_event_id=last)
    assert body_of(response) == b""
    client.write(LIVING, b"three\n")
    assert [json.loads(e.data)["text"] for e in parse_events(body_of(response))] == ["three\n"]


@pytest.mark.parametrize(
    ("accept", "status"), [("*/*", 202), ("application/json", 202), (BROWSER, 303)]
)
def test_to_cancel_is_to_ask_the_writer(accept, status):
    """A program is told that it was asked; a form leads back to the run."""
    client = make_client()
    asked = []
    client.site.store.journal(LIVING).watch_life(lambda: asked.append(1))
    response = client.ask(f"/runs/{LIVING}/cancel", "POST", accept=accept)
    assert response.status == status
    assert headers_of(response).get("location") == (f"../{LIVING}" if status == 303 else None)
    assert client.site.store.journal(LIVING).cancel_requested()
    assert asked == [1]


def test_the_page_without_scripts_offers_to_cancel_who_may():
    """What is offered is what the access hook allows; its form leads back to the same page."""
    client = make_client()
    form = b'action="%b/cancel?format=html"'
    for run, is_offered in ((LIVING, True), (ENDED, False)):
        body = body_of(client.ask(f"/runs/{run}?format=html"))
        assert (form % run.encode() in body) == is_offered
    answered = client.ask(f"/runs/{LIVING}/cancel?format=html", "POST", accept=BROWSER)
    assert headers_of(answered)["location"] == f"../{LIVING}?format=html"
    client.site = type(client.site)(
        store=client.site.store, access=lambda _, action, __: action != "cancel"
    )
    assert b"<form" not in body_of(client.ask(f"/runs/{LIVING}?format=html"))


def test_the_list_is_there_without_scripts():
    """In pages, too, and under the policy of a page that needs none."""
    client = make_client()
    newest = client.ask("/?format=html&count=1", accept=BROWSER)
    assert "script-src" not in headers_of(newest)["content-security-policy"]
    [older] = re.findall(rb'href="(\?format=html&amp;before=[^"]*)"', body_of(newest))
    rest = body_of(client.ask("/" + html.unescape(older.decode())))
    ids = [re.findall(rb"runs/(\w+)", body) for body in (body_of(newest), rest)]
    assert sorted(ids) == [[LIVING.encode()], [ENDED.encode()]]
    assert b"Older" not in rest


def test_what_has_ended_cannot_be_cancelled():
    """409."""
    assert make_client().ask(f"/runs/{ENDED}/cancel", "POST").status == 409


def test_a_stream_is_not_started_by_head():
    """Nobody watches the journal because of it."""
    client = make_client()
    client.ask(f"/runs/{LIVING}?format=sse", "HEAD")
    assert not client.site.store.journal(LIVING)._watchers


def test_a_parameter_that_is_given_twice_counts_once():
    """The first one does."""
    response = make_client().ask(f"/runs/{ENDED}?format=ndjson&format=sse&line=2&line=x")
    assert isinstance(response.body, Stream)
    assert headers_of(response)["content-type"] == "application/x-ndjson"


def test_the_gap_of_what_is_gone_comes_first():
    """A cursor before the retained beginning is good: what is missing is told."""
    client = make_client()
    journal = client.site.store.journal(LIVING)
    assert isinstance(journal, MemoryJournal)
    cursor = parse_events(body_of(client.ask(f"/runs/{LIVING}?format=entries")))[-1].last_id
    journal._kept_size = 1000
    for number in range(100):
        journal.add(Kind.OUT, b"%99d\n" % number, 0)
    events = parse_events(body_of(client.ask(f"/runs/{LIVING}?format=entries&from={cursor}")))
    first = json.loads(events[0].data)
    seen = sum(json.loads(event.data).get("text", "").count("\n") for event in events)
    assert first["kind"] == "gap"
    assert first["lines"] + seen == 100


def test_a_prefix_is_a_folder():
    """Without its slash, relative links would lead past it."""
    request = Request(method="GET", path="", prefix="/apps/live é", query_string="format=html")
    response = answer(request, make_client().site)
    assert (response.status, headers_of(response)["location"]) == (
        303,
        "live%20%C3%A9/?format=html",
    )
