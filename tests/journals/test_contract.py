"""What every journal does, wherever it keeps its entries."""

import contextlib
import re
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlive.entries import BEGINNING, TEXT_KINDS, Cursor, End, Kind, Position, State
from outlive.errors import CursorExpired, RunFinished
from outlive.journals.base import ENTRY_SIZE, JournalWriter
from outlive.journals.readers import Reader
from tests.helpers import eventually
from tests.journals.model import (
    LOG_HEAD,
    Lines,
    count_calls,
    read_all,
    text_in,
    text_of,
    write,
    write_all,
    writes,
)

DONE = End(State.SUCCEEDED, exit_code=0)
# The fixture only makes new journals: it may be used for many examples.
many = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def fill(create, written, *, end=False) -> JournalWriter:
    """Make a journal with these entries."""
    writer: JournalWriter = create()
    for kind, text in written:
        write(writer, kind, text)
    if end:
        writer.close(DONE)
    return writer


@many
@given(written=writes, size=st.integers(1, 3000))
def test_entries_are_read_as_they_were_written(create, written, size):
    """What is read, in turns of any size, is what was appended, in order, and then the end."""
    journal = fill(create, written, end=True).journal
    entries = read_all(journal, size=size)
    assert [entry.kind for entry in entries] == [
        kind for kind, text in written if text or kind not in TEXT_KINDS
    ] + [Kind.END]
    assert text_in(entries) == text_of(written)
    assert End.of(entries[-1]) == DONE


@many
@given(written=writes, at_once=st.integers(1, 12), large=st.booleans())
def test_many_entries_at_once_are_the_same_as_one_by_one(create, written, at_once, large):
    """Whatever is appended together, what is read differs in nothing but the time."""
    if large:
        written = [*written, (Kind.OUT, b"x\n" * ENTRY_SIZE), (Kind.STAGE, b"")]
    single, several = create(), create()
    write_all(single, written, 1)
    write_all(several, written, at_once)
    assert [entry._replace(time=0, monotonic=0) for entry in read_all(several.journal)] == [
        entry._replace(time=0, monotonic=0) for entry in read_all(single.journal)
    ]


@many
@given(written=writes)
def test_entries_are_numbered(create, written):
    """Each entry knows its line, the text before it, and whether a line is unfinished."""
    before = b""
    for entry in read_all(fill(create, written, end=True).journal):
        assert entry.line == before.count(b"\n") + 1
        assert entry.text_before == len(before)
        assert entry.opens == (before[-1:] not in (b"", b"\n"))
        if entry.kind in TEXT_KINDS:
            before += entry.text
            assert entry.newlines == entry.text.count(b"\n")
            assert entry.text_size == len(entry.text)
        assert entry.leaves_open == (before[-1:] not in (b"", b"\n"))


def test_sequence_numbers_count_entries(create):
    """Entries of all kinds are counted, from zero, without a hole."""
    writer = fill(create, [(Kind.OUT, b"x\n"), (Kind.STAGE, b""), (Kind.ERR, b"y")] * 20, end=True)
    assert [entry.sequence for entry in read_all(writer.journal)] == list(range(61))


@many
@given(written=writes, ended=st.booleans())
def test_resuming_at_any_byte_gives_exactly_the_rest(create, written, ended):
    """A reader that starts at any byte of any entry gets what follows, with its line numbers."""
    journal = fill(create, written, end=ended).journal
    text = text_of(written)
    for entry in read_all(journal):
        for byte in range(entry.text_size + 1 if entry.kind in TEXT_KINDS else 1):
            done = entry.text_before + byte
            line = text[:done].count(b"\n") + 1
            rest = read_all(journal, Position(entry.offset, byte, line))
            assert text_in(rest) == text[done:]
            check = Lines(rest, line)
            assert not check.gaps
            assert check.line == text.count(b"\n") + 1
        assert (
            text_in(read_all(journal, entry.after)) == text[entry.text_before + entry.text_size :]
        )


@many
@given(written=writes)
def test_cursors_sort_as_the_journal_does(create, written):
    """Cursors are tokens that come back as they were, and sort as text as they sort in time."""
    journal = fill(create, written, end=True).journal
    positions = []
    for entry in read_all(journal):
        positions += [
            Position(entry.offset, byte, entry.line + entry.text[:byte].count(b"\n"))
            for byte in range(entry.text_size)
            if entry.kind in TEXT_KINDS
        ]
        positions.append(entry.after)
    tokens = [str(Cursor(journal.run, position)) for position in positions]
    assert tokens == sorted(tokens)
    assert [Cursor.parse(token).position for token in tokens] == positions


@many
@given(written=writes, ended=st.booleans())
def test_every_line_can_be_found(create, written, ended):
    """Starting at a line gives the text from there on; at one that is not there, nothing."""
    journal = fill(create, written, end=ended).journal
    text = text_of(written)
    lines = text.split(b"\n")
    for line in range(len(lines) + 3):
        position = journal.locate_line(line)
        assert text_in(read_all(journal, position)) == b"\n".join(lines[max(line - 1, 0) :])
        assert position.line == min(max(line, 1), len(lines))


