"""Functions of which one at a time is called."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import outlive
from outlive.entries import State
from outlive.stores import DirectoryStore, MemoryStore, Store

SECONDS = 30.0


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def test_of_a_key_one_run_lives(store):
    """Who starts it again gets the living run, and the function is not called; later it is."""
    calls: list[int] = []
    go = threading.Event()

    def job(number: int) -> None:
        calls.append(number)
        print("begun")
        go.wait(SECONDS)

    run = outlive.start(job, 0, key="import", store=store)
    assert run.record.key == "import"
    others = in_threads(lambda number: outlive.start(job, number, key="import", store=store))
    assert all(other is run for other in others)
    other = outlive.start(print, key="export", store=store)
    assert other is not run
    go.set()
    assert run.wait(SECONDS) is State.SUCCEEDED
    again = outlive.start(job, 9, key="import", store=store)
    assert again is not run
    assert again.wait(SECONDS) is State.SUCCEEDED
    assert calls == [0, 9]


def in_threads(start: Callable[[int], outlive.Run]) -> list[outlive.Run]:
    """Call a function in eight threads at once."""
    barrier = threading.Barrier(8)

    def act(number: int) -> outlive.Run:
        barrier.wait()
        return start(number)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(act, range(8)))


def test_of_a_key_one_run_lives_in_all_processes(tmp_path):
    """Many processes start it at once: one does it, all have it, with its text and its end."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMING, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(10)
    ]
    ids = {program.stdout.readline().strip() for program in programs if program.stdout}
    run = outlive.Run(DirectoryStore(tmp_path), ids.pop())
    assert not ids
    run.cancel()
    answers = {program.communicate(timeout=60)[0] for program in programs}
    assert answers == {f"cancelled done by {run.record.process['pid']}\n\n"}
    assert DirectoryStore(tmp_path).ids() == [run.id]


CLAIMING = """
import os, sys, time, outlive
def job():
    print("done by", os.getpid())
    while not outlive.cancelled():
        time.sleep(0.01)
run = outlive.start(job, key="import", store=sys.argv[1])
print(run.id, flush=True)
print(run.wait(60), run.text())
"""
