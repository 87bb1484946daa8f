"""The pump for asyncio: what it leaves to the loop, and to others."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import pairwise

import pytest
import uvicorn

from outlive.entries import BEGINNING, Kind
from outlive.journals.base import Reader
from outlive.journals.memory import MemoryJournal
from outlive.pumps import awaiting, base
from tests.formats.logs import make_journal
from tests.pumps.pumpings import add, make_viewer


def pumping(
    journal: MemoryJournal,
    send: Callable[[bytes], Awaitable[None]],
) -> "asyncio.Task[None]":
    """Start to pump a journal from its beginning."""

    async def move() -> None:
        chunks = awaiting.pump(make_viewer("text"), Reader(journal, BEGINNING))
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
    assert sizes == [base.SEND_SIZE]


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
        chunks = awaiting.pump(make_viewer(form), Reader(journal, BEGINNING))
        assert b"x" in await anext(chunks)
        asyncio.get_running_loop().call_later(0.05, server.handle_exit, signal.SIGTERM, None)
        async with asyncio.timeout(30):
            with pytest.raises(asyncio.CancelledError if is_cut else StopAsyncIteration):
                await anext(chunks)
        assert not journal._watchers

    asyncio.run(main())


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
