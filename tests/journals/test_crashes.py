"""Writers that die, disks that fill up, and readers in other processes: real ones, all of them."""

import contextlib
import errno
import gc
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlive import platforms
from outlive.entries import End, Gap, Kind, State
from outlive.errors import JournalUnavailable, RunFinished
from outlive.journals.disk import DiskJournal
from outlive.journals.disk.writing import LOCK, lock_folder
from outlive.journals.readers import Reader
from tests.helpers import eventually
from tests.journals.conftest import make_record
from tests.journals.model import Lines, count_calls, open_descriptors, read_all, text_in
from tests.journals.programs import answer, ask, start, stop

DONE = End(State.SUCCEEDED, exit_code=0)


@pytest.fixture
def program() -> Iterator:
    """Start programs; what is left of them is killed."""
    with contextlib.ExitStack() as stack:

        def run(name: str, *arguments: object) -> subprocess.Popen[bytes]:
            process = start(name, *arguments)
            stack.callback(stop, process)
            return process

        yield run


def state_of(journal: DiskJournal) -> State | None:
    """Get the state that a journal's end tells, once somebody has looked after it."""
    journal.settle()
    end = journal.end()
    return End.of(end).state if end else None


def kill_again_and_again(program, root: Path, times: int) -> None:
    """Kill a writer at random moments, while several processes follow it."""
    followers = [program("follow") for _ in range(3)]
    for _ in range(times):
        writer = program("flood", root)
        folder = Path(answer(writer))
        for follower in followers:
            ask(follower, folder)
        size = random.randrange(0, 400_000)
        eventually(lambda: sum(path.stat().st_size for path in folder.glob("*.journal")) >= size)  # noqa: B023
        writer.kill()
        writer.wait()
        results = [answer(follower) for follower in followers]
        text = text_in(entries := read_all(DiskJournal(folder)))
        assert [entry.kind for entry in entries].count(Kind.END) == 1
        assert not any(entry.kind is Kind.GAP for entry in entries)
        expected = b"".join(b"%d\n" % i for i in range(text.count(b"\n") + 1))
        assert expected.startswith(text)
        for result in results:
            assert result["text"].encode() == text
            assert result["ends"] == [State.LOST]
            assert result["after"] == list(entries[-1].after)


def test_a_writer_killed_at_any_moment_loses_nothing_received(program, tmp_path):
    """What readers got is there, the run is lost exactly once, and they all get to that end."""
    kill_again_and_again(program, tmp_path, 15)


@pytest.mark.torture
def test_a_writer_killed_fifty_times(program, tmp_path):
    """The same, more often."""
    kill_again_and_again(program, tmp_path, 50)


def test_a_torn_entry_is_left_behind(program, tmp_path):
    """What a dying writer began and did not finish is never shown; the end goes elsewhere."""
    writer = program("obey", tmp_path)
    folder = Path(answer(writer))
    ask(writer, "one")
    ask(writer, "two")
    eventually(lambda: text_in(read_all(DiskJournal(folder))) == b"one\ntwo\n")
    stop(writer)
    (path,) = folder.glob("*.journal")
    os.truncate(path, path.stat().st_size - 2)
    journal = DiskJournal(folder)
    assert state_of(journal) is State.LOST
    assert [entry.kind for entry in read_all(journal)] == [Kind.OUT, Kind.END]
    assert text_in(read_all(DiskJournal(folder))) == b"one\n"
    assert len(list(folder.glob("*.journal"))) == 2


def test_a_second_writer_is_refused(tmp_path):
    """While one writes, nobody else does, in this process or another; its run is not lost."""
    writer = DiskJournal.create(tmp_path, make_record())
    with pytest.raises(JournalUnavailable, match="written by another process"):
        lock_folder(writer.folder)
    with pytest.raises(JournalUnavailable):
        DiskJournal(writer.folder)._take_over()
    assert state_of(DiskJournal(writer.folder)) is None
    writer.close(DONE)
    assert state_of(DiskJournal(writer.folder)) is State.SUCCEEDED


def test_who_comes_too_late_to_take_over_adds_no_second_end(tmp_path):
    """Between noticing that a writer is gone and taking its place, another may have done it."""
    DiskJournal.create(tmp_path, make_record()).release()
    (folder,) = tmp_path.iterdir()
    first, second = DiskJournal(folder), DiskJournal(folder)
    assert second.end() is None
    assert state_of(first) is State.LOST
    assert second._take_over() is None
    assert state_of(second) is State.LOST
    assert [entry.kind for entry in read_all(second)] == [Kind.END]


def test_a_forked_child_neither_writes_nor_unlocks(program, tmp_path):
    """A child of the writer is refused, and its leaving does not let go of the lock."""
    process = program("fork", tmp_path)
    folder = Path(answer(process))
    assert answer(process) == {"status": 0, "locked": True}
    assert state_of(DiskJournal(folder)) is None
    ask(process, "go on")
    assert process.wait(30) == 0
    journal = DiskJournal(folder)
    assert text_in(read_all(journal)) == b"before\nafter\n"
    assert state_of(journal) is State.SUCCEEDED


