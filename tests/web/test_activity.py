"""The activity over HTTP: what happens to all runs, as far as one may see it."""

import json
from dataclasses import replace

import pytest

from outlive.entries import End, Kind, RunRecord, State
from outlive.journals.readers import Reader
from outlive.stores import MemoryStore
from outlive.stores.retention import Bounds
from outlive.web.access import PUBLIC
from outlive.web.answers import Site
from outlive.web.messages import Response, Stream
from tests.event_streams import parse_events
from tests.web.sites import BROWSER, LIVING, Client, body_of, headers_of, make_client

STAGE = {"name": "rows", "parent": None, "current": 40, "total": 100, "unit": None, "done": False}
UP = {"kind": "upload"}


def make(**facts) -> Client:
    """Make a site without runs."""
    return Client(Site(**{"store": MemoryStore(), "access": PUBLIC, **facts}))


def work(client: Client, run: str = "a" * 20, title: str = "Import", **labels: str) -> str:
    """Start and end a run with a stage."""
    record = RunRecord(id=run, title=title, started_at=1, labels=labels)
    writer = client.site.store.create(record)
    writer.append(Kind.STAGE, json.dumps(STAGE).encode())
    writer.close(End(State.FAILED, exit_code=3))
    return run


def connect(client: Client, url: str = "", **headers: str) -> Response:
    """Open a stream, and take what it opens with."""
    response = client.ask(f"/activity?{url}", **headers)
    assert isinstance(response.body, Stream), response
    return response


def test_it_begins_at_its_end_and_shows_what_comes():
    """Changes of state, stages, also as a line, and events of users, each by its name."""
    client = make()
    work(client, "9" * 20)
    response = connect(client, "format=sse")
    (start,) = parse_events(body_of(response))
    assert (start.name, json.loads(start.data)["title"]) == ("start", "activity")
    run = work(client, kind="upload")
    event = {"name": "run", "data": {"x": 1}, "run": run, "title": "T", "labels": UP, "owner": None}
    client.site.store.announce(Kind.EVENT, json.dumps(event).encode())
    begun, stage, line, ended, told = parse_events(body_of(response))
    assert [each.name for each in (begun, stage, line, ended, told)] == [
        *("run", "stage", "message", "run", "event")
    ]
    assert json.loads(begun.data)["state"] == "running"
    assert json.loads(ended.data) == client.site.store.record(run).as_json()
    facts = {"run": run, "title": "Import", "labels": UP, "owner": None, "kind": "stage"}
    assert json.loads(stage.data).items() >= {**STAGE, **facts}.items()
    assert line.data == "Import: rows 40/100"
    assert json.loads(told.data).items() >= {**event, "kind": "event"}.items()


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"current": 0, "total": None}, "T: rows"),
        ({"current": 0, "total": None, "done": True}, "T: rows done"),
        ({"current": 7, "total": None, "unit": "files"}, "T: rows 7 files"),
        ({"current": 0, "total": 9}, "T: rows 0/9"),
    ],
)
def test_a_stage_that_counts_nothing_is_a_name(facts, line):
    """A number says something only where there is a total, or where it moves."""
    client = make()
    response = connect(client, accept="text/plain")
    told = {**STAGE, **facts, "run": "a", "title": "T", "labels": {}, "owner": None}
    client.site.store.announce(Kind.STAGE, json.dumps(told).encode())
    assert body_of(response).decode() == f"{line}\n"


def test_a_line_of_text_says_what_happened():
    """One per entry; titles cannot break it."""
    client = make()
    response = connect(client, accept="text/plain")
    work(client, title="Im\nport\x1b")
    event = {
        "name": "hello",
        "data": {"é": 1},
        "run": "a",
        "title": "T",
        "labels": {},
        "owner": None,
    }
    client.site.store.announce(Kind.EVENT, json.dumps(event).encode())
    assert body_of(response).decode().splitlines() == [
        "Im port : running",
        "Im port : rows 40/100",
        "Im port : failed (3)",
        'T: hello {"é": 1}',
    ]


@pytest.mark.parametrize(
    ("accept", "told"),
    [
        ("text/plain", "Import: removed"),
        ("text/event-stream", "event: removed"),
        ("application/x-ndjson", '"name":"removed"'),
    ],
)
def test_a_run_that_was_removed_is_told(accept, told):
    """As a change of its state, by that name."""
    client = make()
    work(client)
    response = connect(client, accept=accept)
    client.site.store.prune(Bounds(keep=0))
    assert told in body_of(response).decode()


@pytest.mark.parametrize("form", ["ndjson", "entries"])
def test_programs_get_an_object_for_each_entry(form):
    """As those of a run, and first of all where the stream begins."""
    client = make()
    response = connect(client, f"format={form}")
    work(client)
    body = body_of(response)
    if form == "ndjson":
        found = [json.loads(line) for line in body.splitlines()]
    else:
        found = [json.loads(event.data) for event in parse_events(body)]
    assert [entry["kind"] for entry in found] == ["start", "event", "stage", "event"]
    assert found[1]["data"]["title"] == "Import"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("label=kind=upload", "ab"),
        ("label=kind=upload&label=by=me", "b"),
        ("label=kind=", ""),
        ("label=by=me&label=by=you", ""),
        ("", "abc"),
    ],
)
def test_labels_filter(query, shown):
    """All that are given must match."""
    client = make()
    response = connect(client, f"format=text&{query}")
    work(client, "a" * 20, "a", kind="upload")
    work(client, "b" * 20, "b", kind="upload", by="me")
    work(client, "c" * 20, "c")
    lines = body_of(response).decode().splitlines()
    assert sorted({line[0] for line in lines}) == sorted(shown)
    assert len(lines) == 3 * len(shown)


