"""A run as its own process has it."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from outlive import platforms, runs, settings
from outlive.entries import End, Kind, State
from outlive.errors import RunError, RunFinished
from outlive.journals.disk import DiskWriter
from outlive.journals.readers import Reader
from outlive.runs import OwnRun, Run, create_run, current_run, find_run
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.helpers import eventually
from tests.journals.model import count_calls

DONE = End(State.SUCCEEDED, exit_code=0)


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def test_a_run_is_in_its_store_with_all_that_is_known(store):
    """Who looks finds the run as it was created, running; and once it ended, how."""
    run = create_run(
        store, title="Büro\x1b[31m", labels={"a": "b"}, command=["ls", "-l"], owner="me"
    )
    record = store.record(run.id)
    assert (record.title, record.labels, record.command) == (
        "Büro\x1b[31m",
        {"a": "b"},
        ["ls", "-l"],
    )
    assert record.owner == "me"
    assert record.process["pid"] == os.getpid()
    assert run.state == record.end.state == State.RUNNING
    run.write(Kind.OUT, b"x\n")
    run.end(DONE)
    ended = store.record(run.id)
    assert ended.end == run.record.end == DONE
    assert run.state == ended.end.state
    assert run.record.ended_at is not None


def test_ids_are_long_and_differ(store):
    """Ids cannot be guessed."""
    created = [create_run(store, title="") for _ in range(20)]
    assert len({run.id for run in created}) == 20
    assert all(len(run.id) == 20 for run in created)
    for run in created:
        run.end(DONE)


def test_what_is_written_is_read(store):
    """Text goes to the run's journal, until its end and not later."""
    run = create_run(store, title="")
    run.write(Kind.OUT, b"out\n")
    run.write(Kind.ERR, b"err\n", 3)
    run.end(DONE)
    with pytest.raises(RunFinished):
        run.write(Kind.OUT, b"late\n")
    found = [(entry.kind, entry.text, entry.origin) for entry in Reader(run.journal).read()[:-1]]
    assert found == [(Kind.OUT, b"out\n", 0), (Kind.ERR, b"err\n", 3)]


def test_a_request_to_cancel_is_heard(store):
    """Whoever asked, before or while the run waits for it, is heard; not after it stopped."""
    run = create_run(store, title="")
    calls, callback = count_calls()
    stop = run.on_cancel(callback)
    assert not calls
    store.journal(run.id).request_cancel()
    eventually(lambda: calls)
    stop()
    later, callback = count_calls()
    run.on_cancel(callback)()
    assert later
    run.end(DONE)


def test_a_request_to_cancel_is_told_once():
    """Whatever happens after it was told, the command gets no second signal for it."""
    run = create_run(MemoryStore(), title="")
    calls, callback = count_calls()
    stop = run.on_cancel(callback)
    run.journal.request_cancel()
    run.journal.request_cancel()
    run.write(Kind.OUT, b"on\n")
    stop()
    assert len(calls) == 1
    run.end(DONE)


def test_a_run_can_be_waited_for(store):
    """Whoever waits is told how it fares: at the end, or when the time is up."""
    run = create_run(store, title="")
    assert run.wait(0.001) is State.RUNNING
    states: list[State] = []
    thread = threading.Thread(target=lambda: states.append(run.wait(30)))
    thread.start()
    run.end(DONE)
    thread.join()
    assert states == [State.SUCCEEDED]
    assert run.wait() is State.SUCCEEDED


def test_a_handle_tells_of_a_run_whoever_writes_it(store):
    """Through store and journal: the record, the text, the end; it can cancel, but not bind."""
    run = create_run(store, title="here", labels={"a": "b"})
    handle = Run(store, run.id)
    assert (handle.id, handle.record, handle.state) == (run.id, run.record, State.RUNNING)
    run.write(Kind.OUT, b"caf\xc3\xa9 \xff\n")
    assert handle.text() == "café \ufffd\n"
    assert handle.wait(0.001) is State.RUNNING
    with pytest.raises(RunError, match="another process"):
        handle.bind(print)
    handle.cancel()
    assert run.journal.cancel_requested()
    states: list[State] = []
    thread = threading.Thread(target=lambda: states.append(handle.wait()))
    thread.start()
    run.end(DONE)
    thread.join()
    assert states == [State.SUCCEEDED]
    with pytest.raises(RunFinished):
        handle.cancel()


