"""Keys: of all who claim one at once, one gets the run and the others get to know it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from outlive import platforms
from outlive.entries import End, RunRecord, State
from outlive.errors import ConfigError, JournalUnavailable
from outlive.journals.base import JournalWriter
from outlive.journals.disk import DiskWriter
from outlive.stores import DirectoryStore, MemoryStore, Store
from outlive.stores import keys as keys_module
from tests.helpers import eventually
from tests.stores.runs import DONE, record


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


def claim(store: Store, key: str = "import") -> JournalWriter | RunRecord:
    """Claim a key for a new run."""
    return store.claim(record(key=key))


def claim_new(store: Store, key: str = "import") -> JournalWriter:
    """Claim a key that is free."""
    writer = claim(store, key)
    assert isinstance(writer, JournalWriter)
    return writer


@pytest.mark.parametrize("key", ["import", "", "a/../b", "é\0\n", "\udcff", "k" * 5000])
def test_a_key_has_one_living_run(store, key):
    """Whoever claims the key of a living run gets its record, until that run has ended."""
    writer = claim_new(store, key)
    found = claim(store, key)
    assert isinstance(found, RunRecord)
    assert (found.id, found.key, found.end.state) == (writer.journal.run, key, State.RUNNING)
    other = claim_new(store, key + "2")
    writer.close(DONE)
    again = claim_new(store, key)
    assert again.journal.run != writer.journal.run
    for each in (again, other):
        each.close(DONE)


def test_runs_are_not_removed_while_others_wait_for_the_key(store, monkeypatch):
    """To keep the quota may take long, and happens when the key was given away."""
    claim_new(store, "ended").close(DONE)
    store.quota = 0
    monkeypatch.setattr(keys_module, "WAIT_SECONDS", 0.5)
    found = []
    with ThreadPoolExecutor(1) as another:
        asks = partial(another.submit, claim, store)
        monkeypatch.setattr(store, "prune", lambda _: found.append(asks().result(20)))
        writer = claim_new(store)
    monkeypatch.undo()
    (living,) = found
    assert isinstance(living, RunRecord)
    assert living.id == writer.journal.run
    writer.close(DONE)


def test_runs_without_a_key_are_always_new(store):
    """No key is not a key."""
    writers = [store.claim(record()) for _ in range(2)]
    for writer in writers:
        assert isinstance(writer, JournalWriter)
        writer.close(DONE)


def test_threads_that_claim_a_key_at_once_get_one_run(store):
    """One gets the writer, and all know the same run."""
    start = threading.Barrier(20)

    def work(_: int) -> JournalWriter | RunRecord:
        start.wait()
        return claim(store)

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(work, range(20)))
    writers = [each for each in found if isinstance(each, JournalWriter)]
    assert len(writers) == 1
    others = {each.id for each in found if isinstance(each, RunRecord)}
    assert others == {writers[0].journal.run}
    writers[0].close(DONE)


PROGRAM = """
import os, sys
from pathlib import Path
from outlive.entries import RunRecord
from outlive.stores import DirectoryStore
reading, writing = os.pipe()
for number in range(int(sys.argv[2])):
    if os.fork() == 0:
        os.close(writing)
        store = DirectoryStore(Path(sys.argv[1]))
        os.read(reading, 1)
        found = store.claim(RunRecord(id=os.urandom(10).hex(), title="x", started_at=1, key="k"))
        made = not isinstance(found, RunRecord)
        os.write(1, f"{'new' if made else 'old'} {found.journal.run if made else found.id}\\n".encode())
        sys.stdin.read()
        os._exit(0)
os.close(writing)
sys.stdin.read()
for _ in range(int(sys.argv[2])):
    os.wait()
"""


def test_a_hundred_processes_that_claim_a_key_get_one_run(tmp_path):
    """However many processes claim a key at once, one run comes of it."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), "100"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = [process.stdout.readline().split() for _ in range(100)]
        assert Counter(how for how, _ in answers) == {b"new": 1, b"old": 99}
        assert len({run for _, run in answers}) == 1
        assert len(DirectoryStore(tmp_path).ids()) == 1
        process.stdin.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from outlive.entries import RunRecord
