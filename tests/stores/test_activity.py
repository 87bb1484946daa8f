"""The activity: what happens to all runs, in one order for everybody who reads it."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from outlive import platforms
from outlive.entries import Entry, Gap, Kind
from outlive.errors import JournalError
from outlive.journals.base import Tail
from outlive.journals.disk import DiskWriter, SharedJournal, reading, sharing
from outlive.journals.disk.segments import Segment, list_segments
from outlive.journals.readers import Reader
from outlive.stores import DirectoryStore, MemoryStore, Store, announcing
from tests.helpers import eventually
from tests.stores.runs import DONE, finish, record


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


def read(store: Store) -> list[Entry]:
    """Read all activity that is kept."""
    reader = Reader(store.activity())
    found: list[Entry] = []
    while entries := reader.read():
        found += entries
    return found


def states(store: Store) -> list[tuple[str, str]]:
    """Tell of which runs' states the activity speaks."""
    events = [entry.data for entry in read(store) if entry.kind is Kind.EVENT]
    return [(event["data"]["title"], event["data"]["state"]) for event in events]


def stage(current: int, *, done: bool = False) -> bytes:
    """Write the payload of a stage."""
    facts = {"name": "rows", "parent": None, "current": current, "total": 9, "unit": None}
    return json.dumps({**facts, "done": done}).encode()


def stages(store: Store) -> list[int]:
    """Tell how far the stages were that were announced."""
    return [entry.data["current"] for entry in read(store) if entry.kind is Kind.STAGE]


def test_a_run_is_announced_when_it_starts_and_when_it_ends(store):
    """With its record, as programs see it."""
    writer = store.create(record(title="one", labels={"a": "b"}))
    assert states(store) == [("one", "running")]
    finish(store, title="two")
    writer.close(DONE)
    assert states(store) == [
        ("one", "running"),
        ("two", "running"),
        ("two", "succeeded"),
        ("one", "succeeded"),
    ]
    last = read(store)[-1].data
    assert last == {"name": "run", "data": store.record(writer.journal.run).as_json()}


def test_a_viewer_may_start_at_the_end_of_the_activity(store):
    """It sees what comes, and is woken by it; before anything happened, too."""
    woken: list[int] = []
    stop = store.activity().watch(lambda: woken.append(1))
    early = Reader(store.activity(), store.activity().locate_end())
    store.announce(Kind.EVENT, b"1")
    eventually(lambda: woken)
    stop()
    late = Reader(store.activity(), store.activity().locate_end())
    store.announce(Kind.EVENT, b"2")
    assert [entry.payload for entry in early.read()] == [b"1", b"2"]
    assert [entry.payload for entry in late.read()] == [b"2"]
    assert early.read() == late.read() == []
    assert early.position == late.position


def test_the_activity_is_no_run(store):
    """It has no end, is no run of the list, and cannot be cancelled."""
    store.announce(Kind.EVENT, b"1")
    activity = store.activity()
    activity.settle()
    assert activity.end() is None
    assert activity.run not in store.ids()
    assert store.records() == []


def test_the_activity_cannot_be_cancelled(tmp_path):
    """There is nobody to be asked."""
    activity = DirectoryStore(tmp_path).activity()
    with pytest.raises(JournalError, match="no run"):
        activity.request_cancel()
    assert not activity.cancel_requested()


def test_stages_are_announced_four_times_a_second_and_the_last_one_always(store, monkeypatch):
    """With the run's id, title, labels and owner; a stage that waits goes before the end."""
    monkeypatch.setattr(announcing, "STAGE_SECONDS", 60.0)
    writer = store.create(record(title="Import", labels={"a": "b"}, owner="me"))
    for current in range(5):
        writer.append(Kind.STAGE, stage(current))
    writer.append(Kind.STAGE, stage(5, done=True))
    assert stages(store) == [0]
    writer.close(DONE)
    assert stages(store) == [0, 5]
    found = read(store)
    assert [entry.kind for entry in found] == [Kind.EVENT, Kind.STAGE, Kind.STAGE, Kind.EVENT]
    assert found[2].data == {
        **json.loads(stage(5, done=True)),
        "run": writer.journal.run,
        "title": "Import",
        "labels": {"a": "b"},
        "owner": "me",
    }


