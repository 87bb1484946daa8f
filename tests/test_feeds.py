"""What a format makes of a journal is made once, and each viewer gets what it would get alone."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import BEGINNING, Cursor, Kind, Position
from outlive.feeds import KEPT_COUNT, KEPT_SIZE, find_feed
from outlive.formats import FORMATS, Format
from outlive.formats.text import TextFormat
from outlive.journals.base import Scan
from outlive.journals.memory import MemoryJournal
from outlive.journals.readers import Reader
from outlive.viewers import Viewer
from outlive.web.activity import ACTIVITY_FORMATS
from tests.formats.logs import RUN, gapped_logs, logs, make_journal, make_viewer

SHARED = ["text", "sse", "ndjson", "entries"]

shared = pytest.mark.parametrize("name", SHARED)


@contextmanager
def entered(*viewers: Viewer) -> Iterator[None]:
    """Let viewers count, as a pump does."""
    for viewer in viewers:
        viewer.feed.enter()
    yield
    for viewer in viewers:
        viewer.feed.leave()


def gather(name: str, journal: MemoryJournal, count: int) -> list[Viewer]:
    """Make viewers that begin at the beginning."""
    return [make_viewer(journal, FORMATS[name](RUN)) for _ in range(count)]


def step_of(viewer: Viewer, since: object = None) -> tuple[bytes, ...]:
    """Get what a viewer is sent at time 0."""
    return viewer.take(viewer.feed.read(viewer.place, since), 0.0)


def without_partials(data: bytes) -> bytes:
    """Leave out the glimpses of unfinished lines: when they come is no matter of the log."""
    events = data.split(b"\n\n")
    return b"\n\n".join(event for event in events if not event.startswith(b"event: partial\n"))


def cursors_of(journal: MemoryJournal) -> list[str]:
    """List the places where a viewer may begin: also within entries."""
    lines = alone("sse", journal, "").split(b"\n")
    return ["", *(line[4:].decode() for line in lines if line.startswith(b"id: "))]


ACTIONS = [("write", 1, 0), ("enter", 1, 0)]
ACTIONS += [("read", number, size) for number in range(4) for size in (1, 20, 1000)]
READS = [("read", number, 1000) for number in range(4)] * 20


def alone(name: str, journal: MemoryJournal, cursor: str) -> bytes:
    """Get what one would get to whom nobody else matters."""
    reader, form = Reader(journal, position_of(cursor)), FORMATS[name](RUN)
    parts: list[bytes] = []
    while entries := reader.read():
        parts += map(form.encode, entries)
    return b"".join(parts)


def position_of(cursor: str) -> Position:
    """Read a cursor; none is the beginning."""
    return Cursor.parse(cursor).position if cursor else BEGINNING


@shared
@given(steps=logs | gapped_logs, data=st.data())
def test_each_viewer_gets_what_it_would_get_alone(name, steps, data):
    """Whoever comes when and where, and in whatever turns and portions they read."""
    journal = make_journal(steps)
    starts = data.draw(st.lists(st.sampled_from(cursors_of(journal)), min_size=2, max_size=4))
    expected = [alone(name, journal, cursor) for cursor in starts]
    hidden, journal._entries = journal._entries, []
    viewers: list[Viewer] = []
    received = [b""] * len(starts)
    chosen = data.draw(st.lists(st.sampled_from(ACTIONS), max_size=60))
    now = 0.0
    # Whatever was chosen, at last everything is there, and everybody reads to the end.
    for what, number, size in [*chosen, *[("write", 0, 0)] * 13, *[("enter", 0, 0)] * 4, *READS]:
        now += 0.02 * number
        if what == "write" and hidden:
            journal._entries.append(hidden.pop(0))
            journal.notify()
        elif what == "enter" and len(viewers) < len(starts):
            position = position_of(starts[len(viewers)])
            viewers.append(make_viewer(journal, FORMATS[name](RUN), position))
            viewers[-1].feed.enter()
        elif what == "read" and number < len(viewers):
            viewer = viewers[number]
            chunk = viewer.feed.read(viewer.place, journal.moved, size)
            received[number] += b"".join(viewer.take(chunk, now))
    assert list(map(without_partials, received)) == list(map(without_partials, expected))


@shared
@given(steps=logs, data=st.data())
def test_viewers_meet_behind_a_line(name, steps, data):
    """Wherever they began, once all have what there is, they are at one place."""
    journal = make_journal([*steps, (Kind.OUT, b"\n")], end=None)
    starts = data.draw(st.lists(st.sampled_from(cursors_of(journal)), min_size=2, max_size=4))
    viewers = [make_viewer(journal, FORMATS[name](RUN), position_of(each)) for each in starts]
    journal.add(Kind.OUT, b"next\n", 0)
    with entered(*viewers):
        for viewer in viewers:
            while viewer.feed.read(viewer.place).has_entries:
                step_of(viewer)
        assert len({viewer.place for viewer in viewers}) == 1


@shared
def test_those_at_one_place_are_sent_the_same_bytes(name):
    """Not equal ones: what is read and encoded once is in memory once."""
    journal = make_journal([(Kind.OUT, b"one\ntw")], end=None)
    viewers = gather(name, journal, 3)
    with entered(*viewers):
        for text in (b"o\nthree\n", b"four\n"):
            first, *others = [step_of(viewer) for viewer in viewers]
            assert any(first)
            assert all(a is b for other in others for a, b in zip(first, other, strict=True))
            assert len({viewer.place for viewer in viewers}) == 1
            journal.add(Kind.OUT, text, 0)


def test_one_who_comes_late_joins_the_others():
    """Though lines are written all the time, so that nobody ever sees the journal's end."""
    journal = make_journal([(Kind.OUT, b"%d\n" % number) for number in range(50)], end=None)
    early = make_viewer(journal, FORMATS["sse"](RUN))
    late = make_viewer(journal, FORMATS["sse"](RUN), journal.locate_line(20))
    with entered(early, late):
        for number in range(10):
            step_of(early)
            journal.add(Kind.OUT, b"%d\n" % number, 0)
            step_of(late)
            journal.add(Kind.OUT, b"%d\n" % number, 0)
            assert late.place == early.place


