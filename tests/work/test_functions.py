"""Runs around functions and around the code right here."""

import asyncio
import contextlib
import functools
import gc
import logging
import shutil
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import NoReturn

import pytest

import outlive
from outlive.entries import End, State
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.helpers import eventually

SECONDS = 30.0


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def ended(run: outlive.Run) -> tuple[State, str]:
    """Wait for a run; return how it ended and what it wrote."""
    return run.wait(SECONDS), run.text()


def fail() -> NoReturn:
    """Raise what has two lines."""
    raise ValueError("no\ngood")


async def fail_later() -> None:
    """Raise it in a task."""
    await asyncio.sleep(0)
    fail()


def yield_and_fail() -> Iterator[str]:
    """Yield once."""
    yield "first"
    fail()


async def wait_for_ever(before: threading.Event) -> None:
    """Wait until cancelled."""
    try:
        print("begun")
        before.set()
        await asyncio.Event().wait()
    finally:
        print("cleaned up")


def test_what_a_function_prints_and_logs_is_its_run(store):
    """In its order; arguments are passed on, and what it returns is not kept."""

    def job(*words: str) -> str:
        print(*words)
        logging.getLogger("job").warning("careful")
        print("done", file=sys.stderr)
        return "nothing"

    run = outlive.start(job, "hello", "world", store=store)
    assert ended(run) == (State.SUCCEEDED, "hello world\nWARNING job: careful\ndone\n")
    assert run.record.end == End(State.SUCCEEDED)


def test_a_run_has_the_options_of_its_start(store):
    """Title, labels and owner are the run's; by default it is called as its function."""
    run = outlive.start(fail, title="Import", labels={"a": "b"}, owner="me", store=store)
    assert (run.record.title, run.record.labels, run.record.owner) == ("Import", {"a": "b"}, "me")
    run.wait(SECONDS)
    titles = []
    for function in (print, functools.partial(print, end=""), functools.partial(fail)):
        run = outlive.start(function, store=store)
        run.wait(SECONDS)
        titles.append(store.record(run.id).title)
    assert titles == ["print", "print", "fail"]


def test_records_are_taken_from_the_level_and_as_the_formatter_says(store):
    """As of the options, for this run alone."""

    def job() -> None:
        logging.getLogger("quiet").debug("low")

    form = logging.Formatter("<%(message)s>")
    run = outlive.start(job, level=logging.DEBUG, formatter=form, store=store)
    assert ended(run) == (State.SUCCEEDED, "<low>\n")
    assert ended(outlive.start(job, store=store)) == (State.SUCCEEDED, "")


@pytest.mark.parametrize(
    ("work", "options", "told"),
    [
        ("x", {}, "give a function, and after it"),
        (None, {}, "give a function, and after it"),
        (print, {"title": 5}, "title: give a text, not 5"),
        (print, {"key": b"x"}, "key: give a text"),
        (print, {"owner": 5}, "owner: give a text"),
        (print, {"labels": {"a": 5}}, "labels: give a mapping"),
        (print, {"labels": ["a"]}, "labels: give a mapping"),
        (print, {"labels": {"a=b": "c"}}, "labels: a key has no '='"),
        (print, {"level": "DEBUG"}, "level: give a number"),
        (print, {"formatter": "%(message)s"}, "formatter: give a logging.Formatter"),
    ],
)
@pytest.mark.parametrize("isolation", [None, "process"])
def test_what_makes_no_run_is_told_at_once(tmp_path, work, options, told, isolation):
    """And no run is there, which could not be listed or would be lost."""
    store = DirectoryStore(tmp_path)
    with pytest.raises(outlive.ConfigError, match=told):
        outlive.start(work, store=store, isolation=isolation, **options)
    if work is print and "key" not in options:
        with (
            pytest.raises(outlive.ConfigError, match=told),
            outlive.capture(store=store, **options),
        ):
            pytest.fail("it began")
    assert store.ids() == []


def test_what_echoes_goes_to_the_console_too(store, capsys):
    """Prints, items and tracebacks alike."""

    def job() -> Iterator[str]:
        print("printed")
        yield "item"
        fail()

    run = outlive.start(job, echo=True, store=store)
    text = ended(run)[1]
    out, err = capsys.readouterr()
    assert out == "printed\nitem\n"
    assert out + err == text