def test_the_stages_around_the_newest_are_announced_before_it(store, monkeypatch):
    """Each as it is by then, and not again while nothing changed: a viewer knows where the run is."""
    monkeypatch.setattr(announcing, "STAGE_SECONDS", 60.0)
    writer = store.create(record())

    def tell(name: str, parent: str | None, current: int) -> None:
        facts = json.loads(stage(current)) | {"name": name, "parent": parent}
        writer.append(Kind.STAGE, json.dumps(facts).encode())

    tell("first", None, 1)
    for current in range(2, 5):
        tell("outer", None, current)
        tell("before", "outer", current)
        tell("table", "outer", current)
        tell("rows", "table", current)
    writer.close(DONE)
    found = [entry.data for entry in read(store) if entry.kind is Kind.STAGE]
    assert [(each["name"], each["current"]) for each in found] == [
        ("first", 1),
        ("outer", 4),
        ("table", 4),
        ("rows", 4),
    ]


def test_the_end_of_what_was_announced_always_is(store, monkeypatch):
    """A bar that somebody draws does not stay; of what nobody heard, the end is no news either."""
    monkeypatch.setattr(announcing, "STAGE_SECONDS", 60.0)
    writer = store.create(record())

    def tell(name: str, current: int, *, done: bool) -> None:
        facts = json.loads(stage(current, done=done)) | {"name": name}
        writer.append(Kind.STAGE, json.dumps(facts).encode())

    tell("received", 1, done=False)
    tell("received", 2, done=True)
    for done in (False, True):
        tell("unheard", 3, done=done)
    tell("parse", 4, done=False)
    writer.close(DONE)
    found = [entry.data for entry in read(store) if entry.kind is Kind.STAGE]
    assert [(each["name"], each["current"], each["done"]) for each in found] == [
        ("received", 1, False),
        ("received", 2, True),
        ("parse", 4, False),
    ]


def test_a_stage_that_waited_is_announced_when_it_is_time(store, monkeypatch):
    """Although nothing follows."""
    monkeypatch.setattr(announcing, "STAGE_SECONDS", 0.05)
    writer = store.create(record())
    for current in range(3):
        writer.append(Kind.STAGE, stage(current))
    eventually(lambda: stages(store)[-1] == 2)
    writer.append(Kind.STAGE, b"[garbage")
    writer.append(Kind.STAGE, b"[]")
    writer.close(DONE)
    assert stages(store)[-1] == 2


def test_a_lost_run_is_announced_once(tmp_path):
    """By whoever notices first."""
    stores = [DirectoryStore(tmp_path) for _ in range(3)]
    writer = stores[0].create(record(title="x"))
    assert isinstance(writer, DiskWriter)
    # As a process that was killed.
    writer.forget()
    for store in stores:
        store.records()
    assert states(stores[0]) == [("x", "running"), ("x", "lost")]


def test_only_the_newest_segments_are_kept(tmp_path, monkeypatch):
    """A reader that comes for what is gone is told so."""
    monkeypatch.setattr(sharing, "SEGMENT_SIZE", 1000)
    monkeypatch.setattr(sharing, "KEPT_SIZE", 4000)
    store = DirectoryStore(tmp_path)
    for number in range(100):
        store.announce(Kind.EVENT, b"%d" % number)
        names = list((tmp_path / "activity").glob("*.journal"))
        assert len(names) <= 4
        assert all(name.stat().st_size <= 1000 for name in names)
    gap, *kept = read(store)
    assert Gap.of(gap).reason == "removed"
    numbers = [int(entry.payload) for entry in kept]
    assert numbers == list(range(Gap.of(gap).entries or 0, 100))
    assert len(numbers) > 10


def test_what_was_torn_by_a_death_hides_nothing(tmp_path):
    """Behind a torn entry, or torn from its first byte, a new segment begins; no gap is seen."""
    store = DirectoryStore(tmp_path)
    store.announce(Kind.EVENT, b'"whole"')
    for size in (1, 79, 80, 84):
        (*_, last) = sorted((tmp_path / "activity").glob("*.journal"))
        whole = last.read_bytes()
        store.announce(Kind.EVENT, b'"torn"')
        torn = last.read_bytes()[len(whole) :]
        last.write_bytes(whole + torn[:size])
        assert DirectoryStore(tmp_path).activity().tail()[0].sequence == len(read(store))
        DirectoryStore(tmp_path).announce(Kind.EVENT, b"%d" % size)
    found = [entry.payload for entry in read(DirectoryStore(tmp_path))]
    assert found == [b'"whole"', b"1", b"79", b"80", b"84"]


