"""The pump for asyncio: when it sends, when it sleeps, and that it misses nothing."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from outlive.entries import BEGINNING, End, Kind, State
from outlive.formats import FORMATS
from outlive.journals.base import Reader, Scan
from outlive.journals.memory import MemoryJournal
from outlive.pumps import awaiting
from outlive.viewers import Viewer
from tests.formats.logs import RUN, make_journal

END = End(State.SUCCEEDED, 0).encode()


def pumping(
    journal: MemoryJournal,
    send: Callable[[bytes], Awaitable[None]],
    form: str = "text",
) -> "asyncio.Task[None]":
    """Start to pump a journal from its beginning."""
    loop = asyncio.get_running_loop()
    viewer = Viewer(FORMATS[form](RUN), b"", loop.time())
    return asyncio.ensure_future(awaiting.pump(viewer, Reader(journal, BEGINNING), send))


def add(journal: MemoryJournal, text: bytes, kind: Kind = Kind.OUT) -> None:
    """Append, and wake whoever waits."""
    journal.add(kind, text, 0)
    journal.notify()


def test_no_wake_up_is_lost():
    """Whenever a thread appends, the pump gets to know of it."""
    journal = make_journal([], end=None)
    received: list[bytes] = []

    def work() -> None:
        for number in range(20_000):
            add(journal, b"%d\n" % number)
        add(journal, END, Kind.END)

    async def main() -> None:
        async def send(data: bytes) -> None:
            received.append(bytes(data))

        task = pumping(journal, send)
        await asyncio.sleep(0)
        thread = threading.Thread(target=work)
        thread.start()
        async with asyncio.timeout(60):
            await task
        thread.join()

    asyncio.run(main())
    assert b"".join(received) == b"".join(b"%d\n" % number for number in range(20_000))


def test_each_line_can_be_acknowledged_before_the_next():
    """A writer that waits for its viewer after each line never waits in vain."""
    journal = make_journal([], end=None)

    async def main() -> None:
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def send(data: bytes) -> None:
            got.put_nowait(bytes(data))

        task = pumping(journal, send)
        async with asyncio.timeout(60):
            for number in range(1000):
                await asyncio.to_thread(add, journal, b"%d\n" % number)
                assert await got.get() == b"%d\n" % number
        add(journal, END, Kind.END)
        await task

    asyncio.run(main())


def test_a_client_that_takes_nothing_holds_its_own_pump_alone():
    """No more is read for it than what it was offered."""
    journal = make_journal([(Kind.OUT, b"x" * 200_000)] * 10)
    sizes: list[int] = []

    async def main() -> None:
        async def stall(data: bytes) -> None:
            sizes.append(len(data))
            await asyncio.Event().wait()

        async def take(data: bytes) -> None:
            taken.append(len(data))

        taken: list[int] = []
        stalled = pumping(journal, stall)
        async with asyncio.timeout(30):
            await pumping(journal, take)
        assert sum(taken) == 2_000_000
        stalled.cancel()

    asyncio.run(main())
    assert sizes == [awaiting.SEND_SIZE]


@pytest.mark.parametrize(("size", "count"), [(100_000, 50), (10, 20_000)])
def test_a_long_replay_leaves_others_their_turn(size, count):
    """However much is there to be read, the loop goes round between two sends."""
    journal = make_journal([(Kind.OUT, b"x" * size)] * count)
    turns: list[str] = []

    async def main() -> None:
        async def send(data: bytes) -> None:
            turns.append("send")

        task = pumping(journal, send)
        while not task.done():
            turns.append("other")
            await asyncio.sleep(0)

    asyncio.run(main())
    assert turns.count("send") > 10
    assert not any(a == b == "send" for a, b in pairwise(turns))


def test_what_is_written_while_a_pump_finds_nothing_is_not_missed(monkeypatch):
    """Between its look and its sleep a writer may append, and ring a bell that rings already."""
    monkeypatch.setattr(awaiting, "SETTLE_SECONDS", 3600.0)
    journal = make_journal([], end=None)
    scan = journal.scan

    def scan_and_append(offset: int, size: int) -> Scan:
        found = scan(offset, size)
        if rung and not found.entries and not received:
            add(journal, b"line\n")
        return found

    rung: list[bool] = []
    received: list[bytes] = []
    monkeypatch.setattr(journal, "scan", scan_and_append)

    async def main() -> None:
        arrived = asyncio.Event()

        async def send(data: bytes) -> None:
            received.append(bytes(data))
            arrived.set()

        task = pumping(journal, send)
        for _ in range(5):
            await asyncio.sleep(0)
        rung.append(True)
        journal.notify()
        async with asyncio.timeout(5):
            await arrived.wait()
        task.cancel()

    asyncio.run(main())
    assert received == [b"line\n"]


def test_a_cancelled_pump_watches_no_longer():
    """Whether it was sleeping or sending."""
    journal = make_journal([(Kind.OUT, b"x")], end=None)

    async def main() -> None:
        async def send(data: bytes) -> None:
            await asyncio.sleep(0)

        for turns in range(12):
            task = pumping(journal, send)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert not journal._watchers

    asyncio.run(main())


def test_a_silent_stream_beats(monkeypatch):
    """The pump wakes up by itself when something is due."""
    monkeypatch.setattr("outlive.viewers.HEARTBEAT", 0.05)
    journal = make_journal([], end=None)

    async def main() -> None:
        beats = asyncio.Event()

        async def send(data: bytes) -> None:
            assert data == b":\n"
            beats.set()

        task = pumping(journal, send, "sse")
        for _ in range(3):
            async with asyncio.timeout(30):
                await beats.wait()
            beats.clear()
        task.cancel()

    asyncio.run(main())


def test_a_silent_writer_is_looked_after(monkeypatch):
    """One that died without an end is noticed though nobody writes any more."""
    monkeypatch.setattr(awaiting, "SETTLE_SECONDS", 0.05)
    journal = make_journal([], end=None)
    looks: list[int] = []

    def settle() -> None:
        looks.append(1)
        if len(looks) == 2:
            add(journal, End(State.LOST).encode(), Kind.END)

    journal.settle = settle  # type: ignore[method-assign]

    async def main() -> None:
        async def send(data: bytes) -> None:
            pass

        async with asyncio.timeout(30):
            await pumping(journal, send)

    asyncio.run(main())
    assert len(looks) == 2


def test_a_journal_may_outlive_the_loop_of_its_viewers():
    """To wake who is gone is no error."""
    journal = make_journal([], end=None)

    async def main() -> "asyncio.Task[None]":
        async def send(data: bytes) -> None:
            pass

        ring = awaiting._bell(asyncio.Event())
        journal.watch(ring)
        return pumping(journal, send)

    asyncio.run(main())
    add(journal, b"x")


@pytest.mark.parametrize("size", [0, 1, awaiting.SEND_SIZE, awaiting.SEND_SIZE + 1, 1_000_000])
def test_what_is_sent_at_once_is_bounded(size):
    """So that the progress of a slow client can be seen."""
    journal = make_journal([(Kind.OUT, b"x" * size)] if size else [])
    sizes: list[int] = []

    async def main() -> None:
        async def send(data: bytes) -> None:
            sizes.append(len(data))

        await pumping(journal, send)

    asyncio.run(main())
    assert sum(sizes) == size
    assert all(0 < part <= awaiting.SEND_SIZE for part in sizes)