@pytest.mark.parametrize("work", [fail, fail_later, yield_and_fail])
def test_a_traceback_is_the_work_s_own(store, work):
    """It begins at the user's function, is text of the run, and told in one line as its error."""
    run = outlive.start(work, store=store)
    state, text = ended(run)
    assert (state, run.record.end.error) == (State.FAILED, "ValueError: no good")
    lines = text.removeprefix("first\n").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1]
    assert f"in {work.__name__}" in lines[1]
    assert lines[-2:] == ["ValueError: no", "good"]


def test_a_run_that_cannot_begin_has_failed(store, monkeypatch):
    """Whoever starts it gets the error, and the run tells of it."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "outlive fail":
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError):
        outlive.start(fail, store=store)
    [record] = store.records()
    assert record.end == End(State.FAILED, error="RuntimeError: can't start new thread")


def test_what_work_held_is_let_go(store):
    """What a failure's frames hold is gone with its run, without a collector of garbage."""

    class Large:
        pass

    kept: list[weakref.ref[Large]] = []

    def hold() -> NoReturn:
        large = Large()
        kept.append(weakref.ref(large))
        fail()

    gc.disable()
    try:
        run = outlive.start(hold, store=store)
        assert run.wait(SECONDS) is State.FAILED
        eventually(lambda: kept[0]() is None)
    finally:
        gc.enable()


