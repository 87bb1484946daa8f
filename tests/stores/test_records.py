"""The database of records: lists are the same with it, without it, and with one that is broken."""

import contextlib
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlive.entries import End, State
from outlive.journals.disk import DiskJournal
from outlive.stores import DirectoryStore
from outlive.stores import records as records_module
from tests.stores.runs import DONE, finish, record


@pytest.fixture
def store(tmp_path) -> DirectoryStore:
    """Make a store with three ended runs, the last one started last."""
    made = DirectoryStore(tmp_path / "store")
    for number in range(1, 4):
        finish(made, f"{number}" * 20, number, title=f"é {number}", labels={"a": "b"}, key="k")
    return made


def database(store: DirectoryStore) -> Path:
    """Name the file."""
    return store.path / "records.sqlite"


def again(store: DirectoryStore) -> DirectoryStore:
    """Open the same store as another process would."""
    return DirectoryStore(store.path)


def listed(store: DirectoryStore) -> list[str]:
    """List the runs of a store that was opened just now."""
    return [run.id[0] for run in again(store).records()]


@contextlib.contextmanager
def no_journal_is_read(monkeypatch) -> Iterator[None]:
    """Fail where a journal is looked at."""

    def fail(self, *_):
        pytest.fail(f"{self.folder} was read")

    with monkeypatch.context() as patch:
        patch.setattr(DiskJournal, "_refresh", fail)
        patch.setattr(DiskJournal, "settle", fail)
        yield


def test_ended_runs_are_listed_without_a_look_at_their_journals(store, monkeypatch):
    """All is there that programs see, and the order and place of each run."""
    known = [again(store).record(f"{number}" * 20) for number in (3, 2, 1)]
    with no_journal_is_read(monkeypatch):
        found = again(store).records()
        documents = again(store).documents()
    assert [run.as_json() for run in found] == [run.as_json() for run in known]
    assert [run.place for run in found] == [run.place for run in known]
    assert [json.loads(document) for document in documents] == [run.as_json() for run in known]
    page = again(store).records(count=1, before=known[0].place)
    assert [run.id for run in page] == [known[1].id]


def test_living_runs_are_listed_with_the_others(store):
    """Each where it belongs, and with its state of now."""
    writer = store.create(record("a" * 20, 2))
    assert listed(store) == ["3", "a", "2", "1"]
    assert [json.loads(each)["state"] for each in again(store).documents()][1] == "running"
    assert [run.id[0] for run in again(store).records(count=2)] == ["3", "a"]
    writer.close(End(State.FAILED, 3))
    found = again(store).records()
    assert [(run.id[0], run.end.exit_code) for run in found][1] == ("a", 3)


def test_the_folders_are_the_truth(store, monkeypatch):
    """A run that was removed or brought by hand is gone or there, whatever the database says."""
    shutil.rmtree(store.path / "runs" / ("2" * 20))
    assert listed(store) == ["3", "1"]
    other = DirectoryStore(store.path.parent / "other")
    finish(other, "7" * 20, 7)
    shutil.copytree(other.path / "runs" / ("7" * 20), store.path / "runs" / ("7" * 20))
    assert listed(store) == ["7", "3", "1"]
    with no_journal_is_read(monkeypatch):
        assert listed(store) == ["7", "3", "1"]


def test_a_missing_database_is_made_from_the_journals(store, monkeypatch):
    """The first list takes longer, and all others need no journal."""
    for path in store.path.glob("records.sqlite*"):
        path.unlink()
    assert listed(store) == ["3", "2", "1"]
    with no_journal_is_read(monkeypatch):
        assert listed(store) == ["3", "2", "1"]


def spoil_header(path: Path) -> None:
    """Make it no database at all."""
    path.write_bytes(b"garbage" * 1000)


def spoil_pages(path: Path) -> None:
    """Leave the header alone."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (size - 100))


def spoil_version(path: Path) -> None:
    """Make it one of a later version."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE runs")
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("spoil", [spoil_header, spoil_pages, spoil_version])
def test_a_damaged_database_is_made_anew(store, spoil, caplog, monkeypatch):
    """With one line for whoever runs this; no list and no run fails."""
    store._database.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{database(store)}{suffix}").unlink(missing_ok=True)
    spoil(database(store))
    finish(again(store), "4" * 20, 4)
    assert listed(store) == ["4", "3", "2", "1"]
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert "it is made anew from the journals" in line.getMessage()
    with no_journal_is_read(monkeypatch):
        assert listed(store) == ["4", "3", "2", "1"]


