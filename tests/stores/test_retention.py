"""Retention: ended runs go, the oldest first, and nothing else does."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from outlive.entries import Entry, Gap, Kind
from outlive.errors import RunNotFound
from outlive.journals.base import Journal, JournalWriter
from outlive.journals.disk import writing
from outlive.journals.readers import Reader
from outlive.stores import Bounds, DirectoryStore, MemoryStore, Pruned, Store, open_store
from outlive.stores.records import Row
from tests.stores.runs import DONE, finish, record

HOUR = 3600 * 1_000_000_000


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


def fill(store: Store, count: int = 5, size: int = 1000) -> None:
    """Make ended runs 1, 2, …, of which the last one was started last."""
    for number in range(1, count + 1):
        writer = store.create(record(f"{number}" * 20, number, labels={"odd": str(number % 2)}))
        writer.append(Kind.OUT, b"x" * size)
        writer.close(DONE)


def left(store: Store) -> str:
    """Tell which runs are left, the oldest first."""
    return "".join(reversed([run.id[0] for run in store.records()]))


def read_all(journal: Journal) -> list[Entry]:
    """Read all that is kept."""
    reader, found = Reader(journal), []
    while entries := reader.read():
        found += entries
    return found


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        (Bounds(keep=2), "45"),
        (Bounds(keep=0), ""),
        (Bounds(keep=9), "12345"),
        (Bounds(keep=1, labels={"odd": "1"}), "245"),
        (Bounds(keep=0, labels={"odd": "1", "x": "y"}), "12345"),
        (Bounds(older_than=HOUR), "12345"),
        (Bounds(older_than=-HOUR), ""),
        (Bounds(older_than=-HOUR, labels={"odd": "0"}), "135"),
        (Bounds(max_size=10_000_000), "12345"),
        (Bounds(), "12345"),
    ],
    ids=str,
)
def test_what_is_out_of_bounds_goes(store, bounds, kept):
    """By age, number and label; a dry run only counts, and what went is not found any more."""
    fill(store)
    living = store.create(record("9" * 20, 9, labels={"odd": "1"}))
    told = store.prune(bounds, dry_run=True)
    assert left(store) == "123459"
    assert told.runs == 5 - len(kept)
    assert store.prune(bounds) == told
    assert left(store) == kept + "9"
    assert store.prune(bounds).runs == 0
    for number in set("12345") - set(kept):
        with pytest.raises(RunNotFound):
            store.record(number * 20)
        with pytest.raises(RunNotFound):
            store.journal(number * 20)
    living.close(DONE)


def test_what_went_is_announced(store):
    """Each run once, with its record: whoever shows the list learns of it."""
    fill(store)
    store.prune(Bounds(keep=3), dry_run=True)
    store.prune(Bounds(keep=3))
    told = [entry.data for entry in read_all(store.activity())]
    gone = [data["data"]["id"] for data in told if data["name"] == "removed"]
    assert gone == ["1" * 20, "2" * 20]


def test_the_oldest_go_until_the_others_fit(store):
    """Their journals, as large as they are; a living run is not among them."""
    fill(store)
    sizes = [row.bytes for row in store._ended_rows()]
    assert min(sizes) > 1000
    living = store.create(record("9" * 20, 9))
    living.append(Kind.OUT, b"x" * 100_000)
    assert store.prune(Bounds(max_size=sum(sizes[2:]))) == Pruned(2, sum(sizes[:2]), 0)
    assert left(store) == "3459"
    living.close(DONE)


def test_a_run_that_alone_is_too_large_loses_its_beginning(store, monkeypatch):
    """And shows a gap in its place."""
    monkeypatch.setattr(writing, "SEGMENT_SIZE", 10_000)
    fill(store, 2)
    writer = store.create(record("3" * 20, 3))
    for number in range(100):
        writer.append(Kind.OUT, b"line %995d\n" % number)
    writer.close(DONE)
    pruned = store.prune(Bounds(max_size=30_000))
    assert (pruned.runs, left(store)) == (2, "3")
    assert pruned.cut > 60_000
    assert 0 < store.journal("3" * 20).size() <= 30_000
    assert [row.bytes for row in store._ended_rows()] == [store.journal("3" * 20).size()]
    gap, *_, end = read_all(store.journal("3" * 20))
    assert Gap.of(gap).reason == "removed"
    assert end.kind is Kind.END


def test_the_choice_is_the_newest_that_fit():
    """Whatever bounds there are, each is kept, and no more goes than must."""
    rows = [Row.of(record(f"{n}" * 20, n), n * 100) for n in range(1, 6)]
    for limit in range(0, 1600, 50):
        gone, cut = Bounds(max_size=limit).choose(rows, time.time_ns())
        kept = rows[len(gone) :]
        assert gone == rows[: len(gone)]
        assert kept
        assert (cut == rows[-1]) == (limit < 500)
        if cut is None:
            assert sum(row.bytes for row in kept) <= limit
        assert not gone or sum(row.bytes for row in [gone[-1], *kept]) > limit


def test_a_quota_is_kept_as_runs_come(store):
    """When a run is made and when it has ended; those that live are left alone."""
    fill(store, 1)
    (row,) = store._ended_rows()
    assert store.prune(Bounds(keep=0)).runs == 1
    store.quota = row.bytes * 3 + 100
    fill(store, 9)
    assert left(store) == "789"
    living = [store.create(record(letter * 20, 20)) for letter in "abcde"]
    for writer in living:
        writer.append(Kind.OUT, b"x" * 1000)
    assert left(store) == "789abcde"
    for writer in living:
        writer.close(DONE)
    assert left(store) == "cde"


def test_a_store_is_opened_with_its_quota(tmp_path):
    """It is a matter of who opens it."""
    assert open_store(str(tmp_path), quota=5).quota == 5
    assert open_store("memory:").quota is None


def test_who_reads_while_a_run_goes_gets_a_clear_end(tmp_path, monkeypatch):
    """All that it had begun to read, then one clear error: no traceback, and no endless wait."""
    monkeypatch.setattr(writing, "SEGMENT_SIZE", 10_000)
    store, other = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    fill(store, 1, 100_000)
    reader = Reader(store.journal("1" * 20))
    assert reader.read(100)
    woken = threading.Event()
    stop = reader.journal.watch(woken.set)
    assert other.prune(Bounds(keep=0)).runs == 1
    assert woken.wait(30)
    with pytest.raises(RunNotFound, match="no such run"):
        read_rest(reader)
    stop()
    # Whoever holds on to it may know its end, but nothing breaks.
    for look in (reader.journal.settle, reader.journal.end, reader.journal.tail):
        with contextlib.suppress(RunNotFound):
            look()
    del reader
    with pytest.raises(RunNotFound):
        store.record("1" * 20)


def read_rest(reader: Reader) -> None:
    """Read to the end."""
    while not reader.ended:
        reader.read(100)


PRUNING = """
import os, shutil, signal, sys
from pathlib import Path
from outlive.stores import Bounds, DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
if len(sys.argv) > 2:
    shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
