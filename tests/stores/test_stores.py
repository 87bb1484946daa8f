"""Stores: runs are made and found there, by several processes at once, and nobody else may look."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outlive import platforms
from outlive.entries import End, Kind, State
from outlive.errors import ConfigError, OutliveError, RunNotFound
from outlive.journals.disk import DiskWriter
from outlive.stores import DirectoryStore, MemoryStore, Store, open_store
from tests.stores.runs import DONE, finish, record


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


def test_runs_are_listed_newest_first(store):
    """All runs of a store are known, with their states, the newest first."""
    finish(store, "a" * 20, 3)
    writer = store.create(record("b" * 20, 5))
    finish(store, "c" * 20, 4)
    found = [(run.id[0], run.end.state) for run in store.records()]
    assert found == [("b", State.RUNNING), ("c", State.SUCCEEDED), ("a", State.SUCCEEDED)]
    writer.close(End(State.FAILED, exit_code=3))
    assert store.record("b" * 20).end == End(State.FAILED, exit_code=3)


def test_a_list_can_be_had_in_pages(store):
    """A page begins behind a record's place, whatever is started or ended meanwhile."""
    for place in range(5):
        finish(store, f"{place}" * 20, 1 + place // 2)
    assert [run.id[0] for run in store.records()] == ["4", "3", "2", "1", "0"]
    first = store.records(count=2)
    finish(store, "9" * 20, 9)
    assert [run.id[0] for run in first] == ["4", "3"]
    second = store.records(count=2, before=first[-1].place)
    assert [run.id[0] for run in second] == ["2", "1"]
    assert [run.id[0] for run in store.records(before=second[-1].place)] == ["0"]
    assert store.records(count=0) == []


def test_a_run_is_found_by_name(store):
    """An id, a prefix that only one has, or `last`; anything else is no run."""
    first, second = finish(store, "ab" * 10, 1), finish(store, "ac" * 10, 2)
    assert store.find(first) == first
    assert store.find("ab") == first
    assert store.find("last") == second
    for name in ("", "x", "a", "../runs", first + "0", "ab\0", "é", "A"):
        with pytest.raises(RunNotFound):
            store.find(name)
    with pytest.raises(RunNotFound, match="2 runs begin like this"):
        store.find("a")


def test_a_store_without_runs_has_no_last_one(store):
    """`last` needs a run."""
    with pytest.raises(RunNotFound, match="no runs yet"):
        store.find("last")


@pytest.mark.parametrize("run", ["", ".", "..", "x" * 300, "a/b", "\0", "0" * 20, ".0", "A" * 20])
def test_an_unknown_run_is_not_found(store, run):
    """Whatever is asked for, it is a run or it is not found."""
    with pytest.raises(RunNotFound):
        store.journal(run)
    with pytest.raises(RunNotFound):
        store.record(run)


def test_readers_of_a_run_share_its_journal(store):
    """One process has one journal object per run, as long as somebody uses it."""
    writer = store.create(record())
    assert store.journal(writer.journal.run) is writer.journal
    writer.close(DONE)
    assert store.journal(writer.journal.run) is writer.journal


def test_a_token_stays(store):
    """A store has one token, hard to guess."""
    assert store.token() == store.token()
    assert len(store.token()) >= 32


def test_a_directory_is_the_same_store_when_opened_again(tmp_path):
    """Its id, token and runs are in the directory."""
    first, second = open_store(str(tmp_path / "s")), open_store(f"file://{tmp_path}/s")
    run = finish(first)
    assert (second.id, second.token(), second.ids()) == (first.id, first.token(), [run])


@pytest.mark.parametrize("url", ["redis://here", "http://x"])
def test_an_unknown_kind_of_store_is_refused(url):
    """A URL of another scheme is one clear error."""
    with pytest.raises(ConfigError, match="no store is named like"):
        open_store(url)


def test_memory_is_a_store():
    """`memory:` is a new one each time."""
    assert open_store("memory:").id != open_store("memory:").id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 2, "id": "x"}', "has format 2, this Outlive knows 1: use a newer Outlive"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        ("", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ("\udcff", "is damaged"),
    ],
)
def test_a_store_of_another_format_is_refused(tmp_path, content, message):
    """What this version cannot read is one clear line, and left as it is."""
    facts = tmp_path / "store.json"
    facts.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=message) as caught:
        DirectoryStore(tmp_path)
    assert "\n" not in str(caught.value)
    assert facts.read_bytes() == content.encode(errors="surrogateescape")


def test_a_file_is_no_store(tmp_path):
    """A file where the directory or a part of it should be is one clear error."""
    path = tmp_path / "file"
    path.write_text("")
    for place in (path, path / "below"):
        with pytest.raises(ConfigError, match=r"cannot use the store .*Not a directory"):
            DirectoryStore(place)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "runs").write_text("")
    with pytest.raises(ConfigError, match="cannot use the store"):
        DirectoryStore(tmp_path / "store")


def test_a_store_that_cannot_be_written_is_refused():
    """Where nothing can be created, that is one clear error."""
    with pytest.raises(ConfigError, match="cannot use the store /proc/outlive"):
        DirectoryStore(Path("/proc/outlive"))


def test_a_run_that_cannot_be_created_is_one_error(tmp_path):
    """A store that lost its place says so."""
    store = DirectoryStore(tmp_path / "store")
    (tmp_path / "store" / "runs").rmdir()
    with pytest.raises(ConfigError, match="cannot write to the store"):
        store.create(record())
    with pytest.raises(ConfigError, match="cannot read the store"):
        store.ids()