def test_what_was_not_there_is_looked_for_once():
    """As long as there are no news, whoever asks; then again."""
    journal = make_journal([(Kind.OUT, b"x\n")], end=None)
    viewers = gather("text", journal, 3)
    looks: list[int] = []
    scan = journal.scan

    def count(offset: int, size: int) -> Scan:
        looks.append(offset)
        return scan(offset, size)

    journal.scan = count  # type: ignore[assignment, method-assign]
    with entered(*viewers):
        for expected in (2, 4):
            for viewer in viewers:
                while step_of(viewer, journal.moved):
                    pass
            assert len(looks) == expected
            journal.add(Kind.OUT, b"y\n", 0)
            journal.notify()


def test_for_one_viewer_alone_nothing_is_kept():
    """A replay would pass all of it through memory that is in nobody's cache."""
    journal = make_journal([(Kind.OUT, b"x" * 1000)] * 10)
    (viewer,) = gather("text", journal, 1)
    with entered(viewer):
        while not viewer.finished:
            step_of(viewer)
    assert not viewer.feed._chunks


@pytest.mark.parametrize(("size", "count"), [(100_000, 100), (1, 300), (3_000_000, 3)])
def test_what_is_kept_for_followers_is_bounded(size, count):
    """In bytes and in chunks; one chunk that is larger is there for all who want it next."""
    journal = make_journal([], end=None)
    first, _ = gather("text", journal, 2)
    with entered(first, first):
        for _ in range(count):
            journal.add(Kind.OUT, b"x" * size, 0)
            step_of(first)
            kept = first.feed._chunks.values()
            kept_size = sum(len(part) for chunk in kept for part in chunk.parts)
            assert kept_size == first.feed._chunks_size
            assert kept_size <= max(KEPT_SIZE, size)
            assert 1 <= len(kept) <= KEPT_COUNT


def test_the_glimpse_of_a_line_is_written_once():
    """Its bytes are the same for all who are shown it."""
    journal = make_journal([(Kind.OUT, b"50%")], end=None)
    viewers = gather("sse", journal, 3)
    with entered(*viewers):
        written = [
            viewer.feed.partial(viewer.feed.read(viewer.place).place.state) for viewer in viewers
        ]
    assert written[0][0] == b"event: partial\ndata: 50%\n\n"
    assert written[0] is written[1] is written[2]


def test_formats_that_write_other_bytes_are_not_alike():
    """Marks are options of one response; what an access hook lets through, and a page, belong to it."""
    journal = make_journal([], end=None)
    marked = TextFormat(RUN, (5, "*** Interval\n"))
    forms: list[Format] = [*(form(RUN) for form in FORMATS.values()), marked]
    forms += [FORMATS["html"](RUN), TextFormat(RUN, (6, "*** Interval\n"))]
    for form in ACTIVITY_FORMATS.values():
        forms += [form(RUN, lambda _: True), form(RUN, lambda _: True)]
    feeds = [find_feed(journal, form) for form in forms]
    assert len(set(feeds)) == len(forms)
    assert find_feed(journal, TextFormat(RUN, (5, "*** Interval\n"))) is feeds[forms.index(marked)]
    assert find_feed(make_journal([]), marked) not in feeds


def test_a_feed_goes_with_its_viewers():
    """And the journal with the feed."""
    journal = make_journal([], end=None)
    watch = weakref.ref(find_feed(journal, FORMATS["sse"](RUN)))
    gone = weakref.ref(journal)
    del journal
    gc.collect()
    assert watch() is None
    assert gone() is None


def test_threads_that_want_the_same_chunk_wait_for_the_one_that_makes_it():
    """They do not all make it; and one that fails leaves the feed to the next."""
    journal = make_journal([(Kind.OUT, b"x\n")] * 10, end=None)
    viewers = gather("sse", journal, 8)
    calls: list[int] = []
    inside, scan = threading.Event(), journal.scan

    def fail_first(offset: int, size: int) -> Scan:
        calls.append(offset)
        if len(calls) == 1:
            inside.wait(30)
            raise OSError(5, "of the disk")
        return scan(offset, size)

    journal.scan = fail_first  # type: ignore[assignment, method-assign]
    results: list[object] = []

    def work(viewer: Viewer) -> None:
        try:
            results.append(step_of(viewer)[0])
        except OSError as error:
            results.append(error)

    threads = [threading.Thread(target=work, args=(viewer,)) for viewer in viewers]
    with entered(*viewers):
        for thread in threads:
            thread.start()
        inside.set()
        for thread in threads:
            thread.join(30)
    assert calls == [0, 0]
    assert len([each for each in results if isinstance(each, OSError)]) == 1
    assert len({id(each) for each in results if isinstance(each, bytes)}) == 1
    assert len(results) == 8