else:
    print(flush=True)
    sys.stdin.read()
print(store.prune(Bounds(keep=5)).runs)
"""


def test_several_prunes_at_once_remove_each_run_once(tmp_path):
    """Each tells what it removed itself."""
    store = DirectoryStore(tmp_path)
    for number in range(100):
        finish(store, started_at=number)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PRUNING, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    told = 0
    for process in processes:
        assert process.stdout is not None
        told += int(process.stdout.read())
        process.stdout.close()
        assert process.wait() == 0
    assert told == 95
    assert [run.started_at for run in store.records()] == [99, 98, 97, 96, 95]
    assert list((tmp_path / "removed").iterdir()) == []


def test_a_prune_that_was_killed_leaves_nothing_half(tmp_path):
    """What it had begun to remove is gone for everybody, and the next one clears it away."""
    store = DirectoryStore(tmp_path)
    fill(store, 9)
    killed = subprocess.run(
        [sys.executable, "-c", PRUNING, str(tmp_path), "kill"], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    assert left(store) == "56789"
    assert len(list((tmp_path / "removed").iterdir())) == 4
    assert store.prune(Bounds(keep=4)).runs == 1
    assert list((tmp_path / "removed").iterdir()) == []


def test_a_key_of_a_run_that_went_is_free(store):
    """Its next claim makes a new run."""
    store.claim(record("1" * 20, key="k")).close(DONE)
    assert store.prune(Bounds(keep=0)).runs == 1
    writer = store.claim(record("2" * 20, key="k"))
    assert not hasattr(writer, "ended_at")
    writer.close(DONE)
    assert left(store) == "2"


def test_files_of_keys_go_with_their_runs(tmp_path):
    """But not one that another run has by now."""
    store = DirectoryStore(tmp_path)
    for run, key in (("1", "old"), ("2", "both"), ("3", "both"), ("4", "new")):
        writer = store.claim(record(run * 20, int(run), key=key))
        assert isinstance(writer, JournalWriter)
        writer.close(DONE)
    assert store.prune(Bounds(keep=2)).runs == 2
    ids = {path.read_text() for path in (tmp_path / "keys").iterdir()}
    assert ids == {"3" * 20, "4" * 20}