def test_a_run_has_one_writer(tmp_path):
    """A second run of one id is refused, and the first is left alone."""
    store = DirectoryStore(tmp_path)
    writer = store.create(record("a" * 20))
    with pytest.raises(ConfigError, match="cannot write"):
        store.create(record("a" * 20))
    writer.append(Kind.OUT, b"x\n")
    assert DirectoryStore(tmp_path).record("a" * 20).end.state is State.RUNNING
    writer.close(DONE)


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """Where locks cannot be relied on, no store is made; also behind a link or a blank."""
    mounts = tmp_path / "mounts"
    remote = tmp_path / "re mote é"
    remote.mkdir()
    (tmp_path / "link").symlink_to(remote)
    escaped = str(remote.resolve()).replace(" ", "\\040")
    mounts.write_text(f"x / ext4 rw 0 0\nhost:/x {escaped} nfs4 rw 0 0\n")
    monkeypatch.setattr(platforms, "_MOUNTS", mounts)
    for place in (remote, remote / "deep" / "er", tmp_path / "link" / "store"):
        with pytest.raises(ConfigError, match=r"network file system \(nfs4\)"):
            DirectoryStore(place)
    assert list(remote.iterdir()) == []
    DirectoryStore(tmp_path / "re mote")
    mounts.write_text(mounts.read_text() + f"x {escaped} tmpfs rw 0 0\n")
    DirectoryStore(remote)


def open_and_tell(path: Path, start, answers) -> None:
    """Open a store when everybody does, and tell its id and token."""
    start.wait()
    store = DirectoryStore(path)
    answers.put((store.id, store.token()))


def test_processes_that_create_a_store_at_once_create_one(tmp_path):
    """Whoever is first makes the id and the token; all get these."""
    context = multiprocessing.get_context("spawn")
    answers, start = context.Queue(), context.Barrier(4)
    path = tmp_path / "store"
    processes = [
        context.Process(target=open_and_tell, args=(path, start, answers)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    found = {answers.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1
    names = ["activity", "runs", "store.json", "token"]
    assert sorted(item.name for item in path.iterdir()) == names


def test_a_store_is_for_its_user_only(tmp_path):
    """Folders have mode 0700 and files 0600, whatever the umask, also the folders above."""
    before = os.umask(0)
    try:
        store = DirectoryStore(tmp_path / "a" / "b")
        store.token()
        finish(store)
        withdraw = store.register_server("http://x")
    finally:
        os.umask(before)
    for path in (tmp_path / "a").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    withdraw()


def test_garbage_beside_runs_is_ignored(tmp_path):
    """Files and folders that are no runs are neither shown, nor found, nor changed."""
    store = DirectoryStore(tmp_path)
    run = finish(store)
    runs = tmp_path / "runs"
    (runs / "notes.txt").write_text("x")
    (runs / "lost+found").mkdir()
    (runs / ("." + "a" * 20)).mkdir()
    (runs / ("b" * 20)).mkdir()
    (runs / ("c" * 20)).write_text("a file")
    (runs / ("d" * 20)).mkdir()
    (runs / ("d" * 20) / "00000001-000000000000.journal").write_text("no journal")
    before = sorted(runs.rglob("*"))
    assert [found.id for found in DirectoryStore(tmp_path).records()] == [run]
    assert DirectoryStore(tmp_path).find("last") == run
    for name in ("b", "c", "d"):
        with pytest.raises(OutliveError):
            DirectoryStore(tmp_path).record(name * 20)
    assert sorted(runs.rglob("*")) == before


def test_a_run_that_went_is_not_found(tmp_path):
    """A run whose folder was removed while it was known is not found any more."""
    writer = DirectoryStore(tmp_path).create(record("a" * 20))
    assert isinstance(writer, DiskWriter)
    other = DirectoryStore(tmp_path)
    assert other.record("a" * 20).end.state is State.RUNNING
    for path in writer.folder.iterdir():
        path.unlink()
    writer.folder.rmdir()
    with pytest.raises(RunNotFound):
        other.record("a" * 20)
    assert other.records() == []
    writer.release()


SERVER = """
import sys, time
from pathlib import Path
from outlive.stores import DirectoryStore
DirectoryStore(Path(sys.argv[1])).register_server("http://127.0.0.1:1/")
print("there", flush=True)
sys.stdin.read()
"""


def test_only_a_living_server_is_returned(tmp_path):
    """A server that was registered is known until it withdraws or dies, however it dies."""
    store = DirectoryStore(tmp_path)
    assert store.server_url() is None
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        assert store.server_url() == "http://127.0.0.1:1/"
        process.kill()
        process.wait()
        assert store.server_url() is None
    withdraw = store.register_server("http://127.0.0.1:2/")
    assert DirectoryStore(tmp_path).server_url() == "http://127.0.0.1:2/"
    withdraw()
    assert store.server_url() is None
    assert list((tmp_path / "servers").iterdir()) == []


def test_a_server_is_not_seen_half_registered(tmp_path, monkeypatch):
    """Who looks while a server registers sees nothing, and takes nothing away."""
    store, looker = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    seen: list[str | None] = []
    take = platforms.take_lock

    def look_and_take(fd: int) -> bool:
        seen.append(looker.server_url())
        taken = take(fd)
        seen.append(looker.server_url())
        return taken

    monkeypatch.setattr(platforms, "take_lock", look_and_take)
    withdraw = store.register_server("http://127.0.0.1:3/")
    assert seen == [None, None]
    assert looker.server_url() == "http://127.0.0.1:3/"
    withdraw()


def test_a_record_of_a_run_that_ended_is_kept(tmp_path):
    """What cannot change any more is read once."""
    store = DirectoryStore(tmp_path)
    run = finish(store)
    first = store.record(run)
    assert store.record(run) is first
    assert json.loads(json.dumps(first.as_json()))["state"] == "succeeded"
    assert first.ended_at is not None
    assert first.ended_at <= time.time_ns()
