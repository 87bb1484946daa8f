"""Many runs at once in one process, each with all that work can have: none sees another's."""

import asyncio
import logging
import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outlive import command
from outlive.entries import Kind
from outlive.runs import Run
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.captures import capturing, entries_of, texts_of

THREADS = 3
LINES = 40


def count(name: str, way: str) -> None:
    """Print lines, in a process of its own."""
    for number in range(LINES):
        sys.stdout.write(f"{name} {way} {number}\n")


def work(name: str, run: Run, pool: ThreadPoolExecutor) -> None:
    """Write lines in all the ways there are; each begins with the run's name."""
    logger = logging.getLogger("tests.crowd")

    def write(way: str) -> None:
        for number in range(LINES):
            # One text, so that threads of one run do not share a line.
            sys.stdout.write(f"{name} {way} {number}\n")
            if number % 10 == 0:
                logger.warning("%s %s log %d", name, way, number)
                print(f"{name} {way} error {number}\n", end="", file=sys.stderr)

    async def tasks() -> None:
        await asyncio.gather(*(asyncio.to_thread(write, f"to_thread{i}") for i in range(2)))
        write("task")

    threads = [threading.Thread(target=write, args=(f"thread{i}",)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    processes = []
    if has_process(name):
        context = multiprocessing.get_context("forkserver")
        processes.append(context.Process(target=count, args=(name, "process")))
        processes[0].start()
    jobs = [pool.submit(run.bind(write), f"pool{i}") for i in range(2)]
    code = f"for n in range({LINES}): print('{name} command', n)"
    assert command([sys.executable, "-S", "-E", "-c", code], pipe=True) == 0
    asyncio.run(tasks())
    for job in jobs:
        job.result()
    workers: list[Any] = [*threads, *processes]
    for worker in workers:
        worker.join()


def has_process(name: str) -> bool:
    """Tell whether a run has a process: one in twenty, as each takes as long as all else."""
    return int(name.removeprefix("run")) % 20 == 0


def text_by_origin(run: Run) -> list[str]:
    """List the lines on standard output, those of each origin together."""
    texts: dict[int, bytes] = {}
    for entry in entries_of(run):
        if entry.kind is Kind.OUT:
            texts[entry.origin] = texts.get(entry.origin, b"") + entry.text
    return b"".join(texts.values()).decode().splitlines()


def check(name: str, run: Run) -> None:
    """Check that a run has its own lines and all of them, each way's in their order."""
    loud = [f"thread{i}" for i in range(THREADS)] + ["pool0", "pool1"]
    loud += ["to_thread0", "to_thread1", "task"]
    ways = [*loud, "command", *(["process"] if has_process(name) else [])]
    out = text_by_origin(run)
    assert sorted(out) == sorted(
        f"{name} {way} {number}" for way in ways for number in range(LINES)
    )
    for way in ways:
        lines = [line for line in out if f" {way} " in line]
        assert lines == [f"{name} {way} {number}" for number in range(LINES)]
    some = [f"{name} {way} {{}} {number}" for way in loud for number in range(0, LINES, 10)]
    errors = texts_of(run, Kind.ERR).splitlines()
    assert sorted(errors) == sorted(line.format("error") for line in some)
    records = texts_of(run, Kind.LOG).splitlines()
    assert sorted(records) == sorted(f"WARNING tests.crowd: {line.format('log')}" for line in some)


def crowd(store: Store, number_of_runs: int) -> None:
    """Let runs work all at once, and look whether each has its own lines and all of them."""
    runs: dict[str, Run] = {}

    def one(name: str) -> None:
        with capturing(store) as run:
            runs[name] = run
            work(name, run, pool)

    with ThreadPoolExecutor(8) as pool:
        threads = [threading.Thread(target=one, args=(f"run{i}",)) for i in range(number_of_runs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, run in runs.items():
        check(name, run)
    assert len(runs) == number_of_runs


@pytest.fixture
def quiet():
    """Keep the records of the crowd off the console."""
    logger = logging.getLogger("tests.crowd")
    logger.propagate, handler = False, logging.NullHandler()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_a_hundred_runs_at_once_are_never_mixed_up(kind, tmp_path, quiet):
    """With threads, pools, tasks, logging, commands and processes, each has its own lines, all."""
    crowd(MemoryStore() if kind == "memory" else DirectoryStore(tmp_path), 100)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_fifty_times_a_hundred_runs(tmp_path, quiet):
    """Again and again."""
    for number in range(50):
        crowd(DirectoryStore(tmp_path / str(number)), 100)
