"""The engine: many on one loop, each line to each exactly once, whatever clients do."""

import os
import random
import socket
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlive.entries import Kind
from outlive.errors import EngineError
from outlive.pumps.engine import CHUNKED, CLOSED, groups, loop, threads
from outlive.pumps.engine.loop import Engine
from outlive.pumps.engine.wheel import GRAIN, Wheel
from tests.formats.logs import make_journal
from tests.helpers import eventually, few_descriptors
from tests.pumps.clients import Client, dechunk, running
from tests.pumps.pumpings import END, add, make_viewer


def lines_of(events: bytes) -> list[bytes]:
    """Get the data of unnamed events."""
    unnamed = (event for event in events.split(b"\n\n") if b"event: " not in event)
    lines = (line for event in unnamed for line in event.split(b"\n"))
    return [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]


_pieces = st.one_of(
    st.integers(0, 9).map(lambda number: b"%d\n" % number),
    st.integers(0, 9).map(lambda number: b"%d," % number),
    st.integers(1, 60_000).map(lambda size: b"x" * size),
    st.integers(1, 900).map(lambda count: b"line of some length\n" * count),
)


@pytest.mark.parametrize("framing", [CHUNKED, CLOSED], ids=["chunked", "closed"])
@pytest.mark.parametrize("form", ["text", "sse"])
@pytest.mark.parametrize("way", ["kept", "read again", "sliced"])
def test_every_line_comes_exactly_once(engine, framing, form, way, monkeypatch):
    """To clients that come and go at any time and read at random.

    Whether blocks are kept or not, and whether all are sent them in one turn or each in its own.
    """
    if way == "read again":
        monkeypatch.setattr(groups, "_SHELF_SIZE", 0)
    if way == "sliced":
        monkeypatch.setattr(groups, "_SLICE", 1)
        monkeypatch.setattr(loop, "_HEADS_TURN", 0)
    monkeypatch.setattr("outlive.viewers.PARTIAL", 0.001)

    @settings(max_examples=15, deadline=None, suppress_health_check=[*HealthCheck])
    @given(st.lists(_pieces, max_size=30), st.randoms(use_true_random=False))
    def check(pieces: list[bytes], chance: random.Random) -> None:
        journal = make_journal([], end=None)
        clients = [Client(engine, journal, form, framing)]
        for piece in pieces:
            add(journal, piece)
            if chance.random() < 0.2:
                clients.append(Client(engine, journal, form, framing))
            for client in clients:
                client.read(chance.choice([1, 100, 10_000, 1_000_000]))
            if len(clients) > 1 and chance.random() < 0.1:
                clients.pop(chance.randrange(len(clients))).socket.close()
        add(journal, END, Kind.END)
        text = b"".join(pieces)
        for client in clients:
            data = client.read_all()
            body = dechunk(data) if framing is CHUNKED else data
            if form == "text":
                assert body == text
            else:
                lines = text.split(b"\n")
                assert lines_of(body) == (lines if lines[-1] else lines[:-1])
            eventually(lambda: client.done)  # noqa: B023 - at once
            assert client.done == [True]
        eventually(lambda: not journal._watchers)

    check()


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR, None])
@pytest.mark.parametrize("is_behind", [False, True])
def test_a_client_that_goes_is_noticed_at_once(engine, how, is_behind):
    """Whether it closes, half-closes or resets, and whether it has read everything or nothing."""
    journal = make_journal([(Kind.OUT, b"x" * (3_000_000 if is_behind else 1))], end=None)
    client, other = Client(engine, journal), Client(engine, journal)
    eventually(lambda: client.read(1) or client.data)
    if how is None:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
    else:
        client.socket.shutdown(how)
    assert eventually(lambda: client.done) == [False]
    assert not other.done
    assert journal._watchers


def test_a_second_request_does_not_spoil_the_end(engine):
    """What nobody reads would turn the end into a reset."""
    journal = make_journal([(Kind.OUT, b"x" * 100_000)])
    client = Client(engine, journal)
    client.socket.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
    assert len(client.read_all()) == 100_000
    assert eventually(lambda: client.done) == [True]


