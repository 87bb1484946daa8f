"""Threads, pools and tasks: work belongs to the run that started it, and to no other one."""

import asyncio
import contextvars
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest

from outlive.entries import Kind
from outlive.runs import Run, current_run
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.captures import capturing, texts_of


def test_a_thread_belongs_to_the_run_that_starts_it():
    """So do its threads, its timers, and the traceback it dies of."""

    def work() -> None:
        print("child")
        timer = threading.Timer(0, print, ["grandchild"])
        timer.start()
        timer.join()
        raise ValueError("deep")

    with capturing() as run:
        thread = threading.Thread(target=work)
        hook, threading.excepthook = threading.excepthook, threading.__excepthook__
        try:
            thread.start()
            thread.join()
        finally:
            threading.excepthook = hook
    assert texts_of(run, Kind.OUT) == "child\ngrandchild\n"
    assert "ValueError: deep" in texts_of(run, Kind.ERR)


def test_a_subclass_that_runs_by_itself_belongs_too():
    """A thread whose class has a `run` of its own is no exception."""

    class Worker(threading.Thread):
        def run(self) -> None:
            print("mine", current_run() is not None)

    with capturing() as run:
        worker = Worker()
        worker.start()
        worker.join()
    assert run.text() == "mine True\n"


def submit_to_executor(functions):
    """Call functions in a `concurrent.futures` pool."""
    with ThreadPoolExecutor(1) as pool:
        return [pool.submit(function).result() for function in functions]


def submit_to_pool(functions):
    """Call functions in a `multiprocessing.pool` pool."""
    with ThreadPool(1) as pool:
        return [pool.apply(function) for function in functions]


@pytest.mark.parametrize("submit", [submit_to_executor, submit_to_pool])
def test_a_worker_of_a_pool_belongs_to_nobody(submit, capsys):
    """It works for whoever asks, also when a run made it; `bind` tells for whom."""
    with capturing() as run:
        results = submit(
            [lambda: print("nobody"), run.bind(lambda: print("bound")), current_run, current_run]
        )
    assert results[2:] == [None, None]
    assert run.text() == "bound\n"
    assert capsys.readouterr().out == "nobody\n"


def test_tasks_and_their_threads_follow_by_themselves():
    """The context is handed on by asyncio itself."""

    async def work() -> None:
        await asyncio.create_task(asyncio.to_thread(print, "thread"))
        print("task")

    with capturing() as run:
        asyncio.run(work())
    assert run.text() == "thread\ntask\n"


def test_an_async_function_can_be_bound(capsys):
    """It belongs to its run while it runs, wherever it is awaited."""

    async def work() -> str:
        await asyncio.sleep(0)
        print("inside")
        return "result"

    async def main(bound) -> str:
        print("outside")
        result = await bound()
        print("outside again")
        return result

    with capturing() as run:
        result = contextvars.Context().run(asyncio.run, main(run.bind(work)))
    assert result == "result"
    assert run.text() == "inside\n"
    assert capsys.readouterr().out == "outside\noutside again\n"


THREADS = 3
LINES = 40


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
    jobs = [pool.submit(run.bind(write), f"pool{i}") for i in range(2)]
    asyncio.run(tasks())
    for job in jobs:
        job.result()
    for thread in threads:
        thread.join()


def crowd(store: Store, count: int) -> None:
    """Let runs work all at once, and look whether each has its own lines and all of them."""
    runs: dict[str, Run] = {}

    def one(name: str) -> None:
        with capturing(store) as run:
            runs[name] = run
            work(name, run, pool)

    with ThreadPoolExecutor(8) as pool:
        threads = [threading.Thread(target=one, args=(f"run{i}",)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ways = [f"thread{i}" for i in range(THREADS)] + ["pool0", "pool1"]
    ways += ["to_thread0", "to_thread1", "task"]
    for name, run in runs.items():
        expected = [f"{name} {way} {number}" for way in ways for number in range(LINES)]
        assert sorted(texts_of(run, Kind.OUT).splitlines()) == sorted(expected)
        for way in ways:
            lines = [line for line in texts_of(run, Kind.OUT).splitlines() if f" {way} " in line]
            assert lines == [f"{name} {way} {number}" for number in range(LINES)]
        some = [f"{name} {way} {{}} {number}" for way in ways for number in range(0, LINES, 10)]
        assert sorted(texts_of(run, Kind.ERR).splitlines()) == sorted(
            line.format("error") for line in some
        )
        assert sorted(texts_of(run, Kind.LOG).splitlines()) == sorted(
            f"WARNING tests.crowd: {line.format('log')}" for line in some
        )
    assert len(runs) == count


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
    """With threads, pools, tasks and logging, each run has its own lines, all, in order."""
    crowd(MemoryStore() if kind == "memory" else DirectoryStore(tmp_path), 100)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_fifty_times_a_hundred_runs(tmp_path, quiet):
    """Again and again."""
    for number in range(50):
        crowd(DirectoryStore(tmp_path / str(number)), 100)