def test_a_lock_that_a_child_inherited_hides_no_death(program, tmp_path):
    """The writer's own life counts; while its child keeps the lock, the end is answered unstored."""
    process = program("lend_lock", tmp_path)
    folder = Path(answer(process))
    child = answer(process)
    assert state_of(DiskJournal(folder)) is None
    process.kill()
    process.wait()
    journal = DiskJournal(folder)
    try:
        assert state_of(journal) is State.LOST
        assert [entry.kind for entry in read_all(journal)] == [Kind.OUT, Kind.END]
        assert len(list(folder.glob("*.journal"))) == 1
    finally:
        os.kill(child, 9)
    eventually(lambda: not is_lock_held(folder))
    later = DiskJournal(folder)
    assert state_of(later) is State.LOST
    assert len(list(folder.glob("*.journal"))) == 2
    assert [entry.kind for entry in read_all(later)] == [Kind.OUT, Kind.END]
    assert journal.end() == later.end()


def is_lock_held(folder: Path) -> bool:
    """Tell whether anybody holds the lock of a journal."""
    with (folder / LOCK).open("rb") as file:
        return platforms.is_locked(file.fileno())


@pytest.fixture(params=[errno.EACCES, errno.EROFS])
def read_only(request, monkeypatch) -> Callable[[], None]:
    """Let nobody in this process write below folders called `runs`, as some other user."""
    real = os.open

    def open_to_read(path, flags, *rest, **options) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and "runs" in Path(path).parts:
            raise OSError(request.param, os.strerror(request.param), str(path))
        return real(path, flags, *rest, **options)

    def forbid() -> None:
        monkeypatch.setattr(os, "open", open_to_read)

    return forbid


def test_who_may_not_write_sees_whether_the_writer_lives(read_only, program, tmp_path):
    """A living run is not taken for lost by a reader that may only read."""
    (tmp_path / "runs").mkdir()
    writer = program("obey", tmp_path / "runs")
    folder = Path(answer(writer))
    read_only()
    assert state_of(DiskJournal(folder)) is None
    with pytest.raises(JournalUnavailable, match="cannot ask run"):
        DiskJournal(folder).request_cancel()


def test_who_may_not_write_answers_an_end_that_is_not_stored(
    read_only, program, tmp_path, monkeypatch
):
    """The run is lost for all who look; positions stay the same; later the end is stored."""
    (tmp_path / "runs").mkdir()
    writer = program("obey", tmp_path / "runs")
    folder = Path(answer(writer))
    ask(writer, "one")
    eventually(lambda: text_in(read_all(DiskJournal(folder))) == b"one\n")
    stop(writer)
    read_only()
    journal = DiskJournal(folder)
    reader = Reader(journal)
    reader.read()
    assert reader.read() == []
    assert state_of(journal) is State.LOST
    (end,) = reader.read()
    assert reader.ended
    assert End.of(end).state is State.LOST
    assert journal.end() == end
    assert end.after == reader.position
    assert read_all(journal, end.after) == []
    assert [entry.kind for entry in read_all(journal, journal.locate_end())] == [Kind.END]
    assert [entry.kind for entry in read_all(journal)] == [Kind.OUT, Kind.END]
    again = DiskJournal(folder)
    assert state_of(again) is State.LOST
    assert [entry.after for entry in read_all(again)][-1] == end.after
    with pytest.raises(RunFinished):
        again.request_cancel()
    monkeypatch.undo()
    stored = DiskJournal(folder)
    assert state_of(stored) is State.LOST
    assert [entry.kind for entry in read_all(stored)] == [Kind.OUT, Kind.END]
    assert journal.end() == stored.end()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[tuple[Path, int]]:
    """Give a disk that is soon full: a small one, else one where files must be small."""
    mounting = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mounting, check=False, capture_output=True).returncode:
        yield tmp_path, 50_000
        return
    try:
        yield tmp_path, 0
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def check_full_disk(program, root: Path, file_limit: int) -> None:
    """Check a run whose disk is full twice: in its middle and at its end."""
    ballast = root / "ballast"
    if not file_limit:
        ballast.write_bytes(bytes(150_000))
    process = program("fill_disk", root, file_limit)
    folder = Path(answer(process))
    said = answer(process)
    assert len(said["troubles"]) == 1 or file_limit
    ballast.unlink(missing_ok=True)
    ask(process, "go on")
    said = answer(process)
    assert process.wait(30) == 0
    assert len(said["troubles"]) == 2 or file_limit
    journal = DiskJournal(folder)
    entries = read_all(journal)
    assert End.of(entries[-1]) == End(State.FAILED, exit_code=3)
    gaps = [Gap.of(entry) for entry in entries if entry.kind is Kind.GAP]
    assert gaps
    assert {gap.reason for gap in gaps} <= {"no space left on device", "file too large"}
    lines = Lines(entries)
    for number, line in lines.whole.items():
        assert line == b"%d" % (number - 1)
    missing = sum(gap.lines or 0 for gap in gaps)
    assert said["written"] <= len(lines.whole) + missing <= said["written"] + 1
    last = max(number for number, _ in lines.whole.items())
    assert last > min(set(range(1, last)) - set(lines.whole)), "nothing came after the gap"