def test_an_error_that_cannot_be_shown_is_told_of(store):
    """Also where its own text raises; a long one is cut."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def raise_broken() -> NoReturn:
        raise Broken

    def raise_long() -> NoReturn:
        raise KeyError("x" * 10_000)

    run = outlive.start(raise_broken, store=store)
    assert run.wait(SECONDS) is State.FAILED
    assert run.record.end.error == "Broken: (it cannot be shown)"
    run = outlive.start(raise_long, store=store)
    assert run.wait(SECONDS) is State.FAILED
    assert len(run.record.end.error or "") == 1000


@pytest.mark.parametrize(
    ("code", "end", "text"),
    [
        (0, End(State.SUCCEEDED, exit_code=0), ""),
        (None, End(State.SUCCEEDED, exit_code=0), ""),
        (3, End(State.FAILED, exit_code=3), ""),
        (-1, End(State.FAILED, exit_code=255), ""),
        (256, End(State.SUCCEEDED, exit_code=0), ""),
        ("too bad", End(State.FAILED, exit_code=1, error="too bad"), "too bad\n"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "task"])
def test_an_exit_is_that_of_the_run(store, code, end, text, is_async):
    """SystemExit ends the run, with its code, and nothing else."""

    async def leave() -> None:
        await asyncio.sleep(0)
        sys.exit(code)

    run = outlive.start(leave if is_async else functools.partial(sys.exit, code), store=store)
    assert ended(run) == (end.state, text)
    assert run.record.end == end


def test_an_exit_of_a_task_leaves_the_loop_of_the_caller_alone(store):
    """A loop itself would end of it."""

    async def leave() -> None:
        sys.exit(3)

    async def main() -> State:
        run = outlive.start(leave, store=store)
        return await asyncio.to_thread(run.wait, SECONDS)

    assert asyncio.run(main()) is State.FAILED


def test_what_work_yields_is_lines(store):
    """Text gets its line end where it has none; bytes stay as they are; prints keep their place."""

    def produce() -> Iterator[object]:
        yield "text"
        print("printed")
        yield "with end\n"
        yield 3
        yield b"by"
        yield b"tes\xff\n"

    async def produce_later() -> AsyncIterator[object]:
        for item in produce():
            await asyncio.sleep(0)
            yield item

    expected = (State.SUCCEEDED, "text\nprinted\nwith end\n3\nbytes\ufffd\n")
    assert ended(outlive.start(produce, store=store)) == expected
    assert ended(outlive.start(produce_later, store=store)) == expected
    assert ended(outlive.start(lambda: map(str, [1, 2]), store=store)) == (
        State.SUCCEEDED,
        "1\n2\n",
    )
    assert ended(outlive.start(lambda: [1, 2], store=store)) == (State.SUCCEEDED, "")


def test_an_endless_generator_ends_when_cancelled(store):
    """Between two items, and properly: what it wants done in the end is done."""

    def produce() -> Iterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                time.sleep(0.001)
        finally:
            print("closed")

    kept = produce()
    run = outlive.start(lambda: kept, store=store)
    eventually(lambda: "0\n" in run.text())
    run.cancel()
    state, text = ended(run)
    assert state is State.CANCELLED
    assert text.endswith("closed\n"), "though somebody else has it, too"


@pytest.mark.parametrize("here", [True, False], ids=["on the caller's loop", "on its own"])
def test_a_task_is_cancelled(store, here):
    """As any task is: it cleans up, and its run is cancelled."""
    begun = threading.Event()

    def begin() -> outlive.Run:
        return outlive.start(wait_for_ever, begun, store=store)

    async def main() -> outlive.Run:
        run = begin()
        await asyncio.to_thread(begun.wait, SECONDS)
        run.cancel()
        await asyncio.to_thread(run.wait, SECONDS)
        return run

    if here:
        run = asyncio.run(main())
    else:
        run = begin()
        assert begun.wait(SECONDS)
        run.cancel()
    assert ended(run) == (State.CANCELLED, "begun\ncleaned up\n")


def test_a_task_that_ends_when_it_is_cancelled_was_cancelled(store):
    """Also where it hides that it was, and returns."""
    begun = threading.Event()

    async def hide() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await wait_for_ever(begun)

    run = outlive.start(hide, store=store)
    assert begun.wait(SECONDS)
    run.cancel()
    assert ended(run) == (State.CANCELLED, "begun\ncleaned up\n")


def test_a_task_can_be_cancelled_before_it_begins(store):
    """Its run ends all the same."""

    async def main() -> outlive.Run:
        run = outlive.start(wait_for_ever, threading.Event(), store=store)
        [task] = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()
        return run

    assert ended(asyncio.run(main())) == (State.CANCELLED, "")


def test_work_on_the_caller_s_loop_runs_there_and_ends_with_it(store):
    """Async work is a task of the loop; where that ends before, the run is cancelled."""
    loops: list[asyncio.AbstractEventLoop] = []
    begun = threading.Event()

    async def look() -> None:
        loops.append(asyncio.get_running_loop())

    async def main() -> list[outlive.Run]:
        runs = [outlive.start(look, store=store), outlive.start(wait_for_ever, begun, store=store)]
        await asyncio.to_thread(begun.wait, SECONDS)
        # This one has no time to begin.
        runs.append(outlive.start(wait_for_ever, begun, store=store))
        loops.append(asyncio.get_running_loop())
        return runs

    first, second, third = asyncio.run(main())
    assert ended(first)[0] is State.SUCCEEDED
    assert loops[0] is loops[1]
    assert ended(second) == (State.CANCELLED, "begun\ncleaned up\n")
    assert ended(third)[0] is State.CANCELLED


def test_work_in_a_thread_is_asked_to_end(store):
    """It was cancelled if it was told so when it asked; one that never asked has succeeded."""
    told, asked = threading.Event(), threading.Event()

    def obey() -> None:
        eventually(outlive.cancelled)
        told.set()

    def ignore() -> None:
        asked.wait(SECONDS)

    run = outlive.start(obey, store=store)
    run.cancel()
    assert told.wait(SECONDS)
    assert run.wait(SECONDS) is State.CANCELLED
    run = outlive.start(ignore, store=store)
    run.cancel()
    asked.set()
    assert run.wait(SECONDS) is State.SUCCEEDED
    assert not outlive.cancelled()


def test_where_runs_are_kept(tmp_path, monkeypatch):
    """As given; else as the environment says; else in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTLIVE_STORE", str(tmp_path / "named"))
    places = []
    for place in (tmp_path / "given", str(tmp_path / "given"), None):
        outlive.start(print, store=place).wait(SECONDS)
        places.append({name: count(tmp_path / name) for name in ("given", "named", ".outlive")})
    monkeypatch.delenv("OUTLIVE_STORE")
    outlive.start(print).wait(SECONDS)
    places.append({name: count(tmp_path / name) for name in ("given", "named", ".outlive")})
    assert [list(place.values()) for place in places] == [
        [1, 0, 0],
        [2, 0, 0],
        [2, 1, 0],
        [2, 1, 1],
    ]


def test_a_store_that_was_taken_away_is_made_anew(tmp_path):
    """As a developer does who wants to begin afresh, while the program goes on."""
    for _ in range(2):
        outlive.start(print, store=tmp_path / "store").wait(SECONDS)
        assert count(tmp_path / "store") == 1
        shutil.rmtree(tmp_path / "store")


def test_work_goes_on_where_its_store_was_taken_away(tmp_path):
    """Nothing is told of it any more, its stages neither."""

    def work() -> None:
        shutil.rmtree(tmp_path / "store")
        with outlive.stage("parse"):
            print("on", flush=True)

    run = outlive.start(work, store=tmp_path / "store")
    assert run.wait(SECONDS) is outlive.State.SUCCEEDED


def count(place) -> int:
    """Count the runs of a directory."""
    return len(DirectoryStore(place).ids()) if place.exists() else 0
