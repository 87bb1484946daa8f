"""Ctrl-C, wherever it comes: a run that began has an end."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import pytest

import outlive
from outlive.entries import State
from outlive.runs import find_run
from outlive.stores import DirectoryStore, Store
from outlive.work import captures, exits, functions
from outlive.work.interrupts import HeldInterrupts

SECONDS = 30.0


@pytest.fixture
def store(tmp_path) -> Store:
    """Give an empty store."""
    return DirectoryStore(tmp_path)


def interrupt() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def states(store: Store) -> list[State]:
    """Tell how all runs fare."""
    return [record.end.state for record in store.records()]


def test_a_block_that_is_interrupted_while_it_begins_has_ended(store, monkeypatch):
    """And what follows is outside of it."""
    monkeypatch.setattr(captures, "follow_threads", interrupt)
    with pytest.raises(KeyboardInterrupt), outlive.capture(store=store):
        pytest.fail("it began")
    assert states(store) == [State.CANCELLED]
    assert outlive.current_run() is None


def test_a_block_that_is_interrupted_while_it_is_left_ends(store, monkeypatch):
    """And what follows is outside of it."""

    @contextlib.contextmanager
    def capture_logs(*_: object, **__: object) -> Iterator[None]:
        yield
        interrupt()

    monkeypatch.setattr(captures, "capture_logs", capture_logs)
    with pytest.raises(KeyboardInterrupt), outlive.capture(store=store) as run:
        pass
    assert outlive.current_run() is None
    assert run.wait(SECONDS) is State.SUCCEEDED


def test_a_start_that_is_interrupted_leaves_no_run_without_work(store, monkeypatch):
    """The work goes on, and its key is free when it is over."""
    original = exits.start_thread

    def start_thread(run, target) -> None:
        original(run, target)
        interrupt()

    monkeypatch.setattr(functions, "start_thread", start_thread)
    with pytest.raises(KeyboardInterrupt):
        outlive.start(print, "done", key="k", store=store)
    [record] = store.records()
    run = find_run(store, record.id)
    assert (run.wait(SECONDS), run.text()) == (State.SUCCEEDED, "done\n")


def test_a_second_interrupt_is_let_through():
    """Whatever is done there may take too long; the first is not told once more."""
    steps = []

    def work() -> None:
        with HeldInterrupts():
            interrupt()
            steps.append(1)
            interrupt()
            steps.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_program_is_called_later():
    """It is there again afterwards."""
    calls = []
    original = signal.signal(signal.SIGINT, lambda *_: calls.append(outlive.current_run()))
    try:
        with HeldInterrupts():
            interrupt()
            assert calls == []
        assert calls == [None]
        interrupt()
        assert calls == [None, None]
    finally:
        signal.signal(signal.SIGINT, original)


def test_other_threads_are_never_interrupted():
    """There nothing is held, and no handler can be set."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with HeldInterrupts():
                pass
        except BaseException as error:  # noqa: BLE001 - it is told below
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
