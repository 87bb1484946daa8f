"""The pump for asyncio: an iterator that waits in the task that takes its bytes, and no thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from time import monotonic
from typing import Self
from weakref import WeakValueDictionary

from ..endings import watch_ending
from ..errors import OutliveError
from ..feeds import Feed
from ..journals.base import Journal
from ..viewers import Viewer
from . import base
from .base import report, settle, turns

__all__ = ["pump"]

#: A turn that takes longer holds up everybody on its loop.
SLOW_SECONDS = 0.005
#: Between two looks whose time has come: those of a thousand viewers are all different.
GRAIN_SECONDS = 0.01


async def pump(viewer: Viewer) -> AsyncGenerator[bytes, None]:
    """Give a viewer's bytes until its run ends; to be closed when the client is gone.

    Cut short, because the server is about to end or by a mistake of ours, it ends as if cancelled:
    so nobody gives the response a proper end. Only clients that reconnect by themselves get one,
    which says nothing about the run to them, and of which servers have nothing to log.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(viewer.leave)
        stack.enter_context(_entered(viewer.feed))
        sleeper = stack.enter_context(_Sleeper(viewer.feed.journal))
        has_sent = False
        try:
            steps = _Turns(turns(viewer, sleeper.look), viewer)
            while not sleeper.is_over:
                if has_sent:
                    # A long replay must not keep others from their turn; to hear that the client
                    # is gone, a send to a lost connection waits for nothing. And before it looks
                    # again: what is read now, but sent after all others, is old by then.
                    await asyncio.sleep(0)
                step = await steps.take()
                if step is None:
                    return
                has_sent = not isinstance(step, float)
                if isinstance(step, float):
                    await sleeper.sleep(step)
                elif step:
                    yield step
        except Exception as error:  # noqa: BLE001 - a traceback is for whoever runs this
            report(error)
            raise asyncio.CancelledError from None
    if not viewer.format.reconnects:
        raise asyncio.CancelledError


class _Turns:
    """Takes turns of a viewer: in a thread where they ask somebody, or wait for another's.

    And from a slow one on until all is read.
    """

    def __init__(self, steps: Iterator[bytes | float], viewer: Viewer) -> None:
        self._steps = steps
        self._feed = viewer.feed
        self._asks = self._in_thread = viewer.format.asks

    async def take(self) -> bytes | float | None:
        """Take one; None is the end."""
        began = monotonic()
        if self._in_thread or self._feed.is_busy:
            step = await asyncio.to_thread(next, self._steps, None)
        else:
            step = next(self._steps, None)
        is_slow = self._in_thread or monotonic() - began > SLOW_SECONDS
        self._in_thread = self._asks or (is_slow and not isinstance(step, float))
        return step


@contextlib.contextmanager
def _entered(feed: Feed) -> Iterator[None]:
    feed.enter()
    try:
        yield
    finally:
        feed.leave()


class _Bell:
    """Wakes the pumps of one journal in one loop, all of them by one call into the loop.

    What it rings for in the course of one round comes in the next: while a thousand pumps send a
    line, further ones gather, and each pump is sent all of them at once.
    """

    def __init__(self, journal: Journal) -> None:
        self.round = object()
        #: Whether the server around the loop is about to end.
        self.is_over = False
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._is_rung = False
        self._pumps = 0
        self._sleepers: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._settle_at = self._loop.time() + base.SETTLE_SECONDS
        self._stop = contextlib.ExitStack()

    def enter(self) -> None:
        """Ring for one more pump."""
        self._pumps += 1
        if self._pumps == 1:
            self.is_over = False
            self._stop.callback(self._journal.watch(self._ring))
            self._stop.callback(watch_ending(self._end))

    def leave(self) -> None:
        """Ring for one pump less."""
        self._pumps -= 1
        if not self._pumps:
            self._stop.close()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    async def sleep(self, seconds: float) -> None:
        """Wait until it rings, at most so long."""
        future = self._loop.create_future()
        until = self._sleepers[future] = self._loop.time() + seconds
        self._set_timer(min(until, self._settle_at))
        try:
            await future
        finally:
            self._sleepers.pop(future, None)

    def _ring(self) -> None:
        """Wake all, from any thread."""
        if not self._is_rung:
            self._is_rung = True
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                self._loop.call_soon_threadsafe(self._wake)

    def _end(self) -> None:
        self.is_over = True
        self._wake()

    def _wake(self, error: Exception | None = None) -> None:
        # In this order: what is appended from now on is for the next round.
        self._is_rung = False
        self.round = object()
        self._settle_at = self._loop.time() + base.SETTLE_SECONDS
        sleepers, self._sleepers = self._sleepers, {}
        for future in sleepers:
            _finish(future, error)

    def _set_timer(self, when: float) -> None:
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        """Wake those whose time has come, and look after a silent journal."""
        self._timer = None
        now = self._loop.time()
        if now >= self._settle_at:
            self._settle()
        for future, until in list(self._sleepers.items()):
            if until <= now:
                _finish(future, None)
        upcoming = min(self._sleepers.values(), default=self._settle_at)
        self._set_timer(max(min(upcoming, self._settle_at), now + GRAIN_SECONDS))

    def _settle(self) -> None:
        try:
            settle(self._journal)
        except (OutliveError, OSError) as error:
            self._wake(error)
        else:
            # A notice may have been lost: who looks finds out.
            self._wake()


def _finish(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


# By identity: as long as the bell is there, it holds both, and neither may be held by the table.
_bells: WeakValueDictionary[tuple[int, int], _Bell] = WeakValueDictionary()


class _Sleeper:
    """One pump at the bell of its journal."""

    def __init__(self, journal: Journal) -> None:
        key = id(asyncio.get_running_loop()), id(journal)
        bell = _bells.get(key)
        if bell is None:
            bell = _bells[key] = _Bell(journal)
        self._bell = bell
        self._round: object = None

    def __enter__(self) -> Self:
        self._bell.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._bell.leave()

    @property
    def is_over(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._bell.is_over

    def look(self) -> object:
        """Get what stands for the last news."""
        self._round = self._bell.round
        return self._round

    async def sleep(self, seconds: float) -> None:
        """Wait for news since that look, at most so long."""
        if self._bell.round is self._round:
            await self._bell.sleep(seconds)
        else:
            await asyncio.sleep(0)
