"""A viewer's policy: where to start, what to send when, when it is over."""

import pytest

from outlive.entries import BEGINNING, Cursor, Kind, Position
from outlive.errors import CursorExpired, FormatError
from outlive.formats import FORMATS
from outlive.journals.memory import MemoryJournal
from outlive.journals.readers import Reader
from outlive.viewers import HEARTBEAT, PARTIAL, Origin, Viewer, locate, parse_origin
from tests.event_streams import parse_events
from tests.formats.logs import RUN, make_journal, make_viewer, read

TOKEN = str(Cursor(RUN, Position(7, 3, 2)))
HEARTBEATS = {"text": b"", "sse": b":\n", "entries": b":\n", "ndjson": b"\n", "html": b"<!---->"}


def begin(name: str, journal: MemoryJournal | None = None) -> Viewer:
    """Make a viewer that begins at time 0, of a silent run or of that one."""
    return make_viewer(journal or make_journal([], end=None), FORMATS[name](RUN))


def tick(viewer: Viewer, now: float) -> bytes:
    """Get what a viewer is sent though nothing is new."""
    return b"".join(viewer.tick(now))


@pytest.mark.parametrize("name", FORMATS)
def test_a_silent_stream_beats(name):
    """After a silence, and again after the next; `text` has no room for that."""
    viewer = begin(name)
    assert tick(viewer, HEARTBEAT - 0.1) == b""
    assert viewer.deadline() == HEARTBEAT
    assert tick(viewer, HEARTBEAT) == HEARTBEATS[name]
    assert viewer.deadline() == 2 * HEARTBEAT
    assert tick(viewer, 2 * HEARTBEAT - 0.1) == b""
    assert tick(viewer, 2 * HEARTBEAT) == HEARTBEATS[name]


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_that_was_sent_something_does_not_beat(name):
    """Only silence is broken."""
    journal = make_journal([(Kind.OUT, b"line\n")], end=None)
    viewer = begin(name, journal)
    assert read(viewer, 10.0)
    assert tick(viewer, HEARTBEAT) == b""
    assert viewer.deadline() == 10 + HEARTBEAT


def test_heartbeats_are_no_events():
    """A parser that meets them sees nothing, wherever they come."""
    journal = make_journal([(Kind.OUT, b"one\ntwo\n")])
    for name in ("sse", "entries"):
        form = FORMATS[name](RUN)
        data = form.encode(journal.scan(0).entries[0])
        beaten = data.replace(b"\n\n", b"\n\n:\n")
        assert parse_events(b":\n:\n" + beaten) == parse_events(data)


def write(journal: MemoryJournal, text: bytes) -> None:
    """Append output."""
    journal.add(Kind.OUT, text, 0)


def test_an_unfinished_line_is_sent_at_most_five_times_a_second():
    """The first glimpse at once; what comes then is due a fifth of a second later."""
    journal = make_journal([], end=None)
    viewer = begin("sse", journal)
    shown = []
    for step in range(101):
        write(journal, b"\r%d%%" % step)
        now = 10 + step / 100
        shown += parse_events(read(viewer, now))
        assert viewer.deadline() <= now + PARTIAL + 1e-9 or viewer.deadline() > now + 1
        if now >= viewer.deadline():
            shown += parse_events(tick(viewer, now))
    assert [event.name for event in shown] == ["partial"] * len(shown)
    assert 5 <= len(shown) <= 6
    tick(viewer, viewer.deadline())
    assert viewer.deadline() > 11 + 1, "nothing more is due"


def test_the_last_glimpse_comes_by_itself():
    """What was held back is sent when its time has come, though nothing was written since."""
    journal = make_journal([], end=None)
    viewer = begin("sse", journal)
    write(journal, b"1")
    assert b"data: 1\n" in read(viewer, 10.0)
    write(journal, b"2")
    assert read(viewer, 10.1) == b""
    assert viewer.deadline() == pytest.approx(10 + PARTIAL)
    assert b"data: 12\n" in tick(viewer, 10 + PARTIAL)
    assert tick(viewer, 11.0) == b""


