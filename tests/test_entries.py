"""Values that are passed around: they survive being written and read, and refuse what is wrong."""

import codecs
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import (
    Cursor,
    End,
    Entry,
    Gap,
    Kind,
    Position,
    RunRecord,
    State,
    incomplete_suffix,
    parse_time,
    render_time,
)
from outlive.errors import CursorExpired, FormatError
from outlive.journals.base import Tail, make_entry

ids = st.text("0123456789abcdef", min_size=20, max_size=20)
positions = st.builds(
    Position,
    st.integers(0, 16**12 - 1),
    st.integers(0, 16**5 - 1),
    st.integers(0, 16**9 - 1),
)
numbers = st.none() | st.integers(0)


def entry(kind: Kind, payload: bytes) -> Entry:
    """Make an entry."""
    return make_entry(Tail(), kind, payload, 0, 0)


@given(ids, positions)
def test_cursors_come_back_as_they_were(run, position):
    """A cursor's token names its run and its position, and nothing else does."""
    assert Cursor.parse(str(Cursor(run, position))) == Cursor(run, position)


@given(ids, st.lists(positions))
def test_cursors_sort_as_positions_do(run, found):
    """As text they are in the order of the places they name."""
    tokens = [str(Cursor(run, position)) for position in sorted(found)]
    assert tokens == sorted(tokens)


@given(st.text() | st.from_regex(r"[0-9a-f٣]{20}-[0-9a-fA-F]{26}", fullmatch=True))
def test_a_token_is_read_or_refused(token):
    """Whatever a client sends is a cursor that gives the same token again, or is refused."""
    try:
        cursor = Cursor.parse(token)
    except CursorExpired:
        return
    assert str(cursor) == token


def test_a_refusal_is_short():
    """However long a token is, the message is not."""
    with pytest.raises(CursorExpired) as caught:
        Cursor.parse("x" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), st.integers(0, 40))
def test_an_incomplete_suffix_is_what_a_decoder_would_wait_for(text, cut):
    """Of valid text cut anywhere it is what the decoder keeps; of any bytes at most three."""
    part = text[:cut]
    held = incomplete_suffix(part)
    assert 0 <= held <= min(3, len(part))
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(part)
    except UnicodeDecodeError:
        return
    assert held == len(decoder.getstate()[0])


@given(st.integers(0, 4 * 10**18))
def test_times_come_back_to_the_microsecond(moment):
    """A time is written as RFC 3339 does, and read again without its nanoseconds."""
    text = render_time(moment)
    assert parse_time(text) == moment // 1000 * 1000
    assert datetime.fromisoformat(text).tzinfo == UTC


@pytest.mark.parametrize("text", ["", "x", "12:00", "2030-01-31", "2030-01-31T12:00:00", "٣", "\0"])
def test_what_is_no_time_is_refused(text):
    """A time needs its date and its zone."""
    with pytest.raises(FormatError):
        parse_time(text)


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:01Z", "1970-01-01T01:00:01+01:00", "1970-01-01T00:00:01.000000Z"]
)
def test_zones_are_understood(text):
    """The same moment may be written in several ways."""
    assert parse_time(text) == 1_000_000_000


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_times_at_the_edge_are_times(text):
    """The first and the last moments there are can be asked for."""
    assert isinstance(parse_time(text), int)


@given(numbers, numbers, numbers, st.text())
def test_gaps_come_back_as_they_were(entries, size, lines, reason):
    """What a gap says survives its entry."""
    gap = Gap(entries, size, lines, reason)
    assert Gap.of(entry(Kind.GAP, gap.encode())) == gap


@given(st.sampled_from(State), st.none() | st.integers(), st.none() | st.text())
def test_ends_come_back_as_they_were(state, code, error):
    """What an end says survives its entry."""
    end = End(state, code, "SIGKILL", error)
    assert End.of(entry(Kind.END, end.encode())) == end


@given(st.text(), st.dictionaries(st.text(), st.text()), st.none() | st.lists(st.text()))
def test_records_come_back_as_they_were(title, labels, command):
    """What is known of a run survives its first and its last entry."""
    record = RunRecord(id="0" * 20, title=title, started_at=5, labels=labels, command=command)
    start = entry(Kind.START, record.encode())
    assert RunRecord.of(start) == record
    end = entry(Kind.END, End(State.FAILED, 3).encode())
    ended = RunRecord.of(start, end)
    assert (ended.end, ended.ended_at) == (End(State.FAILED, 3), end.time)
    shown = json.loads(json.dumps(ended.as_json()))
    assert (shown["state"], shown["exit_code"], shown["title"]) == ("failed", 3, title)
    assert shown["started_at"] == "1970-01-01T00:00:00.000000Z"


def test_arguments_that_are_no_text_are_kept():
    """A command's arguments may be any bytes, as Python hands them over."""
    command = ["ls", b"\xff".decode(errors="surrogateescape")]
    record = RunRecord(id="0" * 20, title="\udcff", started_at=5, command=command)
    assert RunRecord.of(entry(Kind.START, record.encode())).command == command


@given(
    st.lists(st.sampled_from([b"\n", b"a", b"bc"])).map(b"".join),
    st.lists(st.integers(1, 5), max_size=4),
)
def test_the_rest_of_an_entry_has_its_own_numbers(text, steps):
    """An entry consumed in steps says at each where it stands."""
    rest = whole = entry(Kind.OUT, text)
    for step in steps:
        if step > rest.text_size:
            break
        rest = rest.from_byte(step)
        consumed = text[: rest.skip]
        assert rest.text == text[rest.skip :]
        assert rest.line == consumed.count(b"\n") + 1
        assert rest.newlines == rest.text.count(b"\n")
        assert (rest.text_before, rest.text_size) == (rest.skip, len(rest.text))
        assert rest.opens == (not consumed.endswith(b"\n"))
        assert rest.after == whole.after
