"""Processes that a run's work starts write into the run, however they are started."""

import gc
import logging
import multiprocessing
import os
import sys
import threading
import time
import weakref
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from outlive.entries import Kind
from outlive.errors import RunError
from outlive.journals.readers import Reader
from outlive.runs import current_run
from outlive.sources.stages import event
from outlive.stores import MemoryStore
from tests.captures import capturing, entries_of, run_program, texts_of
from tests.helpers import eventually

METHODS = ["fork", "forkserver", "spawn"]


@pytest.fixture(params=METHODS)
def context(request):
    """Give each way of starting processes."""
    return multiprocessing.get_context(request.param)


@pytest.fixture(params=["fork", "spawn"])
def close_context(request):
    """Give each whose processes have the descriptors of this one, not of the first that forked."""
    return multiprocessing.get_context(request.param)


def speak(name: str) -> None:
    """Write in all ways there are."""
    print(f"{name} prints")
    print(f"{name} complains", file=sys.stderr)
    logging.getLogger("tests.children").warning("%s logs", name)
    thread = threading.Thread(target=print, args=(f"{name}'s thread prints",))
    thread.start()
    thread.join()
    sys.stdout.buffer.write(f"{name} ends".encode())


def test_a_run_that_had_children_is_let_go_at_once(context):
    """And with it what it holds open: nothing of it waits for the garbage collector."""
    gc.disable()
    try:
        with capturing() as run:
            child = context.Process(target=print)
            child.start()
            child.join()
        kept = weakref.ref(run)
        del run
        eventually(lambda: kept() is None)
    finally:
        gc.enable()


def test_what_a_child_writes_is_the_runs(context):
    """Prints, errors, records and threads, each kind as itself, in their order."""
    with capturing() as run:
        child = context.Process(target=speak, args=("child",))
        child.start()
        child.join()
    assert child.exitcode == 0
    assert texts_of(run, Kind.ERR) == "child complains\n"
    assert texts_of(run, Kind.LOG) == "WARNING tests.children: child logs\n"
    assert run.text() == (
        "child prints\nchild complains\nWARNING tests.children: child logs\n"
        "child's thread prints\nchild ends"
    )


def test_each_child_has_an_origin_of_its_own(context):
    """Children of children, too; the work itself has 0."""
    with capturing() as run:
        print("parent")
        children = [context.Process(target=print, args=(f"child {i}",)) for i in range(3)]
        children.append(context.Process(target=start_another, args=(context.get_start_method(),)))
        for child in children:
            child.start()
        for child in children:
            child.join()
    origins = {entry.text: entry.origin for entry in entries_of(run)[:-1]}
    assert set(origins) == {b"parent\n", b"child 0\n", b"child 1\n", b"child 2\n", b"deep\n"}
    assert origins[b"parent\n"] == 0
    assert len(set(origins.values())) == 5


def start_another(method: str) -> None:
    """Start a child of a child."""
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=print, args=("deep",))
    child.start()
    child.join()


def test_a_child_that_is_not_waited_for_is_heard_to_its_end(context, monkeypatch):
    """The run's end waits for what children that are ending wrote, and for those that start."""
    # To start one takes long on a busy machine.
    monkeypatch.setattr("outlive.children._PATIENCE_SECONDS", 30.0)
    with capturing() as run:
        for number in range(3):
            context.Process(target=print, args=(f"child {number}",)).start()
    assert sorted(run.text().splitlines()) == ["child 0", "child 1", "child 2"]


def fail() -> None:
    """Fail."""
    raise ValueError("deep")


def test_a_failure_of_a_child_is_told_in_the_run(context):
    """Its traceback is standard error of the run."""
    with capturing() as run:
        child = context.Process(target=fail)
        child.start()
        child.join()
    assert child.exitcode == 1
    assert "ValueError: deep" in texts_of(run, Kind.ERR)


def test_an_event_of_a_child_can_be_told_everywhere(context):
    """As one of the run, of which a child of the child is a part, too."""
    store = MemoryStore()
    with capturing(store) as run:
        for target, args in ((tell, ("child",)), (tell_deep, (context.get_start_method(),))):
            child = context.Process(target=target, args=args)
            child.start()
            child.join()
            assert child.exitcode == 0
    told = [entry.data for entry in Reader(store.activity()).read()]
    news = [(data["name"], data["data"]) for data in told if data.get("run") == run.id]
    assert news == [("news", "child"), ("news", "deep")]
    written = [entry.data["data"] for entry in entries_of(run) if entry.kind is Kind.EVENT]
    assert written == ["child", "deep"]


def tell(what: str) -> None:
    """Tell all who watch."""
    event("news", what, everywhere=True)


def tell_deep(method: str) -> None:
    """Tell it in a child of this one."""
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=tell, args=("deep",))
    child.start()
    child.join()


def test_what_a_child_cannot_know_of_the_run_is_refused(context):
    """It would wait for ever, or read nothing."""
    with capturing() as run:
        child = context.Process(target=ask)
        child.start()
        child.join()
    assert run.text().splitlines() == [f"run {run.id} is its parent's" for _ in range(3)]


