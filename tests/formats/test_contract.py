"""What holds for every format."""

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import Kind
from outlive.formats import FORMATS
from tests.event_streams import parse_events
from tests.formats.logs import (
    RUN,
    gapped_logs,
    hostile_bytes,
    lines_of,
    logs,
    make_journal,
    stream,
    text_of,
)
from tests.formats.pages import read_page


class Message(NamedTuple):
    """The least that a client acts on: what is said, and the cursor known after it."""

    said: Any
    cursor: str


def read_sse(data: bytes) -> list[Message]:
    """Read the messages of `sse`, but for the glimpses of unfinished lines."""
    return [
        Message((event.name, event.data), event.last_id)
        for event in parse_events(data)
        if event.name != "partial"
    ]


def behind_start(messages: list[Message]) -> list[Message]:
    """Leave out what `sse` says first on every connection."""
    return [message for message in messages if not str(message.said).startswith("('start'")]


def read_entries(data: bytes) -> list[Message]:
    """Read the messages of `entries`."""
    found = [(event, json.loads(event.data)) for event in parse_events(data)]
    assert all(event.name == "message" and event.last_id == value["id"] for event, value in found)
    return [Message(value, value["id"]) for _, value in found]


def read_ndjson(data: bytes) -> list[Message]:
    """Read the messages of `ndjson`."""
    return [Message(value, value["id"]) for value in map(json.loads, data.splitlines())]


RESUMABLE: dict[str, Callable[[bytes], list[Message]]] = {
    "sse": read_sse,
    "entries": read_entries,
    "ndjson": read_ndjson,
}

every_format = pytest.mark.parametrize("name", FORMATS)
resumable = pytest.mark.parametrize("name", RESUMABLE)
objects = pytest.mark.parametrize("name", ["entries", "ndjson"])


def text_of_objects(messages: list[Message]) -> bytes:
    """Put the text together that objects carry."""
    found = b""
    for said, _ in messages:
        assert isinstance(said, dict)
        found += base64.b64decode(said["bytes"]) if "bytes" in said and _is_text(said) else b""
        found += said.get("text", "").encode()
    return found


def _is_text(said: dict) -> bool:
    return said["kind"] in ("out", "err", "log")


def test_the_contract_knows_every_format():
    """A new format is either resumable or for people, without cursors."""
    assert set(FORMATS) == {*RESUMABLE, "text", "html"}


@resumable
@given(steps=logs | gapped_logs)
def test_a_cut_after_any_message_resumes_with_exactly_the_rest(name, steps):
    """What came up to a cursor, and what comes from it, is everything once."""
    form, read = FORMATS[name], RESUMABLE[name]
    journal = make_journal(steps)
    messages = read(stream(form(RUN), journal))
    for cursor in {message.cursor for message in messages}:
        first = next(i for i, message in enumerate(messages) if message.cursor == cursor)
        rest = behind_start(read(stream(form(RUN), journal, cursor)))
        assert rest == behind_start(messages[first + 1 :])


@every_format
@given(steps=logs, size=st.integers(1, 50))
def test_bytes_do_not_depend_on_how_the_log_was_read(name, steps, size):
    """In small turns or at once, a viewer gets the same, glimpses of unfinished lines aside."""
    form, journal = FORMATS[name], make_journal(steps)
    at_once, in_turns = stream(form(RUN), journal), stream(form(RUN), journal, size=size)
    if name == "sse":
        at_once, in_turns = _without_partials(at_once), _without_partials(in_turns)
    if name == "html":
        assert read_page(at_once).text("glimpse") == read_page(in_turns).text("glimpse")
    else:
        assert at_once == in_turns


def _without_partials(data: bytes) -> bytes:
    events = data.split(b"\n\n")
    return b"\n\n".join(event for event in events if not event.startswith(b"event: partial\n"))


@resumable
@given(steps=logs, data=st.data())
def test_a_cursor_of_one_format_resumes_in_another(name, steps, data):
    """Whatever text was before a cursor, what comes from it is the text behind it."""
    journal = make_journal(steps)
    whole = stream(FORMATS["text"](RUN), journal)
    messages = RESUMABLE[name](stream(FORMATS[name](RUN), journal))
    cursor = data.draw(st.sampled_from(messages)).cursor
    rest = stream(FORMATS["text"](RUN), journal, cursor)
    assert whole.endswith(rest) or _gap_less(whole).endswith(_gap_less(rest))
    objects = read_ndjson(stream(FORMATS["ndjson"](RUN), journal, cursor))
    assert text_of(steps).endswith(text_of_objects(objects))


def _gap_less(text: bytes) -> bytes:
    # The line of a gap begins a new line only where one was open.
    return text.replace(b"\n[outlive", b"[outlive")


@objects
@given(steps=logs)
def test_the_text_of_all_objects_is_the_output(name, steps):
    """Text or, where it is not UTF-8, base64: nothing of the bytes is changed."""
    messages = RESUMABLE[name](stream(FORMATS[name](RUN), make_journal(steps)))
    assert text_of_objects(messages) == text_of(steps)


@given(steps=logs)
def test_text_is_the_output(steps):
    """Nothing is added but a line for each gap."""
    steps = [step for step in steps if step[0] is not Kind.GAP]
    assert stream(FORMATS["text"](RUN), make_journal(steps)) == text_of(steps)


@given(steps=logs)
def test_the_messages_of_sse_are_the_lines(steps):
    """However lines are split into entries, each is one unnamed event."""
    messages = read_sse(stream(FORMATS["sse"](RUN), make_journal(steps)))
    said = [data for name, data in (message.said for message in messages) if name == "message"]
    assert said == lines_of(text_of(steps))


@given(text=hostile_bytes, cuts=st.lists(st.integers(0, 60)))
def test_lines_do_not_depend_on_how_the_output_was_split(text, cuts):
    """Entries may end anywhere: within a line, a character, a CRLF."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[a:b] for a, b in pairwise(places) if a < b]
    messages = read_sse(stream(FORMATS["sse"](RUN), make_journal([(Kind.OUT, p) for p in parts])))
    said = [data for name, data in (message.said for message in messages) if name == "message"]
    assert said == lines_of(text)


@resumable
@given(steps=logs)
def test_cursors_grow(name, steps):
    """As text they sort as they were handed out, so that a client can tell which is later."""
    cursors = [m.cursor for m in RESUMABLE[name](stream(FORMATS[name](RUN), make_journal(steps)))]
    assert cursors == sorted(cursors)


@resumable
def test_the_end_is_always_the_last_message(name):
    """Whoever has read it need not come back; an event source comes back at once, to be told so."""
    journal = make_journal([(Kind.OUT, b"unfinished")])
    data = stream(FORMATS[name](RUN), journal)
    last = RESUMABLE[name](data)[-1].said
    assert "end" in last or last["kind"] == "end"
    assert (b"\nretry: 100\n" in data) == FORMATS[name].reconnects


@resumable
def test_a_resumed_stream_does_not_open_again_what_the_client_knows(name):
    """Only `sse` names its start on each connection, so that even a silent one can be resumed."""
    journal = make_journal([(Kind.OUT, b"one\n"), (Kind.OUT, b"two\n")])
    cursor = RESUMABLE[name](stream(FORMATS[name](RUN), journal))[-2].cursor
    resumed = stream(FORMATS[name](RUN), journal, cursor)
    assert (b"start" in resumed) == (name == "sse")