def test_a_row_that_cannot_be_read_is_read_from_the_journal(store):
    """One record is damaged, and the database has not noticed."""
    with contextlib.closing(sqlite3.connect(database(store))) as connection, connection:
        connection.execute("UPDATE runs SET record = '{' WHERE place LIKE '%2222'")
        connection.execute("UPDATE runs SET record = '{}' WHERE place LIKE '%1111'")
    assert [run.title for run in again(store).records()] == ["é 3", "é 2", "é 1"]


def test_a_locked_database_holds_nothing_up(store, monkeypatch):
    """Runs are made, end and are listed while somebody else keeps it."""
    monkeypatch.setattr(records_module, "BUSY_SECONDS", 0.05)
    other = again(store)
    with contextlib.closing(sqlite3.connect(database(store))) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        finish(other, "4" * 20, 4)
        assert listed(store) == ["4", "3", "2", "1"]
        assert [run.id[0] for run in other.records(count=2)] == ["4", "3"]
    assert listed(store) == ["4", "3", "2", "1"]


def test_a_database_that_cannot_be_is_done_without(tmp_path):
    """Where there is a folder in its place, for example."""
    store = DirectoryStore(tmp_path)
    database(store).mkdir()
    for number in range(1, 4):
        finish(store, f"{number}" * 20, number)
    assert listed(store) == ["3", "2", "1"]
    assert [run.id[0] for run in store.records(count=1)] == ["3"]
    assert [json.loads(each)["id"][0] for each in store.documents()] == ["3", "2", "1"]


def test_python_without_sqlite_lists_runs(store, monkeypatch):
    """It can be built so."""
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    finish(again(store), "4" * 20, 4)
    assert listed(store) == ["4", "3", "2", "1"]


def test_threads_and_forked_children_use_it_at_once(store):
    """Nobody sees a list without a run that has ended, and no child hangs or harms its parent."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                assert len(store.records()) >= 3
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(5):
        child = os.fork()
        if child == 0:
            try:
                finish(store, f"{number + 4}" * 20, number + 4)
                os._exit(len(store.records()) < 4)
            finally:
                os._exit(9)
        children.append(child)
    codes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    for thread in threads:
        thread.join()
    assert codes == {0}
    assert failed == []
    assert listed(store) == list("87654321")
    with contextlib.closing(sqlite3.connect(database(store))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_forked_child_inherits_neither_locks_nor_the_connection(store):
    """What another thread held at that moment nobody would ever let go; SQLite forbids the other."""
    assert len(store.records()) == 3
    assert store._database._connection is not None
    with store._journals_lock:
        child = os.fork()
        if child == 0:
            # Where it hangs, it does not for ever.
            signal.alarm(20)
            try:
                assert store._database._connection is None
                finish(store, "4" * 20, 4)
                os._exit(len(store.records()) != 4)
            finally:
                os._exit(9)
    assert store._database._connection is None
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert listed(store) == list("4321")


def test_a_full_disk_holds_nothing_up(store):
    """A row that cannot be stored is made later."""
    connection = store._database._connect()
    connection.execute("VACUUM")
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    title = "t" * 100_000
    finish(store, "4" * 20, 4, title=title)
    assert len(store._database.places()) == 3
    assert [run.title for run in store.records(count=1)] == [title]
    assert listed(store) == ["4", "3", "2", "1"]
    assert len(store._database.places()) == 4


def test_what_writes_a_run_needs_no_database(tmp_path):
    """Before the end of a run, nothing of it is imported."""
    code = (
        "import sys, pathlib\n"
        "from outlive.runs import create_run\n"
        "from outlive.stores import DirectoryStore\n"
        "create_run(DirectoryStore(pathlib.Path(sys.argv[1])), title='x')\n"
        "assert 'sqlite3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_run_that_ends_gets_its_row_at_once(store, monkeypatch):
    """Who lists later has nothing to read."""
    store.create(record("4" * 20, 4)).close(DONE)
    with no_journal_is_read(monkeypatch):
        assert listed(store) == ["4", "3", "2", "1"]