@many
@given(written=writes, ended=st.booleans())
def test_the_last_lines_can_be_found(create, written, ended):
    """A tail is so many lines, an unfinished one among them; none is the end."""
    journal = fill(create, written, end=ended).journal
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text_of(written))
    for count in range(len(lines) + 3):
        found = text_in(read_all(journal, journal.locate_tail(count)))
        assert found == b"".join(lines[max(0, len(lines) - count) :] if count else [])


@pytest.mark.parametrize("ended", [True, False])
def test_a_time_can_be_found(create, ended):
    """Starting at a time gives the first entry that is not older, and always the end."""
    journal = fill(create, [(Kind.OUT, b"%d\n" % i) for i in range(30)], end=ended).journal
    entries = read_all(journal)
    for entry in entries:
        later = [other for other in entries if other.time >= entry.time]
        found = read_all(journal, journal.locate_time(entry.time))
        assert [other.sequence for other in found] == [other.sequence for other in later]
    assert journal.locate_time(0) == BEGINNING
    kinds = [entry.kind for entry in read_all(journal, journal.locate_time(entries[-1].time + 1))]
    assert kinds == ([Kind.END] if ended else [])


@pytest.mark.parametrize("ended", [True, False])
def test_the_end_can_be_found(create, ended):
    """Starting at the end shows what comes later, and how a run that is over ended."""
    writer = fill(create, [(Kind.OUT, b"a\nb")], end=ended)
    position = writer.journal.locate_end()
    assert position.line == 2
    if not ended:
        writer.append(Kind.OUT, b"c\n")
    kinds = [entry.kind for entry in read_all(writer.journal, position)]
    assert kinds == [Kind.END if ended else Kind.OUT]


def test_the_record_and_the_end_are_known(create):
    """A journal tells what its run is, and how it ended once it did."""
    writer = create()
    assert writer.journal.start().data["title"] == "a run"
    assert writer.journal.end() is None
    writer.close(DONE)
    assert End.of(writer.journal.end()) == DONE


def test_nothing_follows_the_end(create):
    """After the end nothing is appended, by nobody, nor can the run be asked to end."""
    writer = fill(create, [], end=True)
    with pytest.raises(RunFinished):
        writer.append(Kind.OUT, b"late\n")
    with pytest.raises(RunFinished):
        writer.close(DONE)
    with pytest.raises(RunFinished):
        writer.journal.request_cancel()
    assert [entry.kind for entry in read_all(writer.journal)] == [Kind.END]


