"""A journal on a disk that loses or changes bytes: gaps, never a wrong line, never a crash."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from outlive.entries import TEXT_KINDS, End, Kind, Position, RunRecord, State
from outlive.errors import JournalUnavailable
from outlive.journals.disk import DiskJournal, DiskWriter, writing
from outlive.journals.disk.segments import HEADER_SIZE, MAGIC
from outlive.journals.readers import Reader
from tests.journals.model import LOG_HEAD, Lines, check_against, read_all, text_in

DONE = End(State.SUCCEEDED, exit_code=0)
TEXT = [b"a\nbc\n", b"d", b"e\n\nf\n", "gé€\n".encode(), b"h", b"i\n"]


@pytest.fixture(params=[True, False], ids=["finished", "unfinished"])
def folder(request, tmp_path, monkeypatch, unsynced) -> Path:
    """Make a small journal in several segments, whose writer is gone."""
    monkeypatch.setattr(writing, "SEGMENT_SIZE", 480)
    writer = DiskJournal.create(tmp_path, RunRecord(id="0" * 20, title="", started_at=1))
    fill(writer)
    if request.param:
        writer.close(DONE)
    else:
        writer.release()
    return writer.journal.folder


def fill(writer: DiskWriter) -> None:
    """Write the text, in entries of several kinds."""
    for i, text in enumerate(TEXT):
        if i == 2:
            writer.append(Kind.STAGE, b"{}")
        kind = (Kind.OUT, Kind.LOG, Kind.ERR)[i % 3]
        writer.append(kind, LOG_HEAD + text if kind is Kind.LOG else text)


def segments_in(folder: Path) -> list[Path]:
    """List a journal's files in order."""
    return sorted(folder.glob("*.journal"))


def check_damaged(folder: Path) -> None:
    """Check what a new reader gets, and that the run has its end, which says if lines went."""
    before = set(segments_in(folder))
    journal = DiskJournal(folder)
    journal.start()
    journal.settle()
    entries = read_all(journal)
    lines = Lines(entries)
    text = b"".join(TEXT)
    check_against(text, lines)
    assert [entry.kind for entry in entries].count(Kind.END) == 1
    end = End.of(entries[-1])
    lost = end.state is State.LOST
    assert end == DONE or lost
    complete = len(lines.whole) == text.count(b"\n")
    assert complete or lines.gaps or lost
    if not lost:
        assert lines.missing == text.count(b"\n") - len(lines.whole)
    for number in list(lines.whole)[-2::-3]:
        found = Lines(read_all(journal, start := journal.locate_line(number)), start.line)
        assert found.whole.get(number) == lines.whole[number]
    for path in set(segments_in(folder)) - before:
        path.unlink()


def flips(path: Path, *, every_bit: bool) -> Iterator[None]:
    """Flip the bits of a file, as long as it is now, one at a time; of each byte all or one."""
    content = path.read_bytes()

    def flip() -> Iterator[None]:
        with path.open("r+b", buffering=0) as file:
            for place, byte in enumerate(content):
                for bit in range(8) if every_bit else (place % 8,):
                    os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                    yield
                os.pwrite(file.fileno(), content[place : place + 1], place)

    return flip()


def check_flips(folder: Path, *, every_bit: bool) -> None:
    """Check the journal with each of these bits flipped, and once more with none."""
    for path in segments_in(folder):
        for _ in flips(path, every_bit=every_bit):
            check_damaged(folder)
    check_damaged(folder)


def test_the_journal_here_has_several_segments(folder):
    """The journals of these tests are small and have segments enough to break."""
    assert len(segments_in(folder)) >= 3
    assert sum(path.stat().st_size for path in segments_in(folder)) < 3000


def test_a_flipped_bit_costs_at_most_the_lines_it_hit(folder):
    """With one bit of any byte flipped, lines are right or missing, and what is missing is told."""
    check_flips(folder, every_bit=False)


@pytest.mark.torture
def test_every_flipped_bit(folder):
    """The same with every bit of every byte."""
    check_flips(folder, every_bit=True)


def test_a_journal_cut_anywhere(folder):
    """With any of its files cut at any byte, lines are right or missing, and that is told."""
    for path in segments_in(folder):
        content = path.read_bytes()
        for size in range(len(content)):
            os.truncate(path, size)
            check_damaged(folder)
            path.write_bytes(content)


def test_a_journal_without_one_of_its_files(folder):
    """With any file gone, the lines of the others are there under their own numbers."""
    for path in segments_in(folder):
        content = path.read_bytes()
        path.unlink()
        check_damaged(folder)
        path.write_bytes(content)


def test_a_cursor_at_a_cut(folder):
    """Who resumes where a file was cut, even between two entries, is told that something misses."""
    for path in segments_in(folder)[:-1]:
        content = path.read_bytes()
        in_file = [entry for entry in read_all(DiskJournal(folder)) if entry.kind in TEXT_KINDS]
        base = int(path.stem.partition("-")[2], 16)
        first = next(entry for entry in in_file if entry.offset > base)
        os.truncate(path, first.offset - base)
        lines = Lines(
            read_all(DiskJournal(folder), Position(first.offset, 0, first.line)), first.line
        )
        assert lines.gaps
        path.write_bytes(content)


def test_a_journal_whose_files_are_all_garbage(folder):
    """Where nothing is left that tells what the run is, that is one clear error."""
    for path in segments_in(folder):
        path.write_bytes(MAGIC * 100)
    journal = DiskJournal(folder)
    with pytest.raises(JournalUnavailable, match=r"nothing in .* tells what run"):
        journal.start()
    journal.settle()
    assert [entry.kind for entry in read_all(journal)] == [Kind.END]