def test_a_full_disk_costs_lines_but_not_the_work(program, small_disk):
    """The work goes on; one warning each time, an exact gap, and later lines and the end."""
    check_full_disk(program, *small_disk)


def test_a_limit_on_files_costs_lines_but_not_the_work(program, tmp_path):
    """The same where the limit is one on the size of files."""
    check_full_disk(program, tmp_path, 50_000)


def test_a_full_disk_creates_no_half_a_run(tmp_path, monkeypatch):
    """A run that cannot be created leaves nothing behind, neither files nor descriptors."""
    before = open_descriptors()

    def writev(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", writev)
    with pytest.raises(OSError, match="No space"):
        DiskJournal.create(tmp_path, make_record())
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


def test_files_are_for_their_user_only(tmp_path):
    """Folders have mode 0700 and files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        writer = DiskJournal.create(tmp_path, make_record())
        writer.append(Kind.OUT, b"x\n")
        writer.journal.request_cancel()
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in writer.folder.iterdir()}
    writer.close(DONE)
    assert modes == {0o600}
    assert writer.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("polling", [False, True], ids=["notified", "polling"])
def test_readers_are_woken_across_processes(program, tmp_path, monkeypatch, polling):
    """A write in one process wakes readers in others, also where no watches are left."""
    if polling:

        def refuse(*_: object, **__: object) -> int:
            raise OSError(errno.ENOSPC, "the limit of watches")

        monkeypatch.setattr(platforms._InotifyWatcher, "_begin", refuse)
    writer = program("obey", tmp_path)
    journal = DiskJournal(Path(answer(writer)))
    calls, callback = count_calls()
    stop_watching = journal.watch(callback)
    for i in range(5):
        del calls[:]
        ask(writer, i)
        eventually(lambda: calls and text_in(read_all(journal)).endswith(b"%d\n" % i))  # noqa: B023
    stop_watching()
    cancels, callback = count_calls()
    stop_waiting = journal.watch_life(callback)
    DiskJournal(journal.folder).request_cancel()
    eventually(lambda: cancels)
    stop_waiting()


def test_random_access_reads_little(tmp_path, monkeypatch):
    """What is read to start near the end does not grow with the journal's length."""
    monkeypatch.setattr("outlive.journals.disk.writing.SEGMENT_SIZE", 4_000_000)
    writer = DiskJournal.create(tmp_path, make_record())
    for i in range(20_000):
        writer.append(Kind.OUT, b"%0999d\n" % i)
    moment = time.time_ns()
    writer.append(Kind.OUT, b"late\n")
    writer.close(DONE)
    real, sizes = os.pread, []

    def pread(fd: int, size: int, place: int) -> bytes:
        data = real(fd, size, place)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", pread)

    def cost(find) -> int:
        journal = DiskJournal(writer.journal.folder)
        del sizes[:]
        position = find(journal)
        assert Reader(journal, position).read(1000)
        assert len(sizes) < 500, "so many reads are a scan"
        return sum(sizes)

    beginning = cost(lambda journal: journal.locate_line(10))
    position = DiskJournal(writer.journal.folder).locate_line(19_990)
    assert cost(lambda _: position) < 300_000
    for find in (
        lambda journal: journal.locate_line(19_990),
        lambda journal: journal.locate_line(10_000),
        lambda journal: journal.locate_tail(5),
        lambda journal: journal.locate_time(moment),
        lambda journal: journal.locate_end(),
    ):
        assert cost(find) < beginning + 1_000_000


def test_opening_journals_leaks_no_descriptors(tmp_path):
    """However often journals are opened, watched and read, nothing stays open."""
    for _ in range(3):
        writer = DiskJournal.create(tmp_path, make_record())
        writer.append(Kind.OUT, b"x\n")
        writer.close(DONE)
    folder = writer.folder
    DiskJournal(folder).watch(print)()
    # What other tests left behind would go in between.
    gc.collect()
    before = open_descriptors()
    for _ in range(200):
        journal = DiskJournal(folder)
        stop_watching = journal.watch(print)
        assert len(read_all(journal)) == 2
        journal.settle()
        stop_watching()
        del journal, stop_watching
    assert open_descriptors() == before


def test_a_writer_that_lets_go_without_an_end_is_lost(tmp_path):
    """The lock tells that a writer is gone, though its process lives on."""
    writer = DiskJournal.create(tmp_path, make_record())
    writer.release()
    assert state_of(DiskJournal(writer.folder)) is State.LOST


@pytest.mark.parametrize("witness", [b"", b"[]", b"5", b"{}", b'{"boot": 1}', b"\xff", b"null"])
def test_a_damaged_witness_does_not_end_a_run(tmp_path, witness):
    """While the lock is held, a witness that says nothing readable is no proof of death."""
    writer = DiskJournal.create(tmp_path, make_record())
    (writer.folder / LOCK).write_bytes(witness)
    state = state_of(DiskJournal(writer.folder))
    assert state is (State.LOST if witness == b'{"boot": 1}' else None)
    writer.close(DONE)