@pytest.mark.parametrize("framing", [CHUNKED, CLOSED])
def test_a_mistake_ends_only_the_viewers_of_its_feed(engine, framing, caplog):
    """Cut short, a stream does not look complete."""
    good, bad = (make_journal([(Kind.OUT, b"one\n")], end=None) for _ in range(2))
    clients = [Client(engine, journal, framing=framing) for journal in (good, bad)]
    for client in clients:
        eventually(lambda: client.read(99) or client.data)  # noqa: B023 - at once

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    bad.scan = fail  # type: ignore[method-assign, assignment]
    bad.notify()
    if framing is CLOSED:
        with pytest.raises(ConnectionResetError):
            clients[1].read_all()
    else:
        assert not clients[1].read_all().endswith(b"0\r\n\r\n")
    assert "a stream was cut short" in caplog.text
    add(good, END, Kind.END)
    assert b"one\n" in clients[0].read_all()


def test_a_journal_that_cannot_be_watched_has_no_viewers(engine, monkeypatch, caplog):
    """All others' streams go on; a thread that watches may be one too many."""
    good, bad = (make_journal([(Kind.OUT, b"one\n")], end=None) for _ in range(2))
    client = Client(engine, good)
    eventually(lambda: client.read(99) or client.data)

    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(bad, "watch", fail)
    other = Client(engine, bad)
    assert eventually(lambda: other.done) == [False]
    assert "a stream was cut short" in caplog.text
    add(good, END, Kind.END)
    assert client.read_all() == b"one\n"


def test_who_is_amid_what_is_removed_is_cut(engine, monkeypatch):
    """What it was being sent cannot be read again, and nothing else may come in its place."""
    monkeypatch.setattr(groups, "_SHELF_SIZE", 0)
    journal = make_journal([(Kind.OUT, b"x" * 100_000)] * 10, end=None)
    client = Client(engine, journal)
    eventually(lambda: client.read(1) or client.data)
    other = Client(engine, journal)
    eventually(lambda: other.read(1 << 20) or len(other.data) == 1_000_000)
    journal.remove_oldest(0)
    with pytest.raises(ConnectionResetError):
        client.read_all()
    other.socket.close()


@pytest.mark.parametrize(("form", "is_whole"), [("text", False), ("sse", True)])
def test_all_streams_end_with_the_engine(form, is_whole):
    """Completely where the client comes again by itself, which says nothing of the run."""
    journal = make_journal([(Kind.OUT, b"one\n")], end=None)
    with running() as engine:
        client = Client(engine, journal, form, CHUNKED)
        eventually(lambda: client.read(999) or client.data)
    assert client.read_all().endswith(b"0\r\n\r\n") is is_whole
    assert not journal._watchers


def test_no_end_comes_before_the_head_of_a_response():
    """Of whom an engine was given as it is stopped: it would be no response at all."""
    engine = Engine()
    ours, theirs = socket.socketpair()
    with theirs:
        engine.adopt(ours, make_viewer(make_journal([], end=None), "sse"), CHUNKED, head=b"head")
        engine._take_in()
        engine._end_all(is_orderly=True)
        assert theirs.recv(9) == b""


def test_where_nothing_can_be_opened_no_engine_begins():
    """And the connection stays with its server."""
    threads.stop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        viewer = make_viewer(make_journal([], end=None))
        with few_descriptors(1), pytest.raises(EngineError, match="open files"):
            threads.adopt(ours, viewer, CLOSED)
        ours.sendall(b"still here")
        assert theirs.recv(99) == b"still here"


def test_who_comes_where_others_are_is_sent_its_own_opening_first(engine):
    """Whether they are at the head or behind it; and then what all are sent."""
    journal = make_journal([], end=None)
    first = Client(engine, journal, "sse", opening=b"opening\n\n")
    eventually(lambda: first.read(99) or first.data)
    second = Client(engine, journal, "sse", opening=b"opening\n\n")
    eventually(lambda: second.read(99) or second.data)
    add(journal, b"x" * 2_000_000 + b"\n")
    add(journal, b"one\n")
    third = Client(engine, journal, "sse", opening=b"opening\n\n")
    add(journal, END, Kind.END)
    for client in (first, second, third):
        data = client.read_all()
        assert data.startswith(b"opening\n\n")
        assert data.count(b"opening") == 1
        assert data.count(b"data: one\n") == 1