def test_many_threads_end_with_one_end(create):
    """While threads write, one ends the run: the end is the last entry and the only one."""
    writer = create()

    def work() -> None:
        with contextlib.suppress(RunFinished):
            while True:
                writer.append(Kind.OUT, b"x\n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: writer.journal.tail()[0].line > 50)
    writer.close(DONE)
    for thread in threads:
        thread.join()
    entries = read_all(writer.journal)
    assert [entry.sequence for entry in entries] == list(range(len(entries)))
    assert [entry.kind for entry in entries].index(Kind.END) == len(entries) - 1


@pytest.mark.parametrize("kind", [Kind.OUT, Kind.LOG])
@pytest.mark.parametrize("piece", ["x", "é", "€", "𝄞", "a𝄞"])
def test_long_text_is_cut_between_characters(create, kind, piece):
    """Text of more than 256 KiB becomes entries of at most that size that cut no character."""
    text = piece.encode() * (700_000 // len(piece.encode())) + b"\n"
    journal = fill(create, [(kind, text)]).journal
    entries = read_all(journal)
    assert text_in(entries) == text
    assert 3 <= len(entries) <= 6
    for entry in entries:
        assert len(entry.payload) <= ENTRY_SIZE
        entry.text.decode()
        assert kind is not Kind.LOG or entry.payload.startswith(LOG_HEAD)


def test_a_log_entry_with_an_endless_head_is_cut(create):
    """A logger with a name that is larger than an entry loses nothing and stops nothing."""
    writer = create()
    head = b'{"logger": "%b"}\n' % (b"x" * 300_000)
    writer.append(Kind.LOG, head + b"y" * 300_000)
    assert text_in(read_all(writer.journal)) == b"y" * 300_000


def test_bytes_that_are_no_text_are_kept(create):
    """Bytes that are no UTF-8 are cut where the size says, and kept as they are."""
    noise = bytes(range(128, 192)) * 9000
    assert text_in(read_all(fill(create, [(Kind.OUT, noise)]).journal)) == noise


def test_a_line_of_50_megabytes(create):
    """An endless line is stored and read in pieces, and is one line."""
    writer = create()
    piece = b"0123456789" * 52_000
    for _ in range(100):
        writer.append(Kind.OUT, piece)
    writer.append(Kind.OUT, b"\nnext\n")
    reader = Reader(writer.journal)
    size, newlines = 0, 0
    while entries := reader.read():
        assert sum(len(entry.payload) for entry in entries) <= 3 * ENTRY_SIZE
        size += sum(entry.text_size for entry in entries)
        newlines += sum(entry.newlines for entry in entries)
    assert (size, newlines) == (52_000_000 + 6, 2)
    assert text_in(read_all(writer.journal, writer.journal.locate_line(2))) == b"next\n"


def test_a_million_empty_lines(create):
    """Lines may be empty, and many; each has its number."""
    writer = fill(create, [(Kind.OUT, b"\n" * 1_000_000), (Kind.OUT, b"end")])
    assert read_all(writer.journal)[-1].line == 1_000_001
    position = writer.journal.locate_line(999_990)
    assert text_in(read_all(writer.journal, position)) == b"\n" * 11 + b"end"


def test_watchers_are_woken_until_they_stop(create):
    """Every append and the end wake who watches; who stopped hears no more."""
    writer = create()
    calls, callback = count_calls()
    others, other = count_calls()
    stop, stop_other = writer.journal.watch(callback), writer.journal.watch(other)
    writer.append(Kind.OUT, b"x\n")
    eventually(lambda: calls and others)
    stop()
    stop()
    heard, before = len(calls), len(others)
    writer.append(Kind.OUT, b"y\n")
    eventually(lambda: len(others) > before)
    before = len(others)
    writer.close(DONE)
    eventually(lambda: len(others) > before)
    stop_other()
    assert len(calls) == heard


def test_news_are_told_apart_from_none(create):
    """Each is another object, also to begin to watch: what came before, nobody may have told."""
    journal = create().journal
    seen = [journal.moved]
    stop = journal.watch(lambda: seen.append(journal.moved))
    seen.append(journal.moved)
    journal.notify()
    assert len(set(seen)) == 3
    assert journal.moved is seen[-1]
    stop()


def test_no_wake_up_is_lost(create):
    """A reader that sleeps between looks until woken gets everything, however it is timed."""
    writer = create()
    bell = threading.Event()
    stop = writer.journal.watch(bell.set)
    thread = threading.Thread(
        target=lambda: (
            [writer.append(Kind.OUT, b"%d\n" % i) for i in range(3000)] and writer.close(DONE)
        )
    )
    thread.start()
    reader, found = Reader(writer.journal), b""
    while not reader.ended:
        bell.clear()
        entries = reader.read()
        found += text_in(entries)
        if not entries and not reader.ended:
            assert bell.wait(20), "nobody rang"
    thread.join()
    stop()
    assert found == b"".join(b"%d\n" % i for i in range(3000))


def test_a_run_is_asked_to_end(create):
    """A request to cancel wakes who waits for one and is remembered; the end wakes, too."""
    writer = create()
    calls, callback = count_calls()
    stop = writer.journal.watch_life(callback)
    assert not writer.journal.cancel_requested()
    writer.journal.request_cancel()
    eventually(lambda: calls)
    assert writer.journal.cancel_requested()
    del calls[:]
    writer.close(DONE)
    eventually(lambda: calls)
    stop()
    stop()


def test_readers_of_a_living_run_follow_it(create):
    """A reader at the head gets each entry once it is there, and is told when nothing follows."""
    writer = create()
    reader = Reader(writer.journal)
    for i in range(40):
        assert reader.read() == []
        writer.append(Kind.OUT, b"%d\n" % i)
        assert [entry.text for entry in reader.read()] == [b"%d\n" % i]
    writer.close(DONE)
    assert not reader.ended
    assert [entry.kind for entry in reader.read()] == [Kind.END]
    assert reader.ended
    assert reader.read() == []


@pytest.mark.parametrize(
    "token", ["", "x", "0" * 46, "g" * 20 + "-" + "0" * 26, "0" * 20 + "-" + "0" * 26 + "\n", "é"]
)
def test_garbage_is_no_cursor(token):
    """What no journal can have issued is refused."""
    with pytest.raises(CursorExpired):
        Cursor.parse(token)


@many
@given(
    written=writes,
    offset=st.integers(0, 5000),
    byte=st.integers(0, 100),
    line=st.integers(0, 50),
)
def test_a_forged_position_shows_no_wrong_line_number(create, written, offset, byte, line):
    """Who makes up a cursor gets some rest of the journal, and every entry with its own line."""
    journal = fill(create, written, end=True).journal
    text = text_of(written)
    for entry in read_all(journal, Position(offset, byte, line)):
        if entry.kind in TEXT_KINDS:
            assert entry.line == text[: entry.text_before].count(b"\n") + 1
            assert text[entry.text_before :].startswith(entry.text)


def test_a_journal_knows_the_views_that_showed_it(create):
    """However long their paths are, and whatever is in them."""
    journal = create().journal
    views = ["/", "/stream", "/" + "x" * 5000, "/\0\udc80é/.."]
    assert not any(map(journal.has_view, views))
    for count, view in enumerate(views, 1):
        journal.add_view(view)
        journal.add_view(view)
        assert [journal.has_view(other) for other in views] == [i < count for i in range(4)]
