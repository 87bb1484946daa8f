"""What is missing from a journal is told: how much, and to everybody, wherever they start."""

import errno
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlive.entries import BEGINNING, TEXT_KINDS, End, Gap, Kind, Position, State
from outlive.journals.base import Journal
from outlive.journals.disk import DiskJournal, writing
from outlive.journals.memory import ENTRY_COST, MemoryJournal, MemoryWriter
from outlive.journals.readers import Reader
from tests.journals.conftest import make_record
from tests.journals.model import (
    Lines,
    check_gaps,
    read_all,
    text_in,
    text_of,
    write,
    write_all,
    writes,
)

DONE = End(State.SUCCEEDED, exit_code=0)
many = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def places_in(journal: Journal) -> list[tuple[Position, int]]:
    """List every position that a reader may keep, with the bytes of text before it."""
    text, places = b"", []
    for entry in read_all(journal):
        size = entry.text_size if entry.kind in TEXT_KINDS else 0
        for byte in range(size + 1):
            line = entry.line + entry.text[:byte].count(b"\n") if size else entry.line
            places.append((Position(entry.offset, byte, line), len(text) + byte))
        if size:
            text += entry.text
        places.append((entry.after, len(text)))
    return places


def check_everywhere(journal: Journal, text: bytes, places: list[tuple[Position, int]]) -> None:
    """Check readers from the beginning, with old cursors, and those that ask for a line."""
    check_gaps(journal, text)
    for position, done in places[:: max(1, len(places) // 25)]:
        check_gaps(journal, text, position, done)
    known = Lines(read_all(journal)).whole
    for number, line in known.items():
        found = Lines(read_all(journal, start := journal.locate_line(number)), start.line)
        assert found.whole.get(number) == line
        assert {n: known.get(n) for n in found.whole} == found.whole


@many
@given(written=writes, later=writes, kept=st.integers(1, 200), ended=st.booleans())
def test_a_bound_on_memory_leaves_an_exact_gap(written, later, kept, ended):
    """When memory is full the oldest entries go; what went is counted to the last line."""
    journal = MemoryJournal(make_record(), kept_size=1 << 20)
    writer = MemoryWriter(journal)
    for kind, text in written:
        write(writer, kind, text)
    places = places_in(journal)
    journal._kept_size = kept
    for kind, text in later:
        write(writer, kind, text)
    if ended:
        writer.close(DONE)
    check_everywhere(journal, text_of(written + later), places)


def test_memory_stays_within_its_bound():
    """However much is written, what is kept is bounded, and the rest is counted as removed."""
    writer = MemoryWriter(MemoryJournal(make_record(), kept_size=100_000))
    for i in range(10_000):
        writer.append(Kind.OUT, b"%099d\n" % i)
    entries = read_all(writer.journal)
    assert sum(entry.text_size for entry in entries[1:]) <= 100_000
    gap = Gap.of(entries[0])
    assert gap == Gap(gap.lines, (gap.lines or 0) * 100, gap.lines, "removed")
    assert (gap.lines or 0) + len(entries[1:]) == 10_000


@pytest.mark.usefixtures("unsynced")
@many
@given(written=writes, later=writes, kept=st.integers(0, 3000), ended=st.booleans())
def test_removed_segments_leave_an_exact_gap(tmp_path, written, later, kept, ended):
    """When old segments go, readers old and new are told how many lines went with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SEGMENT_SIZE", 700)
        writer = DiskJournal.create(tmp_path, make_record())
        for kind, text in written + later:
            write(writer, kind, text)
        if ended:
            writer.close(DONE)
    journal = DiskJournal(writer.journal.folder)
    half = Reader(journal)
    given = half.read(500)
    places = places_in(journal)
    journal.remove_oldest(kept)
    if not ended:
        writer.release()
    text = text_of(written + later)
    check_everywhere(DiskJournal(journal.folder), text, places)
    # One that was reading when it happened.
    while entries := half.read():
        given += entries
    lines = Lines(given)
    assert lines.missing == lines.line - 1 - len(lines.whole)


def test_a_cut_line_is_told_as_soon_as_it_ends():
    """The rest of a line without beginning is counted when its end is there, not later."""
    journal = MemoryJournal(make_record())
    writer = MemoryWriter(journal)
    for text in (b"a", b"b", b"c\n"):
        writer.append(Kind.OUT, text)
    journal.remove_oldest(2 * ENTRY_COST + 100)
    gaps = [Gap.of(entry) for entry in read_all(journal)]
    assert gaps == [Gap(1, 2, 1, "removed"), Gap(0, 2, 0, "its line is cut")]


def fail_at_random(patch: pytest.MonkeyPatch, plan: list[int]) -> None:
    """Let writes fail as on a full disk: after so many bytes, where that is not negative."""
    real = os.writev

    def writev(fd: int, parts: tuple[bytes, ...]) -> int:
        room = plan.pop() if plan else -1
        if room < 0:
            return real(fd, parts)
        data = b"".join(parts)[:room]
        if data:
            os.write(fd, data)
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(os, "writev", writev)


@pytest.mark.usefixtures("unsynced")
@many
@given(
    written=writes,
    plan=st.lists(st.one_of(st.just(-1), st.integers(0, 400)), max_size=20),
    ended=st.booleans(),
    at_once=st.integers(1, 12),
)
def test_entries_that_could_not_be_written_are_counted(tmp_path, written, plan, ended, at_once):
    """Writes that fail, or fail halfway, leave an exact gap, also where lines are unfinished."""
    troubles: list[OSError] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SEGMENT_SIZE", 900)
        patch.setattr(writing, "_RETRY_SECONDS", 0.0)
        writer = DiskJournal.create(tmp_path, make_record())
        writer.on_trouble = troubles.append
        fail_at_random(patch, plan)
        write_all(writer, written, at_once)
        while plan and plan[-1] >= 0:
            plan.pop()
        del plan[:]
        if ended:
            writer.close(DONE)
        else:
            writer.append(Kind.STAGE, b"{}")
            writer.release()
    journal = DiskJournal(writer.journal.folder)
    text = text_of(written)
    check_everywhere(journal, text, [(BEGINNING, 0)])
    entries = read_all(journal)
    assert entries[-1].kind is (Kind.END if ended else Kind.STAGE)
    gaps = [Gap.of(entry) for entry in entries if entry.kind is Kind.GAP]
    assert len(troubles) <= len(gaps) + 1
    stored = sum(entry.kind is not Kind.GAP for entry in entries[:-1])
    wrote = sum(bool(text) or kind not in TEXT_KINDS for kind, text in written)
    if not gaps:
        assert stored == wrote
        assert text_in(entries) == text


def test_trouble_may_be_told_in_the_run_itself(tmp_path, monkeypatch):
    """Whoever is told that entries are lost may write to the run: nothing waits for itself."""
    writer = DiskJournal.create(tmp_path, make_record())
    writer.on_trouble = lambda error: writer.append(Kind.ERR, str(error).encode())
    with monkeypatch.context() as patch:
        fail_at_random(patch, [10])
        writer.append(Kind.OUT, b"lost\n")
    writer.close(DONE)
    gap = Gap.of(read_all(writer.journal)[0])
    assert gap.entries == 2
    assert gap.reason == "no space left on device"


def test_a_steady_flood_is_stored_again_after_a_failure(tmp_path, monkeypatch):
    """Output that never pauses does not keep the writer from trying again."""
    monkeypatch.setattr(writing, "_RETRY_SECONDS", 0.05)
    writer = DiskJournal.create(tmp_path, make_record())
    with monkeypatch.context() as patch:
        fail_at_random(patch, [10])
        writer.append(Kind.OUT, b"lost\n")
    count = 0
    while writer._missing.entries:
        writer.append(Kind.OUT, b"x\n")
        count += 1
        assert count < 10_000_000
    writer.close(DONE)
    entries = read_all(writer.journal)
    assert [entry.kind for entry in entries] == [Kind.GAP, Kind.OUT, Kind.END]
    assert Gap.of(entries[0]).lines == count


def test_an_end_that_fails_halfway_is_written_again(tmp_path, monkeypatch):
    """Behind torn bytes nothing is appended: the end goes to a new segment."""
    writer = DiskJournal.create(tmp_path, make_record())
    writer.append(Kind.OUT, b"x\n")
    fail_at_random(monkeypatch, [50])
    writer.close(DONE)
    journal = DiskJournal(writer.journal.folder)
    entries = read_all(journal)
    assert [entry.kind for entry in entries] == [Kind.OUT, Kind.END]
    assert End.of(entries[-1]) == DONE


def test_of_entries_written_at_once_those_that_fit_are_kept(tmp_path, monkeypatch):
    """Where a write ends early, what is there as a whole is stored, and only the rest missing."""
    monkeypatch.setattr(writing, "_RETRY_SECONDS", 0.0)
    writer = DiskJournal.create(tmp_path, make_record())
    with monkeypatch.context() as patch:
        fail_at_random(patch, [200])
        writer.append_all([(Kind.OUT, b"%d\n" % number, 0) for number in range(4)])
    writer.close(DONE)
    entries = read_all(DiskJournal(writer.journal.folder))
    found = [Gap.of(entry) if entry.kind is Kind.GAP else entry.payload for entry in entries[:-1]]
    assert found == [b"0\n", b"1\n", Gap(1, 2, 1, "no space left on device"), b"3\n"]