@pytest.mark.parametrize("query", ["label=x", "label==x", "format=html", "format=json", "tail=x"])
def test_what_does_not_exist_is_refused(query):
    """With one clear error."""
    response = make().ask(f"/activity?{query}")
    assert response.status == 400


def test_a_browser_gets_text_and_others_what_they_like():
    """There is no page of it."""
    client = make()
    for accept, media_type in (
        (BROWSER, "text/plain; charset=utf-8"),
        ("text/event-stream", "text/event-stream; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson"),
    ):
        assert headers_of(client.ask("/activity", accept=accept))["content-type"] == media_type
    assert client.ask("/activity", accept="image/png").status == 406
    assert client.ask("/activity", "POST").status == 405
    assert client.ask("/activity", "HEAD").body == b""


@pytest.mark.parametrize("form", ["sse", "entries"])
def test_a_reconnect_resumes_where_it_was(form):
    """Exactly once, also behind what was hidden, which is not read again."""
    client = make()
    response = connect(client, f"format={form}&label=kind=upload")
    body_of(response)
    work(client, "a" * 20, kind="upload")
    first = parse_events(body_of(response))
    work(client, "b" * 20)
    assert body_of(response) == b""
    assert isinstance(response.body, Stream)
    (moved,) = response.body.viewer.tick(100.0)
    assert moved.startswith(b"event: moved\nid: ")
    cursor = moved.split(b"id: ")[1].strip().decode()
    assert cursor == str(cursor_at_end(client)) > first[-1].last_id
    assert response.body.viewer.tick(200.0) == (b":\n",)
    work(client, "c" * 20, kind="upload")
    for last in (first[-1].last_id, cursor):
        url = f"format={form}&label=kind=upload"
        again = parse_events(body_of(connect(client, url, last_event_id=last)))
        runs = {run for event in again for run in "abc" if run * 20 in event.data}
        assert runs == {"c"}
    stream = connect(client, f"format={form}", last_event_id=cursor).body
    assert isinstance(stream, Stream)
    position = stream.viewer.place.reading.position
    assert len(Reader(stream.viewer.feed.journal, position).read()) == 3


def cursor_at_end(client: Client) -> str:
    """Get the cursor at the end of the activity, as a stream that begins there tells it."""
    (start,) = parse_events(body_of(connect(client, "format=sse")))
    return start.last_id


def test_what_may_not_be_listed_does_not_happen():
    """The hook that decides about the list decides here, with what it decides by there."""
    asked: list[tuple] = []

    def access(request, action, record):
        asked.append((action, record and record.owner))
        return record is None or record.id == "b" * 20

    client = make(access=access)
    response = connect(client, "format=text")
    work(client, "a" * 20, "a")
    work(client, "b" * 20, "b")
    assert {line[:1] for line in body_of(response).splitlines()} == {b"b"}
    assert {action for action, _ in asked} == {"list"}
    client.site = replace(client.site, access=lambda *_: False)
    assert client.ask("/activity").status == 403


def test_a_server_of_one_run_shows_only_its_activity():
    """Nothing of the other runs of the store."""
    client = make_client(only=LIVING)
    response = connect(client, "format=text")
    work(client, "d" * 20)
    client.close(LIVING)
    assert body_of(response) == b"run a: succeeded\n"


def test_a_cursor_of_a_run_is_none_of_the_activity():
    """And the other way round."""
    client = make_client()
    (start, *_) = parse_events(body_of(client.ask(f"/runs/{LIVING}?format=sse")))
    assert client.ask(f"/activity?from={start.last_id}").status == 404
    assert client.ask(f"/runs/{LIVING}?from={cursor_at_end(client)}").status == 404


@pytest.mark.parametrize("form", ["text", "sse", "entries", "ndjson"])
def test_those_who_are_shown_the_same_share_its_bytes(form):
    """Who asks for other labels, or whom a hook is asked about, shares nothing; all get the same."""
    client = make()
    site = replace(client.site, access=lambda *_: True)
    asked = Client(site)
    url = f"format={form}&label=kind=upload"
    streams = [connect(each, url).body for each in (client, client, asked, asked)]
    streams.append(connect(client, f"format={form}&label=kind=x").body)
    viewers = [stream.viewer for stream in streams if isinstance(stream, Stream)]
    feeds = [viewer.feed for viewer in viewers]
    assert feeds[0] is feeds[1]
    assert len(set(feeds)) == 4
    for feed in feeds:
        feed.enter()
    received = [b"".join(viewer.take(viewer.feed.read(viewer.place), 0.0)) for viewer in viewers]
    for number in range(30):
        kind = "upload" if number % 3 else "other"
        work(client, f"{number:020}", title=f"Import {number}", kind=kind)
        for place in range(number % 4 + 1):
            viewer = viewers[place]
            received[place] += b"".join(viewer.take(viewer.feed.read(viewer.place), 0.0))
            if place == number % 4:
                viewer.tick(100.0 * number)
    work(client, "f" * 20, kind="other")
    for place, viewer in enumerate(viewers):
        while (chunk := viewer.feed.read(viewer.place)).has_entries:
            received[place] += b"".join(viewer.take(chunk, 0.0))
    assert received[0] == received[1] == received[2] == received[3]
    assert b"Import 29" in received[0]
    assert viewers[0].place == viewers[1].place
    for now in (1e6, 2e6):
        beats = [viewer.tick(now) for viewer in viewers[:4]]
        assert beats[0] == beats[1] == beats[2] == beats[3]
        assert (form in ("sse", "entries") and now < 2e6) == (b"moved" in b"".join(beats[0]))
