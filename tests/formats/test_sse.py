"""Server-Sent Events by the line: hostile bytes, long lines, unfinished lines, named events."""

import json
from itertools import pairwise
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import BEGINNING, End, Gap, Kind, State
from outlive.formats import FORMATS, sse
from outlive.journals.memory import MemoryJournal
from outlive.journals.readers import Reader
from tests.event_streams import Event, parse_events
from tests.formats.logs import RUN, hostile_bytes, lines_of, log_payload, make_journal, stream

Sse = FORMATS["sse"]


def events_of(*steps: tuple[Kind, bytes], cursor: str = "") -> list[Event]:
    """Get the events of an ended run that wrote these entries, without the start."""
    return parse_events(stream(Sse(RUN), make_journal(steps), cursor))[1:]


def data_of(events: list[Event]) -> list[str]:
    """Get the lines among events."""
    return [event.data for event in events if event.name == "message"]


def read_as_httpx_sse(data: bytes) -> list[Event]:
    """Read a stream as a library of others does."""
    headers = {"content-type": "text/event-stream"}
    answer = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=data))
    with (
        httpx.Client(transport=answer) as client,
        connect_sse(client, "GET", "http://localhost") as source,
    ):
        return [Event(event.event, event.data, event.id) for event in source.iter_sse()]


@given(texts=st.lists(hostile_bytes.filter(bool), max_size=4))
def test_clients_agree_on_what_hostile_output_says(texts):
    """Two readers, written by different people, see the same events."""
    data = stream(Sse(RUN), make_journal([(Kind.OUT, text) for text in texts]))
    assert read_as_httpx_sse(data) == parse_events(data)


@given(text=hostile_bytes)
def test_output_forges_neither_ids_nor_names(text):
    """Each id is a cursor of this run, each name one of ours."""
    for event in parse_events(stream(Sse(RUN), make_journal([(Kind.OUT, text)] if text else []))):
        assert event.last_id.startswith(RUN + "-")
        assert event.name in ("start", "message", "partial", "end")


def test_a_forgery_is_shown_as_what_it_is():
    """The bytes that forge an event elsewhere are a line of text here."""
    events = events_of((Kind.OUT, b"a\rid: 1\revent: x\rdata: y\n"))
    assert data_of(events) == ["a\nid: 1\nevent: x\ndata: y"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"a\nb\r\nc", ["a", "b", "c"]),
        (b"\n\n", ["", ""]),
        (b"10%\r20%\r30%\n", ["10%\n20%\n30%"]),
        (b"  two blanks\n", ["  two blanks"]),
        ("\ufeffmark\n".encode(), ["\ufeffmark"]),
        ("a\u2028b\u0085c\n".encode(), ["a\u2028b\u0085c"]),
        (b"nul\0nul\n", ["nul\0nul"]),
        (b"\xff\n", ["\ufffd"]),
        (b"", []),
    ],
)
def test_a_line_arrives_as_it_was_written(text, lines):
    """Only LF ends a line of output; a bare CR becomes a further line of data."""
    assert data_of(events_of(*([(Kind.OUT, text)] if text else []))) == lines


def test_a_character_split_over_entries_arrives_whole():
    """Bytes of one character may come in several entries."""
    parts = [(Kind.OUT, bytes([byte])) for byte in "a😀€\n".encode()]
    assert data_of(events_of(*parts)) == ["a😀€"]


def test_logging_is_lines_like_all_text():
    """A record's text is among the lines, its level and logger are not."""
    assert data_of(events_of((Kind.LOG, log_payload(b"one\ntwo\n")))) == ["one", "two"]


def test_a_million_empty_lines_arrive():
    """Each is an event of its own, with empty data."""
    count = 1_000_000
    steps = [(Kind.OUT, b"\n" * count)]
    data = stream(Sse(RUN), make_journal(steps))
    assert data.count(b"\ndata: \nid: ") + data.startswith(b"data: ") == count


def test_a_long_line_comes_in_pieces_that_can_be_resumed():
    """No event carries more than 1 MiB, no character is cut, and each piece has its cursor."""
    line = "0123456789€".encode() * 300_000  # 3.9 MB
    steps = [(Kind.OUT, b"before\n" + line + b"\nafter\n")]
    journal = make_journal(steps)
    events = parse_events(stream(Sse(RUN), journal))
    pieces = [event for event in events if event.name == "message"][1:-1]
    assert "".join(event.data for event in pieces) == line.decode()
    assert len(pieces) == 4
    assert all(len(event.data.encode()) <= 1024 * 1024 for event in pieces)
    for piece in pieces:
        place = events.index(piece)
        rest = parse_events(stream(Sse(RUN), journal, piece.last_id))
        assert data_of(rest) == data_of(events[place + 1 :])


