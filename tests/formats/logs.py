"""Logs as the contract of the formats needs them: entries of all kinds, and what they say."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from outlive.entries import (
    BEGINNING,
    TEXT_KINDS,
    Cursor,
    End,
    Gap,
    Kind,
    Position,
    RunRecord,
    State,
)
from outlive.feeds import find_feed
from outlive.formats import Format
from outlive.journals.base import READ_SIZE, Journal
from outlive.journals.memory import MemoryJournal, MemoryWriter
from outlive.viewers import PARTIAL, Viewer

RUN = "0123456789abcdef0123"
Step = tuple[Kind, bytes]

_TOKENS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\r\n",
    b"\rid: 1\revent: x\rdata: y\r\r",
    b"\n\nid: 2\nevent: end\ndata: {}\n\n",
    b"data: x",
    b": comment",
    b" leading",
    b"\0",
    b"\x0b\x0c\x1c\x85",
    b"\xff\xfe",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\x80",
    b"\x1b[31m",
    "\u2028\u2029\u0085".encode(),
    "\ufeff".encode(),
    "grün € 😀".encode(),
    b"</pre><script>",
]

hostile_bytes = st.lists(st.sampled_from(_TOKENS) | st.binary(max_size=4), max_size=12).map(
    b"".join
)


def log_payload(text: bytes) -> bytes:
    """Make the payload of a log entry."""
    return json.dumps({"level": "INFO", "logger": "a.b"}).encode() + b"\n" + text


_text_steps = st.tuples(st.sampled_from([Kind.OUT, Kind.ERR]), hostile_bytes.filter(bool))
_log_steps = hostile_bytes.filter(bool).map(lambda text: (Kind.LOG, log_payload(text)))
_other_steps = st.sampled_from(
    [
        (
            Kind.STAGE,
            b'{"name":"a\\r\\nb","parent":null,"current":1,"total":2,"unit":null,"done":false}',
        ),
        (Kind.EVENT, '{"name":"\\r\\rid: 7","data":["\u2028", 1]}'.encode()),
        (Kind.GAP, Gap(2, 0, 0, "the disk\r\nwas full").encode()),
    ]
)
logs = st.lists(_text_steps | _log_steps | _other_steps, max_size=12)

_losses = st.just((Kind.GAP, Gap(2, 20, 1, "lost").encode()))
#: Logs where text is missing, at the beginning, in the middle or at the end of lines.
gapped_logs = st.lists(_text_steps | _losses, max_size=8)


def make_journal(
    steps: Sequence[Step],
    end: End | None = End(State.SUCCEEDED, 0),  # noqa: B008 - it is frozen
) -> MemoryJournal:
    """Make a journal that holds these entries, and an end unless the run lives."""
    journal = MemoryJournal(RunRecord(id=RUN, title="a\r\nid: 5", started_at=0))
    writer = MemoryWriter(journal)
    for kind, payload in steps:
        writer.append(kind, payload)
    if end is not None:
        writer.close(end)
    return journal


def text_of(steps: Sequence[Step]) -> bytes:
    """Put together what all text kinds say."""
    return b"".join(
        payload.partition(b"\n")[2] if kind is Kind.LOG else payload
        for kind, payload in steps
        if kind in TEXT_KINDS
    )


def lines_of(text: bytes) -> list[str]:
    """Split a run's text into its lines, as one who reads events sees them."""
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip(b"\r").replace(b"\r", b"\n").decode(errors="replace") for line in lines]


def make_viewer(
    journal: Journal, form: Format, position: Position = BEGINNING, opening: bytes = b""
) -> Viewer:
    """Make a viewer that begins at time 0, and shares with those who are sent the same."""
    feed = find_feed(journal, form)
    return Viewer(feed, feed.begin(position), opening, 0.0)


def read(viewer: Viewer, now: float) -> bytes:
    """Get what a viewer is sent when it looks."""
    return b"".join(viewer.take(viewer.feed.read(viewer.place), now))


def stream(form: Format, journal: MemoryJournal, cursor: str = "", size: int = READ_SIZE) -> bytes:
    """Give everything that a viewer of an ended run gets, reading `size` bytes at a time.

    Time passes between the reads, so that unfinished lines are shown where a format does that.
    """
    position: Position = Cursor.parse(cursor).position if cursor else BEGINNING
    opening = form.open(journal.start(), position, resumed=bool(cursor))
    viewer = make_viewer(journal, form, position, opening)
    parts: list[bytes] = []
    now = 0.0
    while (chunk := viewer.feed.read(viewer.place, size=size)).has_entries:
        parts.append(b"".join(viewer.take(chunk, now)))
        now += PARTIAL
    assert viewer.finished == bool(parts), "only behind the end is there nothing to read"
    return b"".join(parts)
