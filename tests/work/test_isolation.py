"""A function in a process of its own: captured below Python, killable, and it may crash."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import outlive
from outlive.entries import TEXT_KINDS, Kind
from outlive.stores import DirectoryStore, MemoryStore
from tests.captures import entries_of, texts_of
from tests.helpers import eventually
from tests.programs import exists
from tests.work import isolated

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    """Give an empty store."""
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def start(store):
    """Start functions in processes of their own, and end those that a failed test left."""
    runs = []

    def start(function, *args, **options):
        runs.append(outlive.start(function, *args, store=store, isolation="process", **options))
        return runs[-1]

    yield start
    for run in runs:
        if run.state is outlive.State.RUNNING:
            run.cancel()
            run.wait(30)


def test_all_that_is_written_is_in_its_order(start):
    """Prints, errors, records and events are one timeline, as in a thread."""
    run = start(isolated.write_everything, 30, labels={"a": "b"})
    assert run.wait(60) is outlive.State.SUCCEEDED
    assert (run.record.title, run.record.labels) == ("write_everything", {"a": "b"})
    told = ""
    for entry in entries_of(run):
        if entry.kind is Kind.EVENT:
            told += f"{entry.data['name']}\n"
        elif entry.kind in TEXT_KINDS:
            told += entry.text.decode()
    lines = ("print {}", "WARNING work: record {}", "error {}", "half a line {}", "event {}")
    assert told.splitlines() == [line.format(i) for i in range(30) for line in lines]


def test_what_python_does_not_see_is_captured(start):
    """C libraries, descriptors and children write into the run."""
    run = start(isolated.write_from_below)
    run.wait(60)
    assert texts_of(run, Kind.OUT).splitlines() == [
        "from C", "from Python", "from a descriptor", "from a child",
    ]  # fmt: skip
    assert texts_of(run, Kind.ERR) == "its errors\n"


@pytest.mark.parametrize("function", [isolated.count, isolated.count_slowly])
def test_items_are_lines(start, function):
    """Generators, `async` or not, work as in a thread."""
    run = start(function)
    assert run.wait(60) is outlive.State.SUCCEEDED
    assert run.text() == "one\ntwo\n"


def test_an_exception_is_a_traceback_and_an_error(start):
    """It begins at the user's function."""
    run = start(isolated.fail)
    assert run.wait(60) is outlive.State.FAILED
    assert run.record.end.error == "ValueError: no such luck"
    lines = texts_of(run, Kind.ERR).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in fail")
    assert lines[-1] == "ValueError: no such luck"


@pytest.mark.parametrize(
    ("way", "exit_code", "name", "error"),
    [
        ("segfault", None, "SIGSEGV", None),
        ("_exit", 3, None, None),
        (
            "kill",
            None,
            "SIGKILL",
            "its process was killed, perhaps by the kernel for want of memory",
        ),
        ("exit", 3, None, None),
        ("message", 1, None, "it is over"),
    ],
    ids=["segfault", "_exit", "kill", "exit", "message"],
)
def test_whatever_ends_it_is_recorded(start, way, exit_code, name, error):
    """And what it wrote before is there."""
    run = start(isolated.end_in, way)
    assert run.wait(60) is outlive.State.FAILED
    end = run.record.end
    assert (end.exit_code, end.signal, end.error) == (exit_code, name, error)
    assert texts_of(run, Kind.OUT) == "last words\n"


@pytest.mark.parametrize(
    ("function", "words"),
    [(isolated.work_until_cancelled, "asked"), (isolated.wait_until_cancelled, "cleaned up")],
)
def test_who_is_cancelled_may_clean_up(start, function, words):
    """Work is asked before it is killed; `async` work as a task."""
    run = start(function)
    eventually(lambda: "on\n" in run.text())
    run.cancel()
    assert run.wait(60) is outlive.State.CANCELLED
    assert texts_of(run, Kind.OUT) == f"on\n{words}\n"
    assert "outlive: all gone" in texts_of(run, Kind.LOG)


def test_what_it_started_goes_with_it(start):
    """Children in sessions of their own, and workers of pools."""
    run = start(isolated.start_others)
    eventually(lambda: "on\non\n" in run.text())
    pids = [int(word) for word in run.text().split() if word.isdecimal()]
    run.cancel()
    assert run.wait(60) is outlive.State.CANCELLED
    assert len(pids) == 3
    assert [pid for pid in pids if exists(pid)] == []
    asked, left, gone = texts_of(run, Kind.LOG).splitlines()
    assert asked.startswith("outlive: cancel requested: SIGTERM to 1 process (")
    assert left.startswith("outlive: it left others: SIGTERM to 1 process (sleep ")
    assert gone == "outlive: all gone"


def test_a_pool_can_be_terminated(start):
    """That SIGTERM is asked for by us is no matter of those that are forked."""
    run = start(isolated.end_a_pool)
    assert run.wait(60) is outlive.State.SUCCEEDED
    assert run.text() == "[1, 2]\n"


def test_a_fork_ends_when_it_is_told(start):
    """At once, too, when it has only begun to exist."""
    run = start(isolated.kill_forks)
    assert run.wait(60) is outlive.State.SUCCEEDED
    assert run.text().split() == [str(-signal.SIGTERM)] * 50


def test_a_fork_may_log(start):
    """Its records arrive, and those of its parent in their order."""
    run = start(isolated.log_in_a_fork)
    run.wait(60)
    assert texts_of(run, Kind.LOG) == "WARNING work: in the child\nWARNING work: in the parent\n"