@given(text=hostile_bytes, cuts=st.lists(st.integers(0, 60), max_size=8), limit=st.integers(8, 40))
def test_pieces_of_long_lines_lose_nothing(text, cuts, limit):
    """Wherever a line is cut, its pieces together and the rest after each are what was written."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[a:b] for a, b in pairwise(places) if a < b]
    journal = make_journal(
        [(Kind.OUT, part[i : i + 8]) for part in parts for i in range(0, len(part), 8)]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "LINE_LIMIT", limit)
        events = parse_events(stream(Sse(RUN), journal))
        # A CR at the end of a piece is lost like one at the end of a line; U+FFFD may be several.
        assert _letters("".join(data_of(events))) == _letters("".join(lines_of(text)))
        for place, event in enumerate(events):
            if event.name == "message":
                rest = parse_events(stream(Sse(RUN), journal, event.last_id))
                assert data_of(rest) == data_of(events[place + 1 :])


def _letters(text: str) -> str:
    return text.replace("\n", "").replace("\ufffd", "")


class Following:
    """A viewer of a run that is still written."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.form = Sse(RUN)
        self.reader = Reader(journal, BEGINNING)

    def write(self, text: bytes, kind: Kind = Kind.OUT) -> list[Event]:
        """Append to the log, and get the events that this brings at once."""
        self.journal.add(kind, text, 0)
        return parse_events(b"".join(map(self.form.encode, self.reader.read())))

    def glimpse(self) -> str | None:
        """Get what is shown of the unfinished line."""
        events = parse_events(self.form.partial())
        assert all(event == ("partial", event.data, "") for event in events)
        return events[0].data if events else None


def test_an_unfinished_line_is_glimpsed_until_it_ends():
    """What stands after the last CR is shown, once each time it changes, without an id."""
    viewer = Following(make_journal([], end=None))
    assert viewer.glimpse() is None
    assert viewer.write(b"10%") == []
    assert viewer.glimpse() == "10%"
    assert viewer.glimpse() is None
    viewer.write(b"\r20%")
    assert viewer.glimpse() == "20%"
    viewer.write(b"\r")
    assert viewer.glimpse() == "20%"
    viewer.write(b"30%\xe2\x82")
    assert viewer.glimpse() == "30%"
    assert data_of(viewer.write(b"\xac\nnext")) == ["10%\n20%\n30%€"]
    assert viewer.glimpse() == "next"


def test_an_unfinished_line_is_a_line_at_the_end():
    """The run ends it where its writer did not, and its cursor leads to the end alone."""
    line, _ = events_of((Kind.OUT, b"unfinished"))
    assert (line.name, line.data) == ("message", "unfinished")
    assert [e.name for e in events_of((Kind.OUT, b"unfinished"), cursor=line.last_id)] == ["end"]


def test_what_is_no_line_is_a_named_event_with_json():
    """Stages, events, gaps, the start and the end say what they are."""
    stage = {"name": "parse", "parent": None, "current": 1, "total": 3, "unit": None, "done": False}
    steps = [
        (Kind.STAGE, json.dumps(stage).encode()),
        (Kind.EVENT, b'{"name":"saved","data":{"rows":[1]}}'),
        (Kind.GAP, Gap(1, 0, 0, "why").encode()),
    ]
    journal = make_journal(steps, End(State.FAILED, 3, None, "broken"))
    events = parse_events(stream(Sse(RUN), journal))
    values: list[dict[str, Any]] = [json.loads(event.data) for event in events]
    assert [event.name for event in events] == ["start", "stage", "event", "gap", "end"]
    assert [value["kind"] for value in values] == ["start", "stage", "event", "gap", "end"]
    assert [value["id"] for value in values] == [event.last_id for event in events]
    assert values[0]["run"] == RUN
    assert values[0]["line"] == 1
    assert values[1].items() >= stage.items()
    assert values[2]["data"] == {"rows": [1]}
    assert (values[3]["entries"], values[3]["reason"]) == (1, "why")
    ended = {key: values[4][key] for key in ("state", "exit_code", "signal", "error")}
    assert ended == {"state": "failed", "exit_code": 3, "signal": None, "error": "broken"}


def test_a_named_event_within_a_line_has_no_id():
    """To resume behind it would be to lose the beginning of the line."""
    first, stage, second, _ = events_of(
        (Kind.OUT, b"whole\nbegun"),
        (Kind.EVENT, b'{"name":"x","data":null}'),
        (Kind.OUT, b" and ended\n"),
    )
    assert (first.data, stage.name, second.data) == ("whole", "event", "begun and ended")
    assert stage.last_id == first.last_id != second.last_id


def test_a_gap_in_a_line_takes_the_line_with_it():
    """Two halves of different lines never become one line that nobody wrote."""
    events = events_of(
        (Kind.OUT, b"whole\nbegun"),
        (Kind.GAP, Gap(1, 20, 1, "lost").encode()),
        (Kind.OUT, b"fresh\n"),
    )
    assert "begunfresh" not in data_of(events)
    assert data_of(events)[0] == "whole"
