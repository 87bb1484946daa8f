"""Stages, progress and events of the current run."""

import asyncio
import contextlib
import gc
import json
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import outlive
from outlive.entries import Kind
from outlive.errors import RunError
from outlive.journals.readers import Reader
from outlive.runs import Run
from outlive.sources import stages
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.captures import entries_of
from tests.helpers import eventually


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def told(run: Run, kind: Kind = Kind.STAGE) -> list[dict[str, Any]]:
    """Return the data of all entries of a kind."""
    run.text()
    return [entry.data for entry in entries_of(run) if entry.kind is kind]


def steps(run: Run) -> list[tuple[str, float, bool]]:
    """Return what was told of all stages: name, how far, whether done."""
    return [(state["name"], state["current"], state["done"]) for state in told(run)]


def test_a_stage_tells_all_that_is_known(store):
    """In the words that viewers know, when it begins, when it changes, and in the end."""
    with (
        outlive.capture(store=store) as run,
        outlive.stage("parse", total=10, unit="rows") as parse,
    ):
        parse.update(4)
        eventually(lambda: len(told(run)) == 2)
        parse.advance()
        parse.advance(2)
    first, second, *_, last = told(run)
    assert first == {
        "name": "parse", "parent": None, "current": 0, "total": 10, "unit": "rows", "done": False,
    }  # fmt: skip
    assert second == {**first, "current": 4}
    assert last == {**first, "current": 7, "done": True}


def test_stages_nest(store):
    """What is told within a stage belongs to it, in tasks, too; afterwards to the one around it."""

    async def inside() -> None:
        with outlive.stage("c"):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(inside(), inside())

    with outlive.capture(store=store) as run:
        with outlive.stage("a"):
            with outlive.stage("b"):
                asyncio.run(main())
            with outlive.capture(store=store) as other, outlive.stage("of another run"):
                pass
            list(outlive.track([1], stage="d"))
        outlive.stage("e")
    parents = {state["name"]: state["parent"] for state in told(run)}
    assert parents == {"a": None, "b": "a", "c": "b", "d": "a", "e": None}
    assert [state["parent"] for state in told(other)] == [None, None]


def test_the_same_stage_again_is_that_stage(store):
    """Until it is done; after that, it begins anew."""
    with outlive.capture(store=store) as run:
        outlive.stage("rows", total=3).update(2)
        outlive.stage("rows").advance()
        outlive.stage("rows", total=4)
        with outlive.stage("rows"):
            pass
        outlive.stage("rows")
    seen = [(state["current"], state["total"], state["done"]) for state in told(run)]
    assert (3, 4, False) in seen
    assert seen[-2:] == [(3, 4, True), (0, None, False)]


def test_a_stage_that_is_never_left_does_not_keep_its_run(tmp_path):
    """A server that starts runs for months has none of those that ended in its memory."""
    with outlive.capture(store=DirectoryStore(tmp_path)) as run:
        outlive.stage("parse", total=3)
        outlive.stage("parse").update(2)
    assert steps(run)[-1] == ("parse", 2, False)
    kept = weakref.ref(run)
    del run
    eventually(lambda: gc.collect() >= 0 and kept() is None)


def test_a_stage_that_fails_is_not_done(store):
    """How far it came is told."""
    with outlive.capture(store=store) as run:
        with contextlib.suppress(ValueError), outlive.stage("rows") as rows:
            rows.update(3)
            raise ValueError
        outlive.event("after", None)
    assert steps(run)[-1] == ("rows", 3, False)


def test_the_last_state_is_told_in_time(store):
    """While work waits, and at the end of the run."""
    with outlive.capture(store=store) as run:
        rows = outlive.stage("rows")
        for number in range(100):
            rows.update(number)
        eventually(lambda: steps(run)[-1] == ("rows", 99, False))
        rows.update(100)
        rows.update(101)
    assert steps(run)[-1] == ("rows", 101, False)
    assert len(steps(run)) < 10
    rows.update(102)
    assert len(steps(run)) < 10


def test_iterating_is_a_stage(store):
    """From nothing to the length of what is gone through, and done."""

    def produce() -> Iterator[int]:
        yield from range(5)

    with outlive.capture(store=store) as run:
        assert list(outlive.track([5, 6], stage="known", unit="rows")) == [5, 6]
        assert list(outlive.track(produce(), stage="unknown")) == list(range(5))
        assert list(outlive.track(produce(), stage="told", total=5)) == list(range(5))
        assert list(outlive.track([], stage="none")) == []
    first: dict[str, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}
    for state in told(run):
        first.setdefault(state["name"], state)
        last[state["name"]] = state
    assert [state["total"] for state in first.values()] == [2, None, 5, 0]
    assert [state["current"] for state in last.values()] == [2, 5, 5, 0]
    assert all(state["done"] for state in last.values())
    assert first["known"]["unit"] == "rows"


@pytest.mark.parametrize("fails", [False, True], ids=["break", "exception"])
def test_a_loop_that_is_left_is_not_done(store, fails):
    """It tells how far it came; the same loop again begins anew."""

    def loop() -> None:
        for number in outlive.track(range(10)):
            if number == 3:
                if fails:
                    raise ValueError
                break

    with outlive.capture(store=store) as run:
        with contextlib.suppress(ValueError):
            loop()
        assert steps(run)[-1] == ("rows", 3, False)
        for _ in outlive.track(range(2)):
            pass
    assert steps(run)[-1] == ("rows", 2, True)


