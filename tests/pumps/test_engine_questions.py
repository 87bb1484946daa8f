"""What a worker asks the engine's process, and what it does where that does not answer."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from outlive.entries import BEGINNING
from outlive.errors import EngineError
from outlive.feeds import find_feed
from outlive.formats.text import TextFormat
from outlive.pumps.engine import CHUNKED
from outlive.pumps.engine.gates import name_gate
from outlive.pumps.engine.messages import HandOver, encode
from outlive.pumps.engine.processes import ProcessHost
from outlive.stores import DirectoryStore
from outlive.viewers import Viewer
from tests.helpers import eventually, few_descriptors
from tests.pumps.workers import begin_run, engines_of, hand_over, make_viewer, write_lines


def kill_engine(store: DirectoryStore) -> None:
    """Kill the one that is there."""
    (engine,) = engines_of(store.path)
    os.kill(engine, signal.SIGKILL)
    eventually(lambda: not engines_of(store.path))


def test_who_is_handed_over_as_an_engine_dies_is_begun_by_the_next(store, host):
    """The one that took it, and no other, is told that it may begin."""
    writer = begin_run(store)
    write_lines(writer, range(1))
    hand_over(host, store, writer.journal.run).close()
    kill_engine(store)
    with hand_over(host, store, writer.journal.run) as client:
        assert client.recv(99) == b"2\r\n0\n\r\n"


def test_a_seat_that_went_with_its_engine_is_no_trouble_of_the_next(store, host, caplog):
    """Work may take long to start: meanwhile anything may have happened."""
    run = begin_run(store).journal.run
    seat = host.take(None, "")
    kill_engine(store)
    seat.name_run(run)
    seat.leave()
    host.take(run, "").leave()
    assert caplog.text.count("died") == 1
    assert "no engine for" not in caplog.text


def test_who_is_interrupted_amid_a_question_gets_no_answer_later(store, host):
    """As by a signal that limits the time of a view: what is asked next has its own answer."""
    viewer = make_viewer(store.journal(begin_run(store).journal.run))
    host.take(None, "").leave()
    (engine,) = engines_of(store.path)

    def interrupt() -> None:
        eventually(host._lock.locked)
        os.kill(os.getpid(), signal.SIGUSR1)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGUSR1, fail)
    os.kill(engine, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(ZeroDivisionError):
            host.take(None, "")
        thread.join(30)
    finally:
        os.kill(engine, signal.SIGCONT)
        signal.signal(signal.SIGUSR1, before)
    assert ask_without_descriptor(host, viewer) == "the engine has no descriptor left"


def ask_without_descriptor(host: ProcessHost, viewer: Viewer) -> str:
    """Hand a viewer over without its socket; gives why that is refused."""
    with host._asking():
        return host._ask(encode(HandOver.of(viewer, CHUNKED, b"", None))).refusal


def test_an_engine_that_does_not_answer_is_left_alone(store, host):
    """Its worker goes on by itself, and nothing is sent twice when it wakes up."""
    writer = begin_run(store)
    write_lines(writer, range(1))
    hand_over(host, store, writer.journal.run).close()
    # By which the connection is known, as long as there is somebody who has it.
    seat = host.take(None, "")
    (engine,) = engines_of(store.path)
    assert host._link is not None
    host._link.sock.settimeout(0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        viewer = make_viewer(store.journal(writer.journal.run), "text")
        os.kill(engine, signal.SIGSTOP)
        try:
            with pytest.raises(EngineError, match="does not answer"):
                host.adopt(ours, viewer, CHUNKED)
            with pytest.raises(EngineError, match="a short while ago"):
                host.take(None, "")
        finally:
            os.kill(engine, signal.SIGCONT)
        host._retry_at = 0.0
        assert ask_without_descriptor(host, viewer).startswith("the engine has no descriptor")
        ours.sendall(b"by the worker")
        ours.close()
        assert theirs.recv(99) == b"by the worker"
        assert theirs.recv(99) == b""
    seat.leave()


def test_what_comes_without_its_descriptor_is_refused(store, host):
    """The kernel drops it where the engine has none left for it."""
    viewer = make_viewer(store.journal(begin_run(store).journal.run))
    assert ask_without_descriptor(host, viewer) == "the engine has no descriptor left"


def test_a_worker_without_descriptors_goes_on_by_itself(store, host):
    """It has none to find the engine by."""
    with few_descriptors(), pytest.raises(EngineError, match="open files"):
        host.take(None, "")


def test_another_version_has_an_engine_of_its_own(store, host, monkeypatch):
    """What they tell each other need not be understood by any other."""
    writer = begin_run(store)
    with hand_over(host, store, writer.journal.run):
        monkeypatch.setattr("outlive.__version__", "0.0.0")
        host.forget()
        monkeypatch.setattr("outlive.pumps.engine.processes.START_SECONDS", 0.5)
        # It is of this version nevertheless, and told to be found by that name.
        with pytest.raises(EngineError, match=r"no engine: .* in time"):
            hand_over(host, store, writer.journal.run)


def test_each_version_in_each_place_and_network_has_a_gate_and_a_lock(monkeypatch):
    """Of its own: what one tells its engine another need not understand, nor see who listens."""
    gates = [name_gate()]
    with monkeypatch.context() as patch:
        patch.setattr("outlive.__version__", "0.0.0")
        gates.append(name_gate())
    with monkeypatch.context() as patch:
        # Another container has another network; here any other namespace does.
        patch.setattr("outlive.pumps.engine.gates.NETWORK", Path("/proc/self/ns/mnt"))
        gates.append(name_gate())
    monkeypatch.setattr("outlive.pumps.engine.gates.__file__", "/elsewhere/gates.py")
    gates.append(name_gate())
    names, locks = map(set, zip(*gates, strict=True))
    assert len(names) == len(locks) == 4


def test_what_only_its_own_process_can_send_stays_there(store, host):
    """A format that asks who may see what, and one that cannot be written down."""
    writer = begin_run(store)
    for name, value in (("asks", True), ("secret", lambda: None)):
        form = TextFormat(writer.journal.run, (99, name))
        setattr(form, name, value)
        feed = find_feed(store.journal(writer.journal.run), form)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            with pytest.raises(EngineError):
                host.adopt(ours, Viewer(feed, feed.begin(BEGINNING), b"", 0.0), CHUNKED)
            ours.sendall(b"still here")
            assert theirs.recv(99) == b"still here"


def test_what_cannot_be_started_is_told_once(store, host, monkeypatch, caplog):
    """And not tried again for each viewer."""
    monkeypatch.setattr("outlive.platforms.interpreter", lambda: "/nothing/here")
    writer = begin_run(store)
    for _ in range(3):
        with pytest.raises(EngineError):
            hand_over(host, store, writer.journal.run)
    assert caplog.text.count("no engine for") == 1