def test_processes_of_multiprocessing_write_into_it(start):
    """However they were started, as they do in a thread: prints and records, each once."""
    run = start(isolated.start_processes)
    assert run.wait(60) is outlive.State.SUCCEEDED
    kinds = ("fork", "spawn", "forkserver")
    assert texts_of(run, Kind.OUT).splitlines() == [f"print of {kind}" for kind in kinds]
    records = [f"WARNING work: record of {kind}" for kind in kinds]
    assert texts_of(run, Kind.LOG).splitlines() == records


@pytest.mark.parametrize("size", [65_535, 65_536, 1_000_000])
def test_large_things_arrive_whole(start, size):
    """However the way is cut into messages."""
    run = start(isolated.send_much, size)
    run.wait(60)
    event, *_ = [entry.data for entry in entries_of(run) if entry.kind is Kind.EVENT]
    assert event == {"name": "large", "data": "x" * size}
    assert texts_of(run, Kind.LOG) == f"WARNING work: {'y' * size}\n"
    assert texts_of(run, Kind.OUT) == "z" * size + "\n"


def test_stages_are_told_of(start):
    """With their parents, and done in the end."""
    run = start(isolated.track_stages)
    run.wait(60)
    stages = [entry.data for entry in entries_of(run) if entry.kind is Kind.STAGE]
    last = {(stage["parent"], stage["name"]): stage["done"] for stage in stages}
    assert last == {(None, "outer"): True, ("outer", "inner"): True}


def test_a_part_may_be_a_run_of_its_own(start):
    """What is captured within is not the run's."""
    run = start(isolated.capture_within)
    run.wait(60)
    assert run.text() == "before\nafter within\n"


def test_a_thread_that_is_left_prints_on(start):
    """What it prints when the run has its end goes where the console would be: it is heard still."""
    run = start(isolated.leave_a_thread_behind)
    run.wait(60)
    assert run.text() == "late\n"


def test_there_is_nothing_to_read(start):
    """Standard input is empty, though the work itself came that way."""
    run = start(isolated.read)
    run.wait(60)
    assert run.text() == "''\n"


def test_of_a_key_one_lives(start):
    """As everywhere."""
    first = start(isolated.work_until_cancelled, key="import")
    assert start(isolated.fail, key="import").id == first.id


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (lambda: None, {}),
        (isolated.fail, {"store": MemoryStore()}),
        (isolated.fail, {"echo": True}),
        (isolated.fail, {"isolation": "thread"}),
    ],
    ids=["lambda", "memory", "echo", "thread"],
)
def test_what_makes_no_sense_is_told_at_once(store, function, options):
    """Nothing is started, and no run is there."""
    with pytest.raises(outlive.ConfigError) as told:
        outlive.start(function, **{"store": store, "isolation": "process", **options})
    assert "\n" not in str(told.value)
    assert store.ids() == []


MAIN = """
import os, signal, sys, time
import outlive

def work():
    for i in range(1000):
        print("line", i)
    time.sleep(0.5)
    print("last")
    sys.exit(7)

GUARD:
    run = outlive.start(work, store=sys.argv[1], isolation="process")
    print(run.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start_program(store, *arguments):
    """Run a program that starts something; returns the run, or what it said of its failure."""
    result = subprocess.run(
        [sys.executable, *arguments, str(store.path)],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
    )  # fmt: skip
    return outlive.Run(store, result.stdout.strip()) if result.stdout else result.stderr


def test_a_killed_starter_changes_nothing(store, tmp_path):
    """A function of the main module goes on after `kill -9`, to its own end."""
    program = tmp_path / "program.py"
    program.write_text(MAIN.replace("GUARD", 'if __name__ == "__main__"'))
    run = start_program(store, str(program))
    assert run.wait(60) is outlive.State.FAILED
    assert run.record.end.exit_code == 7
    assert run.text().splitlines() == [*(f"line {i}" for i in range(1000)), "last"]


def test_a_main_module_that_starts_when_imported_is_told(store, tmp_path):
    """It would start itself without end: the run fails, and says what is missing."""
    program = tmp_path / "program.py"
    program.write_text(MAIN.replace("GUARD", "if True"))
    run = start_program(store, str(program))
    assert run.wait(60) is outlive.State.FAILED
    assert 'below `if __name__ == "__main__":`' in run.record.end.error
    assert len(store.ids()) == 1


def test_what_is_typed_in_cannot_be_found_elsewhere(store):
    """Functions without a file are refused at the call."""
    told = start_program(store, "-c", MAIN.replace("GUARD", "if True"))
    assert told.splitlines()[-1].startswith("outlive.errors.ConfigError: ")
    assert "put it into a module" in told


def test_a_record_is_there_once(start):
    """A handler that writes to the run's own streams adds no line."""
    run = start(isolated.write_everything, 1)
    run.wait(60)
    assert run.text().count("record 0") == 1


def test_a_killed_supervisor_leaves_a_lost_run(start):
    """The child goes on, and is told by nobody; nothing hangs."""
    run = start(isolated.work_until_cancelled)
    eventually(lambda: "on\n" in run.text())
    supervisor = int(run.record.process["pid"])
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(supervisor)], capture_output=True, check=True
    )
    os.kill(supervisor, signal.SIGKILL)
    assert run.wait(30) is outlive.State.LOST
    (pid,) = map(int, listed.stdout.split())
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not exists(pid))