from outlive.stores import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "before":
    store._create = die
store.claim(RunRecord(id="a" * 20, title="x", started_at=1, key="import"))
die()
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_claim_that_was_killed_blocks_nobody(tmp_path, when):
    """Killed before its run was made, or right after: the next one gets a new run."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), when], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    store = DirectoryStore(tmp_path)
    writer = claim_new(store)
    writer.close(DONE)
    states = Counter(run.end.state for run in store.records())
    assert states == Counter(succeeded=1, lost=int(when == "after"))


def test_a_process_that_stopped_in_a_claim_is_told(tmp_path, monkeypatch):
    """Who waits for it too long gets one clear error, and no second run."""
    store = DirectoryStore(tmp_path)
    claim_new(store).close(DONE)
    monkeypatch.setattr(keys_module, "WAIT_SECONDS", 0.05)
    (path,) = (tmp_path / "keys").iterdir()
    fd = os.open(path, os.O_RDWR)
    assert platforms.take_lock(fd)
    with pytest.raises(JournalUnavailable, match="another process has been claiming the key"):
        claim(store)
    assert len(store.ids()) == 1
    claim_new(store, "another").close(DONE)
    os.close(fd)
    claim_new(store).close(DONE)


def test_a_key_whose_file_goes_before_it_is_locked_is_claimed_anew(tmp_path):
    """Who waited for the lock of a file that is gone claims the one that is there."""
    store = DirectoryStore(tmp_path)
    claim_new(store).close(DONE)
    (path,) = (tmp_path / "keys").iterdir()
    fd = os.open(path, os.O_RDWR)
    assert platforms.take_lock(fd)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(claim_new, store)
        eventually(lambda: _opened(path) > 1)
        path.unlink()
        os.close(fd)
        writer = waiting.result(30)
    assert path.read_text() == writer.journal.run
    assert isinstance(claim(store), RunRecord)
    writer.close(DONE)


def _opened(path: Path) -> int:
    """Count the descriptors of this process that are of a file."""
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += fd.readlink() == path
    return count


def test_a_torn_key_is_free(tmp_path):
    """Garbage where the id of a run should stand names no run."""
    store = DirectoryStore(tmp_path)
    claim_new(store).close(DONE)
    (path,) = (tmp_path / "keys").iterdir()
    for garbage in (b"", b"abc", b"\xff" * 20, b"../../../../../../etc"):
        path.write_bytes(garbage)
        claim_new(store).close(DONE)


def test_a_child_that_was_forked_in_a_claim_holds_nothing_up(tmp_path):
    """The lock of a claim is let go by the claim, whoever was forked meanwhile."""
    store = DirectoryStore(tmp_path)
    reading, writing = os.pipe()
    with store._claiming("import"):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    claim_new(store).close(DONE)
    os.close(writing)
    os.waitpid(child, 0)
    os.close(reading)


def test_keys_that_cannot_be_written_are_one_error(tmp_path):
    """Where the folder of keys cannot be made, that is one clear error, and no run."""
    store = DirectoryStore(tmp_path)
    (tmp_path / "keys").write_text("")
    with pytest.raises(ConfigError, match="cannot write to the store"):
        claim(store)
    assert store.ids() == []


def test_a_lost_run_gives_its_key_back(tmp_path):
    """A run whose writer is gone without an end lives no more."""
    store, other = DirectoryStore(Path(tmp_path)), DirectoryStore(Path(tmp_path))
    writer = claim_new(store)
    assert isinstance(claim(other), RunRecord)
    assert isinstance(writer, DiskWriter)
    # As a process that was killed.
    writer.forget()
    claim_new(other).close(End(State.SUCCEEDED))
    assert {run.end.state for run in other.records()} == {State.LOST, State.SUCCEEDED}
