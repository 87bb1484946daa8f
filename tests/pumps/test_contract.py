"""What holds for every pump: when it sends, when it sleeps, and that it misses nothing."""

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from outlive.entries import End, Kind, State
from outlive.feeds import SEND_SIZE
from outlive.journals.base import Journal, Scan
from outlive.pumps import base
from tests.formats.logs import make_journal
from tests.helpers import eventually
from tests.pumps.pumpings import END, PUMPS, Pumping, add

Start = Callable[..., Pumping]


@pytest.fixture(params=PUMPS)
def start(request) -> Start:
    """Give each pump in turn."""
    return PUMPS[request.param]


@pytest.fixture(params=[name for name, pump in PUMPS.items() if pump.is_here])
def start_here(request) -> Start:
    """Give each pump in turn whose times can be changed."""
    return PUMPS[request.param]


@pytest.fixture
def journal(start) -> Iterator[Journal]:
    """Give an empty journal that the pump can read."""
    with start.make_journal() as journal:
        yield journal


def ignore(data: bytes) -> None:
    """Take bytes, and forget them."""


def test_no_wake_up_is_lost(start, journal):
    """Whenever a thread appends, the pump gets to know of it."""
    received: list[bytes] = []
    pumping = start(journal, received.append)
    for number in range(20_000):
        add(journal, b"%d\n" % number)
    add(journal, END, Kind.END)
    pumping.join()
    assert b"".join(received) == b"".join(b"%d\n" % number for number in range(20_000))


def test_each_line_can_be_acknowledged_before_the_next(start, journal):
    """A writer that waits for its viewer after each line never waits in vain."""
    got: queue.Queue[bytes] = queue.Queue()
    pumping = start(journal, got.put)
    for number in range(1000):
        add(journal, b"%d\n" % number)
        assert got.get(timeout=60) == b"%d\n" % number
    add(journal, END, Kind.END)
    pumping.join()


def test_what_is_written_while_a_pump_finds_nothing_is_not_missed(start_here, monkeypatch):
    """Between its look and its sleep a writer may append, and ring a bell that rings already."""
    monkeypatch.setattr(base, "SETTLE_SECONDS", 3600.0)
    monkeypatch.setattr("outlive.viewers.HEARTBEAT", 3600.0)
    journal = make_journal([], end=None)
    scan, asleep, rung, added = journal.scan, *(threading.Event() for _ in range(3))

    def scan_and_append(offset: int, size: int) -> Scan:
        found = scan(offset, size)
        if rung.is_set() and not found.entries and not added.is_set():
            added.set()
            add(journal, b"line\n")
        asleep.set()
        return found

    received: list[bytes] = []
    monkeypatch.setattr(journal, "scan", scan_and_append)
    pumping = start_here(journal, received.append)
    assert asleep.wait(30)
    rung.set()
    journal.notify()
    assert eventually(lambda: received) == [b"line\n"]
    pumping.leave()
    pumping.join()


def test_a_pump_whose_client_left_is_over_and_watches_no_longer(start_here, monkeypatch):
    """At once, though nothing is written, and nobody would look around for long."""
    monkeypatch.setattr(base, "SETTLE_SECONDS", 3600.0)
    monkeypatch.setattr("outlive.viewers.HEARTBEAT", 3600.0)
    journal = make_journal([(Kind.OUT, b"x")], end=None)
    received: list[bytes] = []
    pumping = start_here(journal, received.append)
    eventually(lambda: received and journal._watchers)
    pumping.leave()
    pumping.join()
    assert not journal._watchers


def test_a_pump_that_is_at_its_end_watches_no_longer(start_here):
    """Whoever keeps it keeps no journal awake."""
    journal = make_journal([(Kind.OUT, b"x")])
    start_here(journal, ignore).join()
    assert not journal._watchers


def test_a_silent_stream_beats(start_here, monkeypatch):
    """The pump wakes up by itself when something is due."""
    monkeypatch.setattr("outlive.viewers.HEARTBEAT", 0.05)
    beats: queue.Queue[bytes] = queue.Queue()
    pumping = start_here(make_journal([], end=None), beats.put, "sse")
    assert [beats.get(timeout=30) for _ in range(3)] == [b":\n"] * 3
    pumping.leave()
    pumping.join()


def test_a_silent_writer_is_looked_after(start_here, monkeypatch):
    """One that died without an end is noticed though nobody writes any more."""
    monkeypatch.setattr(base, "SETTLE_SECONDS", 0.05)
    journal = make_journal([], end=None)
    looks: list[int] = []

    def settle() -> None:
        looks.append(1)
        if len(looks) == 2:
            add(journal, End(State.LOST).encode(), Kind.END)

    journal.settle = settle  # type: ignore[method-assign]
    start_here(journal, ignore).join()
    assert len(looks) == 2


@pytest.mark.parametrize("size", [0, 1, SEND_SIZE, SEND_SIZE + 1, 1_000_000])
def test_what_is_sent_at_once_is_bounded(start, journal, size):
    """So that the progress of a slow client can be seen."""
    add(journal, b"x" * size)
    add(journal, END, Kind.END)
    sizes: list[int] = []
    start(journal, lambda data: sizes.append(len(data))).join()
    assert sum(sizes) == size
    assert all(0 < part <= SEND_SIZE for part in sizes)
