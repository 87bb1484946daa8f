"""A started command outlives its starter, and can be read and ended by anybody."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import outlive
from outlive.entries import Kind
from outlive.stores import DirectoryStore, MemoryStore
from tests.captures import texts_of
from tests.cli.test_trees import FAMILY
from tests.helpers import eventually
from tests.programs import exists
from tests.terminals import Terminal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    """Give an empty store."""
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def start(store):
    """Start commands, and end those that a failed test left."""
    runs = []

    def start(*argv, **options):
        runs.append(outlive.start_command(argv, store=store, **options))
        return runs[-1]

    yield start
    for run in runs:
        if run.state is outlive.State.RUNNING:
            run.cancel()
            run.wait(30)


def supervisor_of(run):
    """Get the pid of the process that supervises a run."""
    return int(run.record.process["pid"])


def test_a_started_command_is_a_run(start):
    """Its output, its end and what it was given are in the record and the journal."""
    run = start("sh", "-c", "echo $0; exit 3", "x", labels={"a": "b"}, owner="me", title="work")
    assert run.wait(30) is outlive.State.FAILED
    assert run.text() == "x\n"
    record = run.record
    assert (record.title, record.labels, record.owner) == ("work", {"a": "b"}, "me")
    assert record.command == ["sh", "-c", "echo $0; exit 3", "x"]
    assert record.end.exit_code == 3


def test_a_started_command_gets_what_it_is_given(start, tmp_path):
    """Directory, environment and input are the given ones, and no terminal where none is wanted."""
    script = "pwd; echo $COLOUR $HOME; cat; test -t 1 || echo pipe; echo oops >&2"
    large = "x" * 300_000
    run = start(
        "/bin/sh", "-c", script, cwd=tmp_path, env={"COLOUR": "blå"}, input=large, pipe=True
    )
    assert run.wait(30) is outlive.State.SUCCEEDED
    assert texts_of(run, Kind.OUT) == f"{tmp_path}\nblå\n{large}pipe\n"
    assert texts_of(run, Kind.ERR) == "oops\n"


def test_a_started_command_has_a_terminal_and_nothing_to_read(start):
    """Otherwise it writes as it would in front of a person who types nothing."""
    run = start("sh", "-c", "test -t 1 && echo terminal; cat; echo read")
    run.wait(30)
    assert run.text() == "terminal\nread\n"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": 0.3}, "it ran longer than its limit of 0.3 s"),
        ({"silence": 0.3}, "it was silent for longer than its limit of 0.3 s"),
        ({"quota": 3}, "it wrote more than its limit of 3 B"),
    ],
    ids=["timeout", "silence", "quota"],
)
def test_a_started_command_has_limits(start, options, error):
    """Each limit is an end of its own."""
    run = start("sh", "-c", "echo long; sleep 300", **options)
    assert run.wait(30) is outlive.State.FAILED
    assert (run.record.end.exit_code, run.record.end.error) == (124, error)


def test_a_command_that_cannot_be_started_raises(start, store, tmp_path):
    """The error is the caller's, in one line, and recorded."""
    with pytest.raises(outlive.RunError, match=r"\Acommand not found: no-such-command\Z"):
        start("no-such-command")
    assert store.records()[0].end.exit_code == 127
    with pytest.raises(outlive.RunError, match=r"\Acannot run .*: permission denied\Z"):
        start(str(tmp_path))
    assert store.records()[0].end.exit_code == 126


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ("make all", {}),
        ([], {}),
        (["true", 1], {}),
        (["true"], {"cwd": "/no/such/folder"}),
        (["true"], {"timeout": -1}),
        (["true"], {"silence": float("nan")}),
        (["true"], {"quota": "1kB"}),
        (["true"], {"env": {"A": 1}}),
        (["true"], {"input": 1}),
        (["true"], {"title": 1}),
        (["true"], {"store": MemoryStore()}),
    ],
    ids=[
        "text", "nothing", "number", "cwd", "timeout", "silence", "quota", "env", "input", "title",
        "memory",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_at_once(store, argv, options):
    """Nothing is started, and no run is there."""
    with pytest.raises(outlive.ConfigError) as told:
        outlive.start_command(argv, **{"store": store, **options})
    assert "\n" not in str(told.value)
    assert store.ids() == []


def test_of_a_key_one_command_lives(start):
    """Who starts it again gets the living run; after its end, a new one."""
    first = start("sh", "-c", "echo on; sleep 300", key="import")
    second = start("sh", "-c", "echo other", key="import")
    assert second.id == first.id
    first.cancel()
    assert first.wait(30) is outlive.State.CANCELLED
    third = start("sh", "-c", "echo other", key="import")
    assert third.id != first.id
    third.wait(30)
    assert (first.text().split("\n")[0], third.text()) == ("on", "other\n")


def test_a_cancelled_tree_is_gone(start):
    """With sessions of its own, daemons and what is stopped; and the log says so."""
    run = start(sys.executable, "-c", FAMILY)
    names = {"plain", "session", "daemon", "stopped", "parent"}

    def told():
        found = dict(re.findall(r"^(\w+) (\d+)$", run.text(), re.MULTILINE))
        return found if found.keys() >= names else None

    pids = eventually(told)
    run.cancel()
    assert run.wait(30) is outlive.State.CANCELLED
    assert [name for name, pid in pids.items() if exists(int(pid))] == []
    asked, gone = texts_of(run, Kind.LOG).splitlines()
    assert asked.startswith("outlive: cancel requested: SIGTERM to 5 processes (")
    assert gone == "outlive: all gone"


def test_the_supervisor_has_nothing_of_its_starter(start):
    """It is no child, has another session, and no descriptor but its own."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # noqa: FBT003 - its only form
    run = start("sleep", "300")
    os.close(writing)
    # Nobody has the pipe open any more.
    assert os.read(reading, 1) == b""
    os.close(reading)
    supervisor = supervisor_of(run)
    assert os.getsid(supervisor) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(supervisor, os.WNOHANG)
    links = [str(Path(f"/proc/{supervisor}/fd/{fd}").readlink()) for fd in range(3)]
    assert links == [os.devnull] * 3


STARTER = """
import os, signal, sys
import outlive
run = outlive.start_command(["sh", "-c", sys.argv[2]], store=sys.argv[1])
print(run.id, flush=True)
signal.pause()
"""
LINES = (
    "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; sleep 0.5; echo last; exit 7"
)


def test_a_killed_starter_changes_nothing(store):
    """After `kill -9` the command ends by itself, with its exit code, and every line is there."""
    command = [sys.executable, "-c", STARTER, str(store.path), LINES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as starter:
        assert starter.stdout is not None
        run = outlive.Run(store, starter.stdout.readline().decode().strip())
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait(30)
    assert run.wait(60) is outlive.State.FAILED
    assert run.record.end.exit_code == 7
    assert run.text().splitlines() == [*(f"line {i}" for i in range(1, 3001)), "last"]


def test_the_starters_terminal_changes_nothing(store):
    """Neither Ctrl-C nor the end of the terminal reaches a started command."""
    script = "echo on; sleep 0.5; echo last"
    shell = Terminal([sys.executable, "-c", STARTER, str(store.path), script], cwd=ROOT)
    try:
        shell.expect(b"\n")
        run = outlive.Run(store, shell.shown.decode().strip())
        shell.type(b"\x03")
        shell.hang_up()
        shell.wait()
    finally:
        shell.close()
    assert run.wait(30) is outlive.State.SUCCEEDED
    assert run.text() == "on\nlast\n"


def test_a_killed_supervisor_leaves_a_lost_run(start):
    """Nobody knows how the command ended."""
    run = start("sh", "-c", "echo $$; exec sleep 300")
    pid = int(eventually(run.text))
    os.kill(supervisor_of(run), signal.SIGKILL)
    try:
        assert run.wait(30) is outlive.State.LOST
        assert run.text() == f"{pid}\n"
    finally:
        if exists(pid):
            os.kill(pid, signal.SIGKILL)


def test_blocked_signals_are_no_matter_of_the_command(start):
    """A starter that blocks or ignores SIGTERM does not make its commands deaf."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        run = start("sleep", "300")
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    run.cancel()
    run.wait(30)
    assert run.record.end.signal == "SIGTERM"