def ask() -> None:
    """Ask the current run what only its parent knows."""
    run = current_run()
    assert run is not None
    for question in (run.wait, run.text, run.cancel):
        try:
            question()
        except RunError as error:
            print(str(error).partition(":")[0])


def test_a_run_of_a_child_s_own_ends_once(close_context, tmp_path):
    """Descriptors that it gave back by then are others' when the child ends."""
    child = close_context.Process(target=run_alone, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert {file.stat().st_size for file in tmp_path.iterdir()} == {0}


def run_alone(folder: Path) -> None:
    """Have a run with a child, and open many files afterwards."""
    with capturing() as run:
        child = multiprocessing.Process(target=print, args=("deep",))
        child.start()
        child.join()
    assert run.text() == "deep\n"
    for number in range(20):
        os.open(folder / f"{number}", os.O_WRONLY | os.O_CREAT)


class Worker(multiprocessing.Process):
    """Works by a method of its own."""

    def run(self) -> None:
        """Print."""
        print("mine", current_run() is not None)


def test_a_subclass_that_runs_by_itself_is_heard_too():
    """A process whose class has a `run` of its own is no exception, and can be pickled as before."""
    with capturing() as run:
        worker = Worker()
        worker.start()
        assert "run" not in vars(worker)
        worker.join()
    assert run.text() == "mine True\n"


def test_workers_of_pools_write_into_the_run_that_started_them(context):
    """Also those that a pool starts later, in place of others."""
    with capturing() as run:
        with context.Pool(2, maxtasksperchild=1) as pool:
            pool.map(print, ["a", "b", "c", "d"], chunksize=1)
            pool.close()
            pool.join()
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            list(executor.map(print, ["e", "f"]))
    assert sorted(run.text().splitlines()) == ["a", "b", "c", "d", "e", "f"]


def wait_for(path: str) -> None:
    """Say so, wait for a file, and say so."""
    print("waiting", flush=True)
    while not Path(path).exists():
        time.sleep(0.01)
    print("late", flush=True)


def test_a_child_that_is_left_over_goes_on_at_the_console(
    tmp_path, monkeypatch, close_context, capfd
):
    """The run says so and ends; nothing that the child writes later is lost."""
    monkeypatch.setattr("outlive.children._PATIENCE_SECONDS", 1.0)
    child = close_context.Process(target=wait_for, args=(str(tmp_path / "go"),))
    with capturing() as run:
        child.start()
        while "waiting" not in run.text():
            time.sleep(0.01)
    (tmp_path / "go").touch()
    child.join(30)
    assert run.text() == (
        "waiting\noutlive: 1 process is left over, and written to the console from here on\n"
    )
    assert capfd.readouterr().out.endswith("late\n")


def test_a_child_outside_of_runs_is_as_ever(capfd, close_context):
    """It prints where it always did."""
    with capturing():
        pass
    child = close_context.Process(target=print, args=("outside",), kwargs={"flush": True})
    child.start()
    child.join()
    assert capfd.readouterr().out.endswith("outside\n")


def wait_until_cancelled() -> None:
    """Wait until somebody asks the run to end."""
    run = current_run()
    assert run is not None
    print("waiting", flush=True)
    while not run.cancelled:
        time.sleep(0.01)
    print("asked to end")


def test_a_child_hears_that_the_run_was_asked_to_end(context):
    """So it may return."""
    with capturing() as run:
        child = context.Process(target=wait_until_cancelled)
        child.start()
        while "waiting" not in run.text():
            time.sleep(0.01)
        run.cancel()
        child.join(30)
    assert run.text() == "waiting\nasked to end\n"


def flood(name: str, count: int) -> None:
    """Write many lines."""
    for number in range(count):
        sys.stdout.write(f"{name} {number}\n")


def test_floods_of_children_are_neither_mixed_nor_lost():
    """Each child's lines are all there, in order, whatever the others write."""
    names = [f"child{i}" for i in range(4)]
    with capturing() as run:
        children = [multiprocessing.Process(target=flood, args=(name, 20_000)) for name in names]
        for child in children:
            child.start()
        flood("parent", 20_000)
        for child in children:
            child.join()
    texts: dict[int, bytes] = {}
    for entry in entries_of(run)[:-1]:
        texts[entry.origin] = texts.get(entry.origin, b"") + entry.text
    expected = ["".join(f"{name} {i}\n" for i in range(20_000)) for name in ["parent", *names]]
    assert sorted(texts.values()) == sorted(text.encode() for text in expected)


def test_multiprocessing_is_imported_by_nobody_but_its_user(tmp_path):
    """A run does not import it; whoever does within one is heard."""
    told = run_program(
        "def work(): print('child')\n"
        "with capture():\n"
        "    print('multiprocessing' in sys.modules)\n"
        "    import multiprocessing\n"
        "    child = multiprocessing.get_context('fork').Process(target=work)\n"
        "    child.start(); child.join()\n",
        tmp_path,
    )
    assert told.run == "False\nchild\n"