def test_the_same_loop_begins_anew_while_the_old_one_is_left_over(store):
    """What counts is what was begun last."""
    with outlive.capture(store=store) as run:
        old = outlive.track(range(10))
        assert [next(old), next(old)] == [0, 1]
        list(outlive.track(range(3)))
        assert next(old) == 2
    assert steps(run)[-2:] == [("rows", 0, False), ("rows", 3, True)]


def test_what_comes_in_its_own_time_is_counted(store):
    """An async iterable as any other."""

    async def produce() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async def main() -> list[int]:
        return [number async for number in outlive.track(produce(), stage="later", total=3)]

    with outlive.capture(store=store) as run:
        assert asyncio.run(main()) == [0, 1, 2]
    assert asyncio.run(main()) == [0, 1, 2]
    assert steps(run)[0] == ("later", 0, False)
    assert steps(run)[-1] == ("later", 3, True)


def test_threads_advance_one_stage(store):
    """No step of any thread is lost."""

    def work() -> None:
        for _ in range(2000):
            rows.advance()

    capture, pool = outlive.capture(store=store), ThreadPoolExecutor(8)
    with capture as run, outlive.stage("rows") as rows, pool:
        for _ in range(8):
            pool.submit(work)
    assert steps(run)[-1] == ("rows", 16_000, True)


def test_few_entries_are_written_of_many_steps(store, monkeypatch):
    """The first, the last, and between them one in each pause."""
    # One of its own: that of this process may be about to pause, and all other tests need it.
    looker = stages._Looker(3600.0)
    monkeypatch.setattr(stages, "_looker", lambda: looker)
    with outlive.capture(store=store) as run:
        for _ in outlive.track(range(100_000)):
            pass
        with outlive.stage("more") as more:
            for number in range(1000):
                more.update(number)
                more.advance()
    assert len(steps(run)) <= 6
    assert ("rows", 100_000, True) in steps(run)
    assert steps(run)[-1] == ("more", 1000, True)


@pytest.mark.parametrize("number", ["x", None, [1]])
def test_progress_is_a_number(store, number):
    """What is none is refused where it is told; what JSON has no words for is left out."""
    with outlive.capture(store=store) as run:
        with pytest.raises(RunError, match="stage 'rows': give a number, not"):
            outlive.stage("rows").update(number)
        outlive.stage("more", total=float("inf")).update(float("nan"))
    assert told(run)[-1]["name"] == "more"
    assert (told(run)[-1]["current"], told(run)[-1]["total"]) == (0, None)


@pytest.mark.parametrize("name", [5, None, b"x"])
def test_names_are_texts(store, name):
    """What is none is refused where it is told: who reads relies on it."""
    with outlive.capture(store=store) as run:
        with pytest.raises(RunError, match="stage: give a text, not"):
            outlive.stage(name)
        with pytest.raises(RunError, match="event: give a text, not"):
            outlive.event(name, {})
    assert [entry.kind for entry in entries_of(run)] == [Kind.END]


def test_an_event_is_any_json(store):
    """With its name, in its place among the prints."""
    with outlive.capture(store=store) as run:
        print("before")
        outlive.event("order", {"id": 3, "tags": ["ä"]})
        print("after")
    assert told(run, Kind.EVENT) == [{"name": "order", "data": {"id": 3, "tags": ["ä"]}}]
    kinds = [entry.kind for entry in entries_of(run)]
    assert kinds == [Kind.OUT, Kind.EVENT, Kind.OUT, Kind.END]


def test_an_event_can_be_told_everywhere(store):
    """The activity has it, and whose it is; other events it has not."""
    with outlive.capture(title="Import", labels={"a": "b"}, owner="me", store=store) as run:
        outlive.event("mine", 1)
        outlive.event("all", {"id": 3}, everywhere=True)
    events = [entry.data for entry in Reader(store.activity()).read() if entry.kind is Kind.EVENT]
    sender = {"run": run.id, "title": "Import", "labels": {"a": "b"}, "owner": "me"}
    assert {"name": "all", "data": {"id": 3}, **sender} in events
    assert {event["name"] for event in events} == {"run", "all"}
    assert [event["name"] for event in told(run, Kind.EVENT)] == ["mine", "all"]


@pytest.mark.parametrize("data", [{1, 2}, float("nan"), object()])
def test_what_is_no_json_is_refused(store, data):
    """With one clear error, and the run goes on."""
    with outlive.capture(store=store) as run:
        with pytest.raises(RunError, match="event 'order': its data cannot be written as JSON: "):
            outlive.event("order", data)
        print("on")
    assert run.text() == "on\n"
    assert json.dumps(told(run, Kind.EVENT)) == "[]"


def test_what_is_too_large_is_refused(store):
    """And nothing else is lost of it."""
    with outlive.capture(store=store) as run:
        print("before")
        with pytest.raises(outlive.JournalError, match="may have more than"):
            outlive.event("order", "x" * (17 * 1024 * 1024))
        print("after")
    assert run.text() == "before\nafter\n"


def test_outside_of_runs_nothing_happens(store):
    """Code that tells of stages can be called by anybody; also what a run left over."""
    with outlive.stage("a", total=1) as one:
        one.advance()
        one.update(3)
    assert list(outlive.track([1, 2])) == [1, 2]
    outlive.event("x", {1})
    go = threading.Event()

    def linger() -> None:
        go.wait(30)
        outlive.event("late", 1)
        with outlive.stage("late") as late:
            late.advance()

    with outlive.capture(store=store) as run:
        thread = threading.Thread(target=linger)
        thread.start()
    go.set()
    thread.join()
    assert told(run) == told(run, Kind.EVENT) == []
