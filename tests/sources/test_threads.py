"""Threads, pools and tasks: work belongs to the run that started it, and to no other one."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest

from outlive.entries import Kind
from outlive.runs import current_run
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
