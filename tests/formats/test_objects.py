"""The objects of `ndjson` and `entries`, and the lines of `text` that stand for gaps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import Gap, Kind
from outlive.formats import FORMATS
from outlive.formats.base import describe, encode_entry, encode_json, render_gap
from tests.event_streams import parse_events
from tests.formats.logs import RUN, hostile_bytes, log_payload, make_journal, stream


def objects_of(*steps: tuple[Kind, bytes]) -> list[dict]:
    """Get what `ndjson` sends of an ended run that wrote these entries."""
    return [
        json.loads(line)
        for line in stream(FORMATS["ndjson"](RUN), make_journal(steps)).splitlines()
    ]


def test_both_formats_send_the_same_objects():
    """`entries` is `ndjson` in the clothes of an event stream."""
    steps = [(Kind.OUT, b"a\n"), (Kind.LOG, log_payload(b"b\n")), (Kind.ERR, b"\xff")]
    journal = make_journal(steps)
    lines = stream(FORMATS["ndjson"](RUN), journal).splitlines()
    events = parse_events(stream(FORMATS["entries"](RUN), journal))
    assert [event.data for event in events] == [line.decode() for line in lines]


def test_an_object_says_what_came_when_and_from_where():
    """Cursor, time, kind and origin are always there; text where it is UTF-8, else base64."""
    start, out, err, log, end = objects_of(
        (Kind.OUT, "grün\r".encode()), (Kind.ERR, b"\xff\n"), (Kind.LOG, log_payload(b"x\n"))
    )
    for value in (start, out, err, log, end):
        assert value["id"].startswith(RUN + "-")
        assert value["time"].endswith("Z")
        assert value["origin"] == 0
    assert (out["kind"], out["text"]) == ("out", "grün\r")
    assert (err["kind"], err["bytes"], "text" in err) == ("err", "/wo=", False)
    assert (log["kind"], log["text"], log["level"], log["logger"]) == ("log", "x\n", "INFO", "a.b")
    assert (end["kind"], end["state"], end["exit_code"]) == ("end", "succeeded", 0)
    assert (start["kind"], start["run"], start["line"]) == ("start", RUN, 1)


def test_what_is_sent_has_no_line_breaks_of_its_own():
    """Whatever a client takes for the end of a line, each object is on one."""
    data = stream(FORMATS["ndjson"](RUN), make_journal([(Kind.OUT, "\u2028\u0085\r\x0c".encode())]))
    assert len(data.decode().splitlines()) == 3
    assert data.isascii()


_texts = st.lists(
    hostile_bytes | st.text('ab"\\\n\r\t\b\x1b', max_size=9).map(str.encode), max_size=9
)


@given(_texts.map(b"".join), st.sampled_from([Kind.OUT, Kind.LOG]), st.booleans())
def test_a_large_text_is_written_as_a_small_one(text, kind, resumed):
    """That it is written in another way, for speed, cannot be seen, byte by byte."""
    text = b"x" * 2000 + text
    payload = log_payload(text) if kind is Kind.LOG else text
    entry = make_journal([(kind, payload)]).scan(0).entries[0]
    entry = entry.from_byte(5) if resumed else entry
    assert encode_entry(entry, "cursor") == encode_json(describe(entry, "cursor"))


@pytest.mark.parametrize(
    ("gap", "line"),
    [
        (Gap(3, 20, 2, "removed"), "[outlive: 2 lines, 20 bytes missing here: removed]"),
        (Gap(1, 1, 1, "lost"), "[outlive: 1 line, 1 byte missing here: lost]"),
        (Gap(9, 12345, 0, "lost"), "[outlive: 12,345 bytes missing here: lost]"),
        (Gap(None, None, None, "damaged"), "[outlive: something missing here: damaged]"),
    ],
)
def test_a_gap_is_one_bracketed_line_of_text(gap, line):
    """It tells how much is missing, as far as that is known, and why."""
    assert render_gap(gap) == line


def test_a_gap_begins_a_line_of_its_own():
    """An unfinished line is ended before it, a finished one gets no further newline."""
    gap = (Kind.GAP, Gap(1, 0, 0, "lost").encode())
    mark = b"[outlive: something missing here: lost]\n"
    text = FORMATS["text"]
    assert stream(text(RUN), make_journal([(Kind.OUT, b"a"), gap])) == b"a\n" + mark
    assert stream(text(RUN), make_journal([(Kind.OUT, b"a\n"), gap])) == b"a\n" + mark
    assert stream(text(RUN), make_journal([gap, gap])) == mark + mark