def test_a_file_that_cannot_be_read(folder):
    """A folder where a file should be is an error of ours, not of the operating system."""
    path = segments_in(folder)[0]
    path.unlink()
    path.mkdir()
    with pytest.raises(JournalUnavailable, match="cannot read"):
        read_all(DiskJournal(folder))


@pytest.mark.parametrize("turn", [1, 300, 700])
def test_bits_that_flip_while_the_run_lives(tmp_path, monkeypatch, turn):
    """A reader that is under way when a bit flips gets right lines, and all that comes later."""
    monkeypatch.setattr(writing, "SEGMENT_SIZE", 480)
    writer = DiskJournal.create(tmp_path, RunRecord(id="0" * 20, title="", started_at=1))
    fill(writer)
    monkeypatch.undo()
    text = b"".join(TEXT)
    folder = writer.journal.folder
    for flipping in [flips(path, every_bit=False) for path in segments_in(folder)]:
        for _ in islice(flipping, turn % 7, None, 7):
            journal = DiskJournal(folder)
            reader = Reader(journal)
            given = reader.read(turn)
            writer.append(Kind.OUT, b"new\n")
            text += b"new\n"
            while entries := reader.read():
                given += entries
            lines = Lines(given)
            check_against(text, lines)
            assert lines.line == text.count(b"\n") + 1
            assert lines.missing == lines.line - 1 - len(lines.whole)
            assert given[-1].text == b"new\n"
    writer.close(DONE)


def test_output_that_looks_like_a_journal_changes_nothing(tmp_path, monkeypatch):
    """Output may hold the journal's own bytes, at any place, also where it is damaged before."""
    monkeypatch.setattr(writing, "SEGMENT_SIZE", 20_000)
    writer = DiskJournal.create(tmp_path, RunRecord(id="0" * 20, title="", started_at=1))
    text = b""
    for i in range(12):
        copies = b"".join(path.read_bytes() for path in segments_in(writer.journal.folder)[-2:])
        part = b"%d\n" % i + MAGIC * 50 + copies[:9000] + b"\n"
        writer.append(Kind.OUT, part)
        text += part
    writer.close(DONE)
    folder = writer.journal.folder
    journal = DiskJournal(folder)
    assert text_in(read_all(journal)) == text
    for count in range(1, 40):
        expected = b"\n".join(text.split(b"\n")[-count - 1 :])
        assert text_in(read_all(journal, journal.locate_tail(count))) == expected
    for path in segments_in(folder):
        content = path.read_bytes()
        start = HEADER_SIZE + len(journal.start().payload)
        path.write_bytes(content[:start] + b"!" + content[start + 1 :])
        lines = Lines(read_all(DiskJournal(folder)))
        check_against(text, lines)
        assert lines.gaps
        assert lines.missing == text.count(b"\n") - len(lines.whole)
        path.write_bytes(content)


def test_a_damaged_end_is_none(folder):
    """An end whose words are damaged counts as missing: the run is lost, and says so once."""
    path = segments_in(folder)[-1]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"!")
    journal = DiskJournal(folder)
    assert journal.end() is None
    journal.settle()
    end = journal.end()
    assert end is not None
    assert End.of(end).state is State.LOST
    assert DiskJournal(folder).end() == end


def test_a_record_is_made_up_where_it_is_damaged(tmp_path):
    """A run whose record is damaged keeps its lines, and its title says what happened."""
    writer = DiskJournal.create(tmp_path, RunRecord(id="0" * 20, title="a run", started_at=1))
    writer.append(Kind.OUT, b"x\n")
    writer.close(DONE)
    path = segments_in(writer.journal.folder)[0]
    path.write_bytes(b"!" + path.read_bytes()[1:])
    journal = DiskJournal(writer.journal.folder)
    record = RunRecord.of(journal.start(), journal.end())
    assert record.id == "0" * 20
    assert "damaged" in record.title
    assert record.end == DONE
    assert text_in(read_all(journal)) == b"x\n"


def test_a_damaged_last_entry_is_told_by_a_gap(folder):
    """Whoever takes over behind bytes that are no entry says that something is missing there."""
    journal = DiskJournal(folder)
    last = read_all(journal)[-1]
    path = segments_in(folder)[-1]
    place = last.offset - int(path.stem.partition("-")[2], 16)
    content = path.read_bytes()
    path.write_bytes(content[:place] + b"!" + content[place + 1 :])
    journal = DiskJournal(folder)
    journal.settle()
    assert [entry.kind for entry in read_all(journal)][-2:] == [Kind.GAP, Kind.END]


def test_damage_is_noticed_after_a_first_reading(folder):
    """What was checked is not checked again, unless the file was written to since."""
    (path, *_) = segments_in(folder)
    # Long ago: of a file that was written just now, nothing is taken for granted.
    os.utime(path, (1, 1))
    assert text_in(read_all(DiskJournal(folder))).startswith(b"a\n")
    content = path.read_bytes()
    place = content.index(b"a\nbc\n")
    path.write_bytes(content[:place] + b"b" + content[place + 1 :])
    entries = read_all(DiskJournal(folder))
    assert entries[0].kind is Kind.GAP
    path.write_bytes(content)
    os.utime(path, (1, 1))
    assert read_all(DiskJournal(folder))[0].payload == b"a\nbc\n"
