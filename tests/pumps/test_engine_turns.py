"""Turns of the engine: who stalls, vanishes or is one of thousands holds up nobody else."""

import contextlib
import ctypes
import errno
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from outlive.entries import Kind
from outlive.journals.memory import MemoryJournal
from outlive.pumps.engine import (
    CHUNKED,
    CLOSED,
    connections,
    groups,
    loop,
    sending,
)
from outlive.pumps.engine.connections import Block, Connection
from outlive.pumps.engine.loop import Engine
from outlive.viewers import Viewer
from tests.formats.logs import make_journal
from tests.helpers import eventually
from tests.pumps.clients import Client, dechunk, opened
from tests.pumps.pumpings import END, add, make_viewer


def list_blocks() -> list[Block]:
    """Find all there are."""
    gc.collect()
    # To ask isinstance is to ask the object, and lazy ones of Django's fail then.
    return [each for each in gc.get_objects() if type(each) is Block]


def test_one_that_reads_nothing_holds_up_nobody_and_catches_up(engine, monkeypatch):
    """Nothing is kept for it but where it is, however much is sent to others meanwhile."""
    monkeypatch.setattr(groups, "_SHELF_SIZE", 100_000)
    journal = make_journal([], end=None)
    before = len(list_blocks())
    stalled, taking = Client(engine, journal), Client(engine, journal)
    for _ in range(200):
        add(journal, b"x" * 9_999 + b"\n")
        # All in one block would be no proof.
        taking.read_until(len(taking.data) + 10_000)
    assert len(list_blocks()) - before < 30
    assert sum(len(block.data or b"") for block in engine._shelf._blocks) <= 100_000
    add(journal, END, Kind.END)
    assert len(stalled.read_all()) == len(taking.read_all()) == 2_000_000


def test_a_run_may_end_while_all_are_behind(engine):
    """Each gets everything, and then its end."""
    journal = make_journal([], end=None)
    clients = [Client(engine, journal, framing=CHUNKED) for _ in range(50)]
    for _ in range(20):
        add(journal, b"x" * 20_000)
    add(journal, END, Kind.END)
    for client in clients:
        assert dechunk(client.read_all()) == b"x" * 400_000


def test_what_only_one_is_sent_is_not_read_again(engine, monkeypatch):
    """A page is written by a format that has moved on."""
    monkeypatch.setattr(groups, "_SHELF_SIZE", 0)
    journal = make_journal([], end=None)
    stalled, taking = (Client(engine, journal, "html") for _ in range(2))
    for number in range(20):
        add(journal, b"x" * 10_000 + b"%d\n" % number)
        eventually(lambda: taking.read(1 << 20) or b"%d\n" % number in taking.data)  # noqa: B023 - at once
    add(journal, END, Kind.END)
    assert stalled.read_all() == taking.read_all()


class Steps:
    """An engine that works when it is told to, and clients at its head."""

    def __init__(self, *journals: MemoryJournal) -> None:
        self.engine = Engine()
        self.clients = [Client(self.engine, journal) for journal in journals]
        self.work()
        assert all(group.heads for group in self.engine._groups.values())

    def work(self) -> None:
        """Do all there is to do."""
        self.step()
        while self.engine._moved or self.engine._ready or self.engine._adopted:
            self.step()

    def step(self) -> None:
        """Do a part of it."""
        self.engine._looked_at = 0.0
        self.engine._is_stopping = True  # so that it waits for nothing
        self.engine._look()
        self.engine._work()

    def count(self) -> list[int]:
        """Count the bytes that each client has."""
        for client in self.clients:
            client.read(1 << 20)
        return [len(client.data) for client in self.clients]

    def close(self) -> None:
        """End it."""
        self.engine._end_all(is_orderly=True)


@pytest.fixture
def stepping() -> Iterator[Callable[..., Steps]]:
    """Make engines that work step by step."""
    with contextlib.ExitStack() as stack:

        def start(*journals: MemoryJournal) -> Steps:
            steps = Steps(*journals)
            stack.callback(steps.close)
            return steps

        yield start
    while opened:
        opened.pop().close()