def test_a_forked_child_holds_no_connection():
    """Or what is cut here would stay open until the child's end."""
    journal = make_journal([(Kind.OUT, b"one\n")], end=None)
    client = Client(threads._find().engine, journal, framing=CHUNKED)
    eventually(lambda: client.read(99) or client.data)
    wait, go = os.pipe()
    child = os.fork()
    if not child:
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    try:
        os.close(wait)
        journal.scan = None  # type: ignore[method-assign, assignment]
        journal.notify()
        client.socket.settimeout(5)
        assert client.read_all() == CHUNKED.frame((b"one\n",))
    finally:
        os.close(go)
        os.waitpid(child, 0)


def test_what_a_host_attends_is_looked_at_in_the_same_loop(engine, caplog):
    """Until it is disregarded, or fails, which is told and harms no stream."""
    journal = make_journal([(Kind.OUT, b"one\n")], end=None)
    client = Client(engine, journal)
    ours, theirs = socket.socketpair()
    got: list[bytes] = []

    def take() -> None:
        got.append(ours.recv(1))
        if got[-1] == b"x":
            raise ZeroDivisionError

    with ours, theirs:
        engine.call(monotonic(), lambda: engine.attend(ours.fileno(), take))
        engine._wake()
        theirs.send(b"ab")
        assert eventually(lambda: got == [b"a", b"b"])
        theirs.send(b"xy")
        assert eventually(lambda: "ZeroDivisionError" in caplog.text)
        add(journal, END, Kind.END)
        assert client.read_all() == b"one\n"
    assert got == [b"a", b"b", b"x"]


def test_a_host_is_called_when_it_wants_to_be():
    """Though there is not one viewer."""
    calls: list[float] = []
    engine = Engine()
    engine.call(monotonic() + 0.03, lambda: calls.append(monotonic()))
    engine.call(monotonic() + 0.05, engine.stop)
    began = monotonic()
    engine.run()
    assert calls[0] - began >= 0.02


def test_an_engine_that_dies_cuts_its_streams_and_another_begins(monkeypatch, caplog):
    """Nobody waits in vain, and what comes to it meanwhile stays with its server."""
    journal = make_journal([(Kind.OUT, b"one\n")], end=None)
    dead = threads._find().engine
    client = Client(dead, journal, framing=CHUNKED)
    eventually(lambda: client.read(99) or client.data)
    monkeypatch.setattr(dead, "_take_in", None)
    dead._wake()
    assert client.read_all() == CHUNKED.frame((b"one\n",))
    assert eventually(lambda: client.done) == [False]
    eventually(lambda: "the engine died" in caplog.text)
    assert not journal._watchers
    left, right = socket.socketpair()
    with left, right, pytest.raises(EngineError):
        dead.adopt(left, make_viewer(journal), CHUNKED)
    assert not dead._adopted
    eventually(lambda: threads._find().engine is not dead)
    other = Client(threads._find().engine, journal)
    assert eventually(lambda: other.read(99) or other.data) == b"one\n"
    other.socket.close()


def test_a_wheel_gives_out_each_thing_once_and_not_too_early():
    """Set twice, a thing comes at the earlier time; dropped, not at all."""
    wheel: Wheel[str] = Wheel()
    wheel.set("a", 1.0)
    wheel.set("a", 2.0)
    wheel.set("b", 1.5)
    wheel.set("b", 0.5)
    wheel.set("c", 0.7)
    wheel.drop("c")
    assert not list(wheel.due(0.5 - GRAIN))
    assert list(wheel.due(0.5 + 2 * GRAIN)) == ["b"]
    assert list(wheel.due(3.0)) == ["a"]
    assert wheel.upcoming() is None


def test_who_is_given_out_by_a_wheel_may_drop_whoever_else_is_due():
    """Or set them anew, for a later time."""
    wheel: Wheel[str] = Wheel()
    for thing in "abc":
        wheel.set(thing, 1.0)
    due = wheel.due(2.0)
    first = next(due)
    second, third = sorted({"a", "b", "c"} - {first})
    wheel.drop(second)
    wheel.drop(third)
    wheel.set(third, 3.0)
    assert not list(due)
    assert list(wheel.due(4.0)) == [third]