def test_the_opening_is_sent_with_the_first_turn():
    """A client hears at once that it is connected, whether or not there is output."""
    journal = make_journal([], end=None)
    form = FORMATS["sse"](RUN)
    opening = form.open(journal.start(), BEGINNING, resumed=False)
    viewer = make_viewer(journal, form, opening=opening)
    assert b"event: start" in read(viewer, 0.0)
    assert read(viewer, 0.0) == b""


@pytest.mark.parametrize("name", FORMATS)
def test_a_viewer_is_finished_with_the_end(name):
    """Not before, and whatever came in the same turn."""
    viewer = begin(name, make_journal([(Kind.OUT, b"x")]))
    viewer.take(viewer.feed.read(viewer.place, size=1), 0.0)
    assert not viewer.finished
    viewer.take(viewer.feed.read(viewer.place, size=1), 0.0)
    assert viewer.finished


@pytest.mark.parametrize(
    ("query", "last_event_id", "origin"),
    [
        ({}, "", Origin()),
        ({"line": "12"}, "", Origin("line", 12)),
        ({"tail": "0"}, "", Origin("tail", 0)),
        ({"time": "1970-01-01T00:00:01Z"}, "", Origin("time", 10**9)),
        ({"time": "1970-01-01T01:00:01 01:00"}, "", Origin("time", 10**9)),
        ({"from": TOKEN}, "", Origin("cursor", cursor=Cursor.parse(TOKEN))),
        ({"line": "12"}, TOKEN, Origin("cursor", cursor=Cursor.parse(TOKEN))),
        ({"from": "rubbish"}, TOKEN, Origin("cursor", cursor=Cursor.parse(TOKEN))),
        ({"from": TOKEN, "tail": "4"}, "", Origin("cursor", cursor=Cursor.parse(TOKEN))),
        ({"from": ""}, "", Origin()),
    ],
)
def test_a_start_is_read_from_the_url_or_the_reconnect(query, last_event_id, origin):
    """What a reconnecting client got last beats what its URL says."""
    assert parse_origin(query, last_event_id) == origin


@pytest.mark.parametrize(
    "query",
    [
        {"line": "-1"},
        {"line": "x"},
        {"line": ""},
        {"line": "\u0661"},
        {"line": "9" * 16},
        {"tail": "1.5"},
        {"tail": "²"},
        {"time": "yesterday"},
        {"time": "2030-01-01T00:00:00"},
        {"time": ""},
        {"time": "2030-01-01"},
        {"line": "1", "tail": "1"},
    ],
)
def test_a_start_that_does_not_exist_is_refused(query):
    """One clear error, whatever was given."""
    with pytest.raises(FormatError):
        parse_origin(query)


@pytest.mark.parametrize(
    "token", ["x", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "\u0660" * 47, "\0"]
)
def test_a_cursor_that_nobody_issued_is_refused(token):
    """In the URL and in the header alike."""
    for query, header in (({"from": token}, ""), ({}, token)):
        with pytest.raises(CursorExpired):
            parse_origin(query, header)


def test_a_cursor_of_another_run_is_refused():
    """It names nothing here."""
    journal = make_journal([])
    other = Origin("cursor", cursor=Cursor("f" * 20, BEGINNING))
    with pytest.raises(CursorExpired):
        locate(other, journal)


@pytest.mark.parametrize(
    ("origin", "rest"),
    [
        (Origin(), b"1\n2\n3\n4"),
        (Origin("line", 0), b"1\n2\n3\n4"),
        (Origin("line", 3), b"3\n4"),
        (Origin("line", 99), b""),
        (Origin("tail", 2), b"3\n4"),
        (Origin("tail", 0), b""),
        (Origin("tail", 99), b"1\n2\n3\n4"),
        (Origin("time", 0), b"1\n2\n3\n4"),
        (Origin("time", 2**62), b""),
    ],
)
def test_a_start_is_found_in_the_journal(origin, rest):
    """By line, from the end, by time; and the end of the run is always there to be read."""
    journal = make_journal([(Kind.OUT, b"1\n2"), (Kind.OUT, b"\n3\n4")])
    entries = Reader(journal, locate(origin, journal)).read()
    text = b"".join(entry.text for entry in entries if entry.kind is Kind.OUT)
    assert text == rest
