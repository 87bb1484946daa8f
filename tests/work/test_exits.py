"""What becomes of work when its process ends."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from outlive.entries import State
from outlive.runs import Run
from outlive.stores import DirectoryStore
from tests.helpers import eventually

SECONDS = 60

PRELUDE = """
import asyncio, os, signal, sys, threading, time, outlive
begun = threading.Event()

def work():
    print("begun")
    begun.set()
    time.sleep(0.3)
    print("done")

def obey():
    print("begun")
    begun.set()
    while not outlive.cancelled():
        time.sleep(0.01)
    print("obeyed")

def ignore():
    print("begun")
    begun.set()
    while True:
        time.sleep(0.01)

async def wait():
    try:
        print("begun")
        begun.set()
        await asyncio.Event().wait()
    finally:
        print("cleaned up")

def start(function):
    run = outlive.start(function, store=sys.argv[1])
    begun.wait()
    run.text()
    os.write(1, b"ready\\n")
"""


class Left(NamedTuple):
    """What a program left: its exit code, its standard error, and its run."""

    code: int
    err: str
    run: Run


def leave(folder: Path, code: str, *, interrupts: int = 0, waits: bool = False) -> Left:
    """Run a program that starts a run to its end, with so many Ctrl-C.

    The first one comes once it says `ready`, or that it `waits` for its work; the next one after
    that was heard.
    """
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        try:
            assert program.stdout is not None
            assert program.stderr is not None
            assert program.stdout.readline() == "ready\n"
            said = program.stderr.readline() if waits else ""
            store = DirectoryStore(folder)
            [run] = store.ids()
            for number in range(interrupts):
                if number:
                    eventually(store.journal(run).cancel_requested)
                program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=SECONDS)
        finally:
            program.kill()
    return Left(program.returncode, said + err, Run(store, run))


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise ValueError", 1)],
    ids=["the end", "an exit", "an exception"],
)
def test_the_interpreter_waits_for_work(tmp_path, ending, code):
    """As for any thread, however the main thread ended."""
    left = leave(tmp_path, f"start(work)\n{ending}")
    assert left.code == code
    assert left.run.state is State.SUCCEEDED
    assert left.run.text() == "begun\ndone\n"


def test_it_says_what_it_waits_for(tmp_path):
    """After a moment, once; and Ctrl-C then asks the work to end."""
    left = leave(tmp_path, "start(obey)", interrupts=1, waits=True)
    assert left.err == "outlive: waiting for 1 run to end (Ctrl-C cancels it)\n"
    assert left.run.state is State.CANCELLED
    assert left.run.text() == "begun\nobeyed\n"


def test_an_interrupted_program_asks_its_work_to_end(tmp_path):
    """Where the main thread ends by Ctrl-C, once is enough; tasks clean up, too."""
    left = leave(tmp_path, "start(obey); time.sleep(60)", interrupts=1)
    assert left.code == -signal.SIGINT
    assert left.run.state is State.CANCELLED
    assert left.run.text() == "begun\nobeyed\n"
    left = leave(tmp_path / "other", "start(wait); time.sleep(60)", interrupts=1)
    assert (left.run.state, left.run.text()) == (State.CANCELLED, "begun\ncleaned up\n")


def test_who_does_not_listen_is_left_behind(tmp_path):
    """Once more is enough: the run is lost, and has all that was printed."""
    left = leave(tmp_path, "start(ignore)", interrupts=2, waits=True)
    assert left.run.state is State.LOST
    assert left.run.text() == "begun\n"
    assert "Traceback" not in left.err


@pytest.mark.parametrize("ending", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_process_that_vanishes_loses_its_runs(tmp_path, ending):
    """Whoever looks is told, and has what was acknowledged."""
    left = leave(tmp_path, f"start(ignore)\n{ending}")
    assert left.run.state is State.LOST
    assert left.run.text() == "begun\n"
    assert left.run.record.end.error == "the process that wrote this run is gone"


def test_work_of_a_loop_ends_with_it(tmp_path):
    """A loop that ends cancels its tasks; the end of their runs is waited for."""
    code = """
async def main():
    run = outlive.start(wait, store=sys.argv[1])
    await asyncio.to_thread(begun.wait)
    os.write(1, b"ready\\n")
asyncio.run(main())
"""
    left = leave(tmp_path, code)
    assert (left.code, left.err) == (0, "")
    assert (left.run.state, left.run.text()) == (State.CANCELLED, "begun\ncleaned up\n")


@pytest.mark.parametrize(
    "code",
    [
        """
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)

def use():
    begun.set()
    time.sleep(0.3)
    print(pool.submit(str, 3).result())
""",
        """
async def use():
    begun.set()
    await asyncio.sleep(0.3)
    print(await asyncio.to_thread(str, 3))
""",
    ],
    ids=["pool", "loop"],
)
def test_work_may_use_pools_until_it_is_done(tmp_path, code):
    """They end at the interpreter's end, too: after it."""
    left = leave(tmp_path, f"{code}\nstart(use)")
    assert (left.run.state, left.run.text()) == (State.SUCCEEDED, "3\n")


def test_a_forked_child_waits_for_nothing(tmp_path):
    """What its parent works on is its parent's."""
    code = """
run = outlive.start(obey, store=sys.argv[1])
begun.wait()
child = os.fork()
if not child:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
os.write(1, b"ready\\n")
run.cancel()
"""
    left = leave(tmp_path, code)
    assert (left.code, left.err) == (0, "")
    assert (left.run.state, left.run.text()) == (State.CANCELLED, "begun\nobeyed\n")