def test_an_announcement_that_fails_hurts_nobody(tmp_path, monkeypatch):
    """Neither a process that stopped with the lock, nor a missing folder, disturbs a run."""
    monkeypatch.setattr(sharing, "WAIT_SECONDS", 0.02)
    store = DirectoryStore(tmp_path)
    fd = os.open(tmp_path / "activity" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    assert platforms.take_lock(fd)
    finish(store)
    os.close(fd)
    assert states(store) == []
    for path in (tmp_path / "activity").iterdir():
        path.unlink()
    (tmp_path / "activity").rmdir()
    finish(store)
    assert states(store) == []
    assert [run.end.state for run in store.records()] == ["succeeded", "succeeded"]


def test_what_is_too_large_is_not_announced(tmp_path):
    """No reader would take it for an entry, and none behind it would be found."""
    store = DirectoryStore(tmp_path)
    store.announce(Kind.EVENT, b"1")
    store.announce(Kind.EVENT, b" " * (16 * 1024 * 1024) + b"2")
    store.announce(Kind.EVENT, b"3")
    assert [entry.payload for entry in read(store)] == [b"1", b"3"]


APPENDING = """
import sys
from pathlib import Path
from outlive.entries import Kind
from outlive.journals.disk import sharing
from outlive.stores import DirectoryStore
# Nobody stops here, but the machine may be busy.
sharing.WAIT_SECONDS = 60.0
store = DirectoryStore(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
for number in range(int(sys.argv[3])):
    store.activity().append(Kind.EVENT, b"%s.%d" % (sys.argv[2].encode(), number))
    if sys.argv[2] == "0":
        print(number, flush=True)
"""


def test_a_slow_reader_does_not_mislead_a_writer(tmp_path, monkeypatch):
    """Who looks at the segments slowly, in another thread, brings no older list of them back."""
    monkeypatch.setattr(sharing, "SEGMENT_SIZE", 1000)
    store = DirectoryStore(tmp_path)
    store.announce(Kind.STAGE, stage(1))
    tail = SharedJournal.tail
    has_listed, may_go_on = threading.Event(), threading.Event()

    def list_slowly(folder: Path, salt: int) -> list[Segment]:
        found = list_segments(folder, salt)
        if threading.current_thread() is reader:
            has_listed.set()
            # Not for ever: nobody else may look meanwhile.
            may_go_on.wait(0.5)
        return found

    def look_and_let_go(journal: SharedJournal) -> tuple[Tail, int]:
        found = tail(journal)
        if has_begun_another and threading.current_thread() is not reader:
            may_go_on.set()
            reader.join()
        return found

    monkeypatch.setattr(reading, "list_segments", list_slowly)
    monkeypatch.setattr(SharedJournal, "tail", look_and_let_go)
    has_begun_another = False
    reader = threading.Thread(target=store.activity().tail)
    reader.start()
    has_listed.wait()
    store.announce(Kind.STAGE, stage(2).ljust(1000))
    has_begun_another = True
    store.announce(Kind.STAGE, stage(3))
    assert stages(DirectoryStore(tmp_path)) == [1, 2, 3]
    numbers = [path.name[:8] for path in (tmp_path / "activity").glob("*.journal")]
    assert len(numbers) == len(set(numbers)) > 1


def test_twenty_processes_append_every_entry_once(tmp_path):
    """In one order for all readers, each process's in its own; also where one is killed."""
    DirectoryStore(tmp_path)
    count = 25
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                APPENDING,
                str(tmp_path),
                f"{number}",
                f"{count * 99 ** (not number)}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(20)
    ]
    store = DirectoryStore(tmp_path)
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    killed, *others = processes
    assert killed.stdout is not None
    for _ in range(10):
        killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    told = 10 + len(killed.stdout.readlines())
    for process in processes:
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert {process.returncode for process in others} == {0}
    found = read(store)
    assert [entry.sequence for entry in found] == list(range(len(found)))
    payloads = [entry.payload.decode() for entry in found]
    assert payloads == [entry.payload.decode() for entry in read(DirectoryStore(tmp_path))]
    by_process: dict[str, list[int]] = {}
    for payload in payloads:
        name, _, number = payload.partition(".")
        by_process.setdefault(name, []).append(int(number))
    # What was written and not told yet when it was killed is there, or is not.
    (first,) = (numbers for name, numbers in by_process.items() if name == "0")
    assert first == list(range(len(first)))
    assert len(first) - told in (0, 1)
    others_found = {name: numbers for name, numbers in by_process.items() if name != "0"}
    assert others_found == {str(name): list(range(count)) for name in range(1, 20)}