def test_a_run_of_this_process_is_one_object(store):
    """Who finds it by its id has it with all that only its writer can."""
    run = create_run(store, title="")
    assert find_run(store, run.id) is run
    run.end(DONE)


def test_a_forked_child_has_a_handle(tmp_path):
    """It waits for its parent's run as anybody does, and reads it."""
    run = create_run(DirectoryStore(tmp_path), title="")
    run.write(Kind.OUT, b"x\n")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, f"{run.wait(0.01)}\n".encode())
            os.write(writing, f"{run.wait(30)} {run.text()}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        assert answers.readline() == "running\n"
        run.end(DONE)
        assert answers.readline() == "succeeded x\n"
    os.waitpid(child, 0)


def test_a_forked_child_waits_for_no_lock_of_its_parent(tmp_path):
    """Whatever other threads were about to do: there, nobody goes on with it."""
    with settings._stores_lock, platforms._watchers_lock:
        child = os.fork()
        if not child:
            signal.alarm(20)
            try:
                store = settings.application_store(tmp_path)
                run = create_run(store, title="")
                run.collect()
                run.end(DONE)
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert [record.end.state for record in DirectoryStore(tmp_path).records()] == [State.SUCCEEDED]


def test_two_threads_that_write_first_start_one_syncer(store, monkeypatch):
    """However they meet."""
    run = create_run(store, title="")
    made: list[str] = []
    real = threading.Thread.__init__
    barrier = threading.Barrier(8)

    def init(thread: threading.Thread, **options: Any) -> None:
        if options.get("name") == "outlive-sync":
            made.append(options["name"])
            # The others come meanwhile.
            threading.Event().wait(0.05)
        real(thread, **options)

    def write() -> None:
        barrier.wait()
        run.write(Kind.OUT, b"x\n")

    threads = [threading.Thread(target=write) for _ in range(8)]
    monkeypatch.setattr(threading.Thread, "__init__", init)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    run.end(DONE)


def test_a_run_that_collects_knows_that_it_was_cancelled(store):
    """The flag is set by whoever asks, through the run or through its store."""
    run = create_run(store, title="")
    assert run.collect() is run.collect() is run.buffer
    assert not run.cancelled
    run.cancel()
    eventually(lambda: run.cancelled)
    run.end(DONE)
    with pytest.raises(RunFinished):
        run.cancel()


def test_writes_and_prints_of_a_run_keep_their_order(store):
    """What is written directly is behind what was collected; text is all of it so far."""
    run = create_run(store, title="")
    buffer = run.collect()
    buffer.add(Kind.OUT, b"first\n")
    run.write(Kind.ERR, b"second\n", 7)
    assert run.text() == "first\nsecond\n"
    found = [(entry.kind, entry.text, entry.origin) for entry in Reader(run.journal).read()]
    assert found == [(Kind.OUT, b"first\n", 0), (Kind.ERR, b"second\n", 7)]
    buffer.add(Kind.OUT, b"third \xff\n")
    assert run.text() == "first\nsecond\nthird \ufffd\n"
    run.end(DONE)
    with pytest.raises(RunFinished):
        run.write(Kind.OUT, b"late\n")
    assert run.text().endswith("third \ufffd\n")


def test_the_current_run_is_that_of_the_code_right_here(store):
    """It is known within, also within another one, and not outside."""
    outer, inner = create_run(store, title=""), create_run(store, title="")
    assert current_run() is None
    with outer.current():
        with inner.current():
            assert current_run() is inner
        assert current_run() is outer
        assert inner.bind(current_run)() is inner
    assert current_run() is None
    assert outer.bind(current_run)() is outer
    for run in (outer, inner):
        run.end(DONE)


def test_what_was_written_is_synced_now_and_then(tmp_path, monkeypatch):
    """In the background, from the first write to the end, what is there is made durable."""
    monkeypatch.setattr(runs, "SYNC_SECONDS", 0.01)
    run = create_run(DirectoryStore(tmp_path), title="")
    before = {thread.name for thread in threading.enumerate()}
    assert run._syncer is None, before
    synced, real = [], os.fdatasync

    def fdatasync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    run.write(Kind.OUT, b"x\n")
    eventually(lambda: len(synced) >= 2)
    run.end(DONE)
    size = run.journal.tail()[1]
    assert size in synced, "the end itself is synced before the run is let go"
    wait_for_syncer(run)


def wait_for_syncer(run: OwnRun) -> None:
    """Wait until the thread that syncs has ended."""
    thread = run._syncer
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()


def test_letting_go_while_it_is_synced_disturbs_nothing(tmp_path, monkeypatch):
    """Descriptors are closed by nobody while another thread is about to sync them."""
    run = create_run(DirectoryStore(tmp_path), title="")
    writer = run._writer
    assert isinstance(writer, DiskWriter)
    run.write(Kind.OUT, b"x\n")
    syncing, errors, real = threading.Event(), [], os.dup

    def dup(fd: int) -> int:
        syncing.set()
        deadline = time.monotonic() + 0.3
        while writer._fd >= 0 and time.monotonic() < deadline:
            threading.Event().wait(0.001)
        return real(fd)

    def sync() -> None:
        try:
            writer.sync()
        except OSError as error:
            errors.append(error)

    monkeypatch.setattr(os, "dup", dup)
    thread = threading.Thread(target=sync)
    thread.start()
    assert syncing.wait(30)
    writer.release()
    thread.join()
    assert not errors


PROGRAM = """
import os, sys
from pathlib import Path
from outlive.entries import End, Kind, State
from outlive.runs import create_run
from outlive.stores import DirectoryStore
run = create_run(DirectoryStore(Path(sys.argv[1])), title="")
run.write(Kind.OUT, b"x\\n")
print(run.id, flush=True)
"""


def test_a_run_that_its_process_forgets_is_lost(tmp_path):
    """A process that ends without ending its run leaves it lost, with what it wrote."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, check=True, timeout=60
    )
    store = DirectoryStore(tmp_path)
    assert result.stderr == b""
    record = store.record(result.stdout.decode().strip())
    assert record.end.state is State.LOST
    assert record.end.error == "the process that wrote this run is gone"
    assert record.end.exit_code is None


WAITED = """
import sys
from pathlib import Path
from outlive.entries import End, Kind, State
from outlive.runs import create_run
from outlive.stores import DirectoryStore
run = create_run(DirectoryStore(Path(sys.argv[1])), title="")
print(run.id, flush=True)
if sys.stdin.readline() == "end\\n":
    run.end(End(State.FAILED, exit_code=3))
"""


@pytest.mark.parametrize(
    ("order", "state"), [("end\n", State.FAILED), ("vanish\n", State.LOST)], ids=["ends", "dies"]
)
def test_a_run_of_another_process_can_be_waited_for(tmp_path, order, state):
    """Who waits is told when that process ends its run, and when it dies without."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITED, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdin is not None
        run = Run(DirectoryStore(tmp_path), program.stdout.readline().strip())
        assert run.wait(0.01) is State.RUNNING
        states: list[State] = []
        thread = threading.Thread(target=lambda: states.append(run.wait(30)))
        thread.start()
        program.stdin.write(order)
        program.stdin.close()
        thread.join()
    assert states == [state]


def test_trouble_is_told(tmp_path, monkeypatch):
    """When entries begin to be lost, who asked for it is told, once."""
    troubles: list[OSError] = []
    run = create_run(DirectoryStore(tmp_path), title="", on_trouble=troubles.append)

    def writev(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", writev)
        for _ in range(10):
            run.write(Kind.OUT, b"x\n")
    assert [error.errno for error in troubles] == [28]
    run.end(DONE)
    kinds = [entry.kind for entry in Reader(run.journal).read()]
    assert kinds == [Kind.GAP, Kind.END]
