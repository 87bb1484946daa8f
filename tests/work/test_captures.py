"""Runs around the code right here."""

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import outlive
from outlive.entries import State
from outlive.errors import RunError
from outlive.stores import DirectoryStore, MemoryStore, Store

SECONDS = 30.0


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def ended(run: outlive.Run) -> tuple[State, str]:
    """Wait for a run; return how it ended and what it wrote."""
    return run.wait(SECONDS), run.text()


def test_the_code_right_here_can_be_a_run(store, capsys):
    """Within another one it is a run of its own, and the outer one goes on."""
    with outlive.capture(title="outer", store=store) as outer:
        assert outlive.current_run() is outer
        print("one")
        with outlive.capture(title="inner", store=store) as inner:
            print("two")
        assert inner.state is State.SUCCEEDED
        print("three")
    print("outside")
    assert outlive.current_run() is None
    assert ended(outer) == (State.SUCCEEDED, "one\nthree\n")
    assert ended(inner) == (State.SUCCEEDED, "two\n")
    assert capsys.readouterr().out == "outside\n"


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (ValueError("x"), State.FAILED, "ValueError: x\n"),
        (KeyboardInterrupt(), State.CANCELLED, ""),
        (GeneratorExit(), State.CANCELLED, ""),
        (SystemExit(2), State.FAILED, ""),
        (asyncio.CancelledError(), State.CANCELLED, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_raised_here_is_recorded_and_goes_on(store, error, state, text):
    """The run has ended with it; whoever is outside gets it."""
    with pytest.raises(type(error)) as caught, outlive.capture(store=store) as run:
        raise error
    assert caught.value is error
    assert run.state is state
    assert run.text().endswith(text)


def test_a_second_interrupt_does_not_keep_the_run_from_ending(store):
    """Nobody else would end it; who waits here need not."""
    here, go = threading.get_ident(), threading.Event()

    def interrupt() -> None:
        signal.pthread_kill(here, signal.SIGINT)
        go.wait(SECONDS)

    with pytest.raises(KeyboardInterrupt), outlive.capture(store=store) as run:
        run.before_end(interrupt)
    go.set()
    assert run.wait(SECONDS) is State.SUCCEEDED


@pytest.mark.parametrize("way", ["exit", "fail"])
def test_a_forked_child_leaves_it_to_its_parent(store, way, capfd):
    """What is raised there goes on, and the run, too."""
    with outlive.capture(store=store) as run:
        child = 0
        try:
            with outlive.capture(store=store) as inner:
                child = os.fork()
                if not child:
                    raise SystemExit(3) if way == "exit" else ValueError
        except (SystemExit, ValueError) as error:
            if not child:
                os._exit(3 if isinstance(error, SystemExit) else 4)
            raise
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (3 if way == "exit" else 4)
        print("on")
    assert ended(inner) == (State.SUCCEEDED, "")
    assert ended(run) == (State.SUCCEEDED, "on\n")
    assert capfd.readouterr() == ("", "")


def test_captures_in_tasks_do_not_mix(store):
    """Each task's code is its own run's."""

    async def work(number: int) -> str:
        with outlive.capture(store=store) as run:
            for _ in range(5):
                print(number)
                await asyncio.sleep(0)
        return run.text()

    async def main() -> list[str]:
        return await asyncio.gather(*(work(number) for number in range(10)))

    assert asyncio.run(main()) == [f"{number}\n" * 5 for number in range(10)]


def test_a_run_started_within_a_run_is_its_own(store):
    """Its output is not that of the run whose work started it."""

    def inner() -> None:
        print("inner")

    with outlive.capture(store=store) as outer:
        run = outlive.start(inner, store=store)
        assert ended(run) == (State.SUCCEEDED, "inner\n")
        print("outer")
    assert outer.text() == "outer\n"


def test_what_is_bound_belongs_to_the_run(store):
    """Wherever it is called; the handle of who does not write the run refuses."""
    with ThreadPoolExecutor(1) as pool:
        with outlive.capture(store=store) as run:
            pool.submit(print, "nobody's").result()
            pool.submit(run.bind(print), "bound").result()
        with pytest.raises(RunError):
            outlive.Run(store, run.id).bind(print)
    assert run.text() == "bound\n"
