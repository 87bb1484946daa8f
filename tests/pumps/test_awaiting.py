"""The pump for asyncio: what it leaves to the loop, and to others."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import groupby, pairwise

import pytest
import uvicorn

from outlive.entries import Kind
from outlive.journals.base import Scan
from outlive.journals.memory import MemoryJournal
from outlive.pumps import awaiting
from outlive.viewers import Viewer
from tests.formats.logs import make_journal
from tests.pumps.pumpings import END, add, make_viewer


def pumping(
    journal: MemoryJournal,
    send: Callable[[bytes], Awaitable[None]],
    viewer: Viewer | None = None,
) -> "asyncio.Task[None]":
    """Start to pump a journal from its beginning."""

    async def move() -> None:
        chunks = awaiting.pump(viewer or make_viewer(journal))
        async with aclosing(chunks):
            async for data in chunks:
                await send(data)

    return asyncio.ensure_future(move())


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
    assert sizes == [200_000]


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


def test_nothing_is_read_that_would_be_sent_a_round_later():
    """While all others are sent something, further lines come: they go along."""
    journal = make_journal([], end=None)
    chunks: list[bytes] = []

    async def main() -> None:
        async def send(data: bytes) -> None:
            chunks.append(data)
            if len(chunks) == 1:
                add(journal, b"two\n")
                asyncio.get_running_loop().call_soon(add, journal, b"three\n")
            else:
                add(journal, END, Kind.END)

        add(journal, b"one\n")
        async with asyncio.timeout(30):
            await pumping(journal, send)

    asyncio.run(main())
    assert chunks == [b"one\n", b"two\nthree\n"]


@pytest.mark.parametrize(
    ("asks", "limit", "places"),
    [
        (False, 60.0, "loop sleep loop"),
        (False, -1.0, "loop thread sleep loop"),
        (True, 60.0, "thread sleep thread"),
    ],
)
def test_turns_that_take_long_are_taken_in_a_thread(asks, limit, places, monkeypatch):
    """From a slow one on until all is read; or all, where they ask an application."""
    journal = make_journal([(Kind.OUT, b"x" * 200_000)] * 4, end=None)
    scan, sleep = journal.scan, awaiting._Sleeper.sleep
    viewer = make_viewer(journal)
    viewer.format.asks = asks
    found: list[str] = []

    def look(offset: int, size: int) -> Scan:
        is_main = threading.current_thread() is threading.main_thread()
        found.append("loop" if is_main else "thread")
        return scan(offset, size)

    async def rest(sleeper: awaiting._Sleeper, seconds: float) -> None:
        found.append("sleep")
        await sleep(sleeper, seconds)

    async def main() -> None:
        async def send(data: bytes) -> None:
            sizes.append(len(data))

        sizes: list[int] = []
        task = pumping(journal, send, viewer)
        async with asyncio.timeout(30):
            while "sleep" not in found:
                await asyncio.sleep(0)
            add(journal, b"x")
            while sum(sizes) < 800_001:
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    monkeypatch.setattr(journal, "scan", look)
    monkeypatch.setattr(awaiting._Sleeper, "sleep", rest)
    monkeypatch.setattr(awaiting, "SLOW_SECONDS", limit)
    asyncio.run(main())
    groups = [place for place, _ in groupby(found)]
    assert groups[: len(places.split())] == places.split()


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


def test_a_turn_in_a_thread_holds_up_no_loop():
    """Others who want the same wait for it there, too."""
    journal = make_journal([(Kind.OUT, b"x")], end=None)

    async def main() -> None:
        viewer = make_viewer(journal)
        chunks = awaiting.pump(viewer)
        with viewer.feed._lock:
            first = asyncio.ensure_future(anext(chunks))
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert not first.done()
        async with asyncio.timeout(30):
            assert await first == b"x"
        await chunks.aclose()

    asyncio.run(main())


@pytest.fixture
def server() -> Iterator[uvicorn.Server]:
    """Make uvicorn, as it is when it serves."""
    server = uvicorn.Server(uvicorn.Config("nothing"))
    with server.capture_signals():
        yield server
        server._captured_signals.clear()


@pytest.mark.parametrize(("form", "is_cut"), [("text", True), ("sse", False), ("entries", False)])
def test_a_pump_ends_with_its_server(server, form, is_cut):
    """As if cancelled, so that nothing looks complete, but for who would reconnect anyway."""
    journal = make_journal([(Kind.OUT, b"x\n")], end=None)

    async def main() -> None:
        chunks = awaiting.pump(make_viewer(journal, form))
        assert b"x" in await anext(chunks)
        asyncio.get_running_loop().call_later(0.05, server.handle_exit, signal.SIGTERM, None)
        async with asyncio.timeout(30):
            with pytest.raises(asyncio.CancelledError if is_cut else StopAsyncIteration):
                await anext(chunks)
        assert not journal._watchers

    asyncio.run(main())


def test_a_signal_ends_pumps_and_reaches_its_handler():
    """Which is there again when nobody pumps; who goes on after it can be served again."""
    journal = make_journal([(Kind.OUT, b"x\n")], end=None)
    heard: list[int] = []

    def hear(number: int, _: object) -> None:
        heard.append(number)

    async def end_one() -> None:
        chunks = awaiting.pump(make_viewer(journal))
        assert await anext(chunks) == b"x\n"
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(30):
            with pytest.raises(asyncio.CancelledError):
                await anext(chunks)

    async def main() -> None:
        await end_one()
        await end_one()
        async with asyncio.timeout(30):
            while signal.getsignal(signal.SIGTERM) is not hear:
                await asyncio.sleep(0.01)

    former = signal.signal(signal.SIGTERM, hear)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, former)
    assert heard == [signal.SIGTERM] * 2


def test_a_journal_may_outlive_the_loop_of_its_viewers():
    """To wake who is gone is no error."""
    journal = make_journal([], end=None)

    async def main() -> "asyncio.Task[None]":
        async def send(data: bytes) -> None:
            pass

        bell = awaiting._Bell(journal)
        bell.enter()
        return pumping(journal, send)

    asyncio.run(main())
    add(journal, b"x")