def test_many_viewers_of_one_run_hold_up_nobody_else(stepping, monkeypatch):
    """Amid a round other runs have their turn, new viewers are sent what there is, and some go."""
    one, two = (make_journal([(Kind.OUT, b"x")], end=None) for _ in range(2))
    steps = stepping(one, one, one, one, two)
    assert steps.count() == [1, 1, 1, 1, 1]
    monkeypatch.setattr(groups, "_SLICE", 1)
    monkeypatch.setattr(loop, "_HEADS_TURN", 0)
    add(one, b"y" * 9)
    add(two, b"y" * 9)
    steps.step()
    steps.step()
    counts = steps.count()
    assert sorted(counts[:4]) == [1, 1, 1, 10]
    assert counts[4] == 10
    steps.clients.append(Client(steps.engine, one))
    steps.clients.pop(counts.index(1)).socket.close()
    for _ in range(5):
        steps.step()
    assert steps.count() == [10] * 5
    add(one, b"y")
    steps.work()
    assert sorted(steps.count()) == [10, 11, 11, 11, 11]


@pytest.mark.parametrize("code", [errno.EINTR, errno.ENOBUFS, errno.ENOMEM])
def test_without_memory_for_a_send_it_is_tried_again(stepping, code, monkeypatch):
    """No byte is skipped and nobody dropped, though no event tells that there is memory again."""
    journal = make_journal([], end=None)
    steps = stepping(journal, journal)

    def fail(*_: object) -> int:
        ctypes.set_errno(code)
        return -1

    with monkeypatch.context() as patch:
        patch.setattr(groups, "push", fail)
        patch.setattr(sending, "push", fail)
        add(journal, b"one\n")
        steps.work()
        assert steps.count() == [0, 0]
    add(journal, b"two\n")
    eventually(lambda: steps.work() or steps.count() == [8, 8])
    assert steps.clients[0].data == b"one\ntwo\n"


def test_who_takes_nothing_for_long_is_dropped(engine, monkeypatch):
    """Who comes again with its cursor has missed nothing."""
    monkeypatch.setattr(loop, "_LOOK", 0.05)
    monkeypatch.setattr(loop, "PATIENCE", 0.3)
    journal = make_journal([], end=None)
    client, other = Client(engine, journal, "sse"), Client(engine, journal, "sse")
    reader = threading.Thread(target=other.read_all)
    reader.start()
    add(journal, (b"x" * 99 + b"\n") * 500)
    assert eventually(lambda: client.done) == [False]
    assert not other.done
    add(journal, END, Kind.END)
    reader.join(30)
    with contextlib.suppress(ConnectionResetError):
        client.read_all()
    assert other.data.startswith(client.data)


def test_who_is_there_but_reads_nothing_has_more_time_than_who_vanished(engine, monkeypatch):
    """To the kernel a window that stays shut is as bad as no answer."""
    monkeypatch.setattr(loop, "_LOOK", 0.05)
    journal = make_journal([], end=None)
    client = Client(engine, journal)

    def patience() -> int:
        (connection,) = engine.connections.values()
        return connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) // 1000

    eventually(lambda: engine.connections)
    assert patience() == connections.VANISHED
    add(journal, b"x" * 100_000)
    assert eventually(lambda: patience() == connections.PATIENCE)
    client.read_until(100_000)
    assert eventually(lambda: patience() == connections.VANISHED)


def step_beside(steps: Steps, viewer: Viewer) -> tuple[Connection, socket.socket]:
    """Have one more viewer, who came long ago; gives its connection, and the other end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    opened.append(theirs)
    steps.engine.adopt(ours, viewer, CLOSED)
    steps.work()
    connection = steps.engine.connections[ours.fileno()]
    connection.taken_at -= 2 * connections.PATIENCE
    return connection, theirs


def test_who_stalls_after_long_at_the_head_has_all_its_time(stepping, monkeypatch):
    """To be looked after then, too: nothing tells of one that takes nothing."""
    journal = make_journal([], end=None)
    steps = stepping(journal)
    connection, theirs = step_beside(steps, make_viewer(journal))
    assert connection.viewer is None
    monkeypatch.setattr(loop, "_LOOK", 0)
    add(journal, b"x" * 1_000_000)
    steps.work()
    assert monotonic() - connection.taken_at < connections.PATIENCE
    assert connection in steps.engine.connections.values()
    monkeypatch.setattr(loop, "PATIENCE", 0)
    eventually(lambda: steps.work() or connection not in steps.engine.connections.values())
    assert theirs.recv(9) == b"x" * 9


def test_who_is_beside_the_head_may_have_nothing_to_take_for_long(stepping):
    """As of a run that is silent, from the middle of a line."""
    journal = make_journal([], end=None)
    steps = stepping(journal)
    viewer = make_viewer(journal)
    viewer.place = viewer.place._replace(state=True)
    connection, theirs = step_beside(steps, viewer)
    assert connection in connection.group.asides
    steps.engine._look_after(connection, monotonic())
    add(journal, b"one\n")
    steps.work()
    assert theirs.recv(9) == b"one\n"
