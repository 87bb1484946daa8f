"""The loop: heads first, then those who are behind, in bounded turns; and all that ends a stream."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic

from ...errors import EngineError, JournalError, OutliveError
from ...feeds import Feed
from ...journals.base import Journal
from ...viewers import Viewer
from .. import base
from ..base import report, settle
from .connections import PATIENCE, Block, Connection, Done
from .framings import Framing
from .groups import Group, Shelf
from .sending import COUNT, NO_MEMORY, drain, glance, register, send, shut, unregister, wake
from .watches import Watch
from .wheel import Wheel

__all__ = ["Engine"]

#: Seconds that heads get before others have their turn, who are behind, or new.
_HEADS_TURN = 0.005
_OTHERS_TURN = 0.002
#: Seconds without a look at the sockets while there is enough to do: to look lets go of the GIL.
_BLIND = 0.005
#: Seconds that a client has to close its end, once it was sent everything.
_LINGER = 5.0
#: Seconds between two looks at one that takes nothing; and where the kernel had no memory.
_LOOK = 30.0
_AGAIN = 0.05
_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Engine:
    """Sends to the viewers it is given, in the thread that runs it.

    Of its methods `adopt` and `stop` may be called from any thread; all others only before it runs,
    or in its thread.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Not with the loop: who is about to ring would write into what has that number then.
        self._close_bell = weakref.finalize(self, os.close, self._bell)
        self._epoll.register(self._bell, select.EPOLLIN | select.EPOLLET)
        self._is_asleep = False
        self._is_stopping = self._is_over = False
        self._adopted: deque[tuple[Connection, Feed, Framing]] = deque()
        self._rung: deque[Watch] = deque()
        self._moved: deque[Group] = deque()
        self._ready: deque[Connection] = deque()
        self._looked_at = 0.0
        self._shelf = Shelf()
        self._wheel: Wheel[Watch | Group | Connection | Callable[[], None]] = Wheel()
        self._attended: dict[int, Callable[[], None]] = {}
        self.connections: dict[int, Connection] = {}
        self._groups: dict[tuple[Feed, Framing], Group] = {}
        self._watches: dict[Journal, Watch] = {}

    # ── what a host needs ──

    def run(self) -> None:
        """Send until `stop`, and end all streams, each as completely as it can be.

        What it raises is a mistake of ours, by which all streams are cut.
        """
        is_orderly = False
        try:
            while not self._is_stopping:
                self._look()
                self._work()
            is_orderly = True
        finally:
            self._end_all(is_orderly=is_orderly)

    def adopt(
        self,
        sock: socket.socket,
        viewer: Viewer,
        framing: Framing,
        done: Done = lambda _: None,
        *,
        head: bytes = b"",
    ) -> None:
        """Send a viewer's bytes to a socket, which is the engine's from now on.

        Before them, `head` is sent as it is. Raises EngineError where it runs no more: then the
        socket is still the caller's.
        """
        connection = Connection(sock, viewer, done)
        if head:
            connection.blocks = (Block(head, None, viewer.place),)
        self._adopted.append((connection, viewer.feed, framing))
        # In this order: who ends all takes what is there, and what comes later is found here.
        if self._is_over:
            with contextlib.suppress(ValueError):
                self._adopted.remove((connection, viewer.feed, framing))
                raise EngineError("the engine runs no more")
        self._wake()

    def attend(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever there is something to read, or nobody any more to write it.

        It must not block. What it raises is reported, and the descriptor attended no longer.
        """
        self._attended[fd] = callback
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)

    def disregard(self, fd: int) -> None:
        """Attend a descriptor no longer; to be called before it is closed."""
        del self._attended[fd]
        self._epoll.unregister(fd)

    def call(self, when: float, callback: Callable[[], None]) -> None:
        """Call `callback` once, at a time of `monotonic()`; earlier where it waits already."""
        self._wheel.set(callback, when)

    def end(self, done: Done) -> None:
        """End the streams that came with this `done`, each as completely as it can be."""
        theirs = [each for each in self.connections.values() if each.done is done]
        for connection in theirs:
            if not connection.is_over:
                self._drop(connection, is_complete=self._end(connection))

    def stop(self) -> None:
        """Have `run` end."""
        self._is_stopping = True
        self._wake()

    def forget(self) -> None:
        """Let go, in a forked child, of what is its parent's."""
        # Nothing is unregistered: that would be so for the parent, too.
        self._epoll.close()
        self._close_bell()
        adopted = [connection for connection, *_ in self._adopted]
        for connection in [*self.connections.values(), *adopted]:
            connection.sock.close()

    def _wake(self) -> None:
        if self._is_asleep:
            self._is_asleep = False
            wake(self._bell)

    def _ring(self, watch: Watch) -> None:
        self._rung.append(watch)
        self._wake()

    # ── what there is to do ──

    def _work(self) -> None:
        """Do a part of it, of some milliseconds."""
        self._take_in()
        self._serve_heads()
        self._serve_others()
        self._serve_timers()

    def _look(self) -> None:
        """Wait for something to do, or see what happened meanwhile."""
        is_busy = bool(self._moved or self._ready or self._adopted)
        now = monotonic()
        if is_busy and now - self._looked_at < _BLIND:
            return
        timeout = 0.0 if is_busy else self._patience(now)
        self._is_asleep = True
        # In this order: who rings from now on wakes.
        if self._rung or self._adopted or self._is_stopping:
            timeout = 0.0
        # To poll lets go of the GIL, even without waiting.
        events = self._epoll.poll(timeout, COUNT) if timeout else glance(self._epoll.fileno())
        self._is_asleep = False
        self._looked_at = monotonic()
        for fd, event in events:
            # The bell is never read: by its edges it is heard.
            if (connection := self.connections.get(fd)) is not None:
                self._hear(connection, event)
            elif (callback := self._attended.get(fd)) is not None and not self._is_called(callback):
                self.disregard(fd)

    def _patience(self, now: float) -> float:
        upcoming = self._wheel.upcoming()
        return -1 if upcoming is None else max(0.0, upcoming - now)

    def _hear(self, connection: Connection, event: int) -> None:
        if connection.is_over and event & (_GONE | select.EPOLLIN):
            self._drain(connection)
        elif event & _GONE:
            self._drop(connection, is_complete=False)
        elif event & select.EPOLLOUT and connection.viewer is not None:
            self._make_ready(connection)

    def _is_called(self, callback: Callable[[], None]) -> bool:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - the streams go on
            report(error)
            return False
        return True

    def _make_ready(self, connection: Connection) -> None:
        if not connection.is_ready:
            connection.is_ready = True
            self._ready.append(connection)

    def _take_in(self) -> None:
        until = monotonic() + _OTHERS_TURN
        while self._adopted and monotonic() < until:
            self._begin(*self._adopted.popleft())
        while self._rung:
            watch = self._rung.popleft()
            # In this order: what is appended from now on rings again.
            watch.is_rung = False
            watch.settle_at = monotonic() + base.SETTLE_SECONDS
            for group in watch.groups:
                self._move(group)

    def _move(self, group: Group) -> None:
        if not group.is_moved:
            group.is_moved = True
            self._moved.append(group)

    def _begin(self, connection: Connection, feed: Feed, framing: Framing) -> None:
        """Take in a new one: it is behind, until it turns out to have everything."""
        group = self._groups.get((feed, framing)) or Group(feed, framing, self._shelf)
        connection.group = group
        group.others.add(connection)
        self.connections[connection.fd] = connection
        try:
            self._know(group)
            connection.prepare()
            register(self._epoll.fileno(), connection.fd, _EVENTS)
        except OSError:
            self._drop(connection, is_complete=False)
        except Exception as error:  # noqa: BLE001 - the streams of others go on
            report(error)
            self._drop(connection, is_complete=False)
        else:
            self._make_ready(connection)

    def _know(self, group: Group) -> None:
        """Watch the journal of a group that is new."""
        key = group.feed, group.framing
        if key in self._groups:
            return
        journal = group.feed.journal
        watch = self._watches.get(journal)
        if watch is None:
            watch = self._watches[journal] = Watch(journal, self._ring)
            self._wheel.set(watch, watch.settle_at)
        watch.groups.add(group)
        self._groups[key] = group
        # Once for all of a group, for whom nothing need be kept: the engine has blocks.
        group.feed.enter()

    # ── turns ──

    def _serve_heads(self) -> None:
        """Give groups that have moved a chunk each, for a while."""
        until = monotonic() + _HEADS_TURN
        while self._moved:
            group = self._moved.popleft()
            group.is_moved = False
            self._advance(group, until)
            if monotonic() >= until:
                break

    def _advance(self, group: Group, until: float) -> None:
        try:
            turn = group.advance(until)
        except Exception as error:  # noqa: BLE001 - others' streams go on
            self._fail(group, error)
            return
        for connection in turn.complete:
            self._complete(connection)
        for connection in [*turn.behind, *group.asides]:
            self._make_ready(connection)
        if turn.has_more:
            self._move(group)
        else:
            self._set_beat(group)

    def _set_beat(self, group: Group) -> None:
        if group.viewer is not None and group.heads:
            self._wheel.set(group, group.viewer.deadline())

    def _serve_others(self) -> None:
        """Give turns to those who are behind, one block each, for a while."""
        if not self._ready:
            return
        until = monotonic() + _OTHERS_TURN
        while self._ready and monotonic() < until:
            connection = self._ready.popleft()
            connection.is_ready = False
            # Its descriptor may be another's by now.
            is_known = self.connections.get(connection.fd) is connection
            if is_known and not connection.is_over:
                self._catch_up(connection)

    def _catch_up(self, connection: Connection) -> None:
        group = connection.group
        try:
            if group.catch_up(connection):
                self._make_ready(connection)
                return
        except OSError as error:
            self._bear(connection, error)
        except JournalError:
            # What it was amid is removed: others are elsewhere.
            self._drop(connection, is_complete=False)
        except Exception as error:  # noqa: BLE001 - reported once, and not by a thousand viewers
            self._fail(group, error)
        else:
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        """Leave one for which there is nothing more to do now."""
        group, viewer = connection.group, connection.viewer
        if connection.is_over:
            self._complete(connection)
        elif viewer is None:
            connection.be_patient(is_patient=False)
            if len(group.heads) == 1:
                # It made the head anew, where there may be more by now.
                self._move(group)
            self._set_beat(group)
        elif connection.blocks:
            self._wheel.set(connection, monotonic() + _LOOK)
        else:
            self._wheel.set(connection, viewer.deadline())

    def _bear(self, connection: Connection, error: OSError) -> None:
        if error.errno in NO_MEMORY:
            # There is room, and so will be no event.
            self._wheel.set(connection, monotonic() + _AGAIN)
        else:
            self._drop(connection, is_complete=False)

    def _look_after(self, connection: Connection, now: float) -> None:
        """See whether one that takes nothing is still there; in vain it waits only so long."""
        silence = now - connection.taken_at if connection.blocks else 0.0
        if silence >= PATIENCE:
            self._drop(connection, is_complete=False)
            return
        if silence >= _LOOK:
            connection.be_patient(is_patient=True)
        self._make_ready(connection)

    def _serve_timers(self) -> None:
        now = monotonic()
        for thing in self._wheel.due(now):
            if isinstance(thing, Watch):
                self._settle(thing, now)
            elif isinstance(thing, Group):
                self._tick(thing, now)
            elif not isinstance(thing, Connection):
                self._is_called(thing)
            elif thing.is_over:
                self._drop(thing, is_complete=True)
            elif thing.viewer is not None:
                self._look_after(thing, now)

    def _tick(self, group: Group, now: float) -> None:
        if group.viewer is not None and group.viewer.deadline() <= now:
            self._move(group)
        else:
            self._set_beat(group)

    def _settle(self, watch: Watch, now: float) -> None:
        if not watch.groups:
            return
        if watch.settle_at <= now:
            try:
                settle(watch.journal)
            except (OutliveError, OSError) as error:
                for group in list(watch.groups):
                    self._fail(group, error)
                return
            # A notice may have been lost: who looks finds out.
            watch.settle_at = now + base.SETTLE_SECONDS
            for group in watch.groups:
                self._move(group)
        self._wheel.set(watch, watch.settle_at)

    # ── ends ──

    def _complete(self, connection: Connection) -> None:
        """Close for sending; what the client sent meanwhile must not turn that into a reset."""
        connection.is_over = True
        self._detach(connection)
        shut(connection.fd)
        self._wheel.set(connection, monotonic() + _LINGER)
        self._drain(connection)

    def _drain(self, connection: Connection) -> None:
        if not drain(connection.fd):
            self._drop(connection, is_complete=True)

    def _fail(self, group: Group, error: Exception) -> None:
        """End all streams of a group, and of no other."""
        report(error)
        for connection in group.members:
            self._drop(connection, is_complete=False)

    def _drop(self, connection: Connection, *, is_complete: bool) -> None:
        if not connection.is_over:
            self._detach(connection)
        del self.connections[connection.fd]
        self._wheel.drop(connection)
        unregister(self._epoll.fileno(), connection.fd)
        self._close(connection, is_complete=is_complete)

    def _detach(self, connection: Connection) -> None:
        """Take one from its group, which goes with its last one."""
        group = connection.group
        group.remove(connection)
        connection.leave()
        key = group.feed, group.framing
        if group.has_heads or group.others or self._groups.get(key) is not group:
            return
        del self._groups[key]
        group.feed.leave()
        self._wheel.drop(group)
        watch = self._watches[group.feed.journal]
        watch.groups.discard(group)
        if not watch.groups:
            watch.stop()
            self._wheel.drop(watch)
            del self._watches[group.feed.journal]

    def _close(self, connection: Connection, *, is_complete: bool) -> None:
        connection.close(is_complete=is_complete)
        try:
            connection.done(is_complete)
        except Exception as error:  # noqa: BLE001 - a mistake of one adapter's
            report(error)

    def _end_all(self, *, is_orderly: bool) -> None:
        """End all streams, though a mistake may have left anything half done."""
        self._is_over = True
        for watch in self._watches.values():
            watch.stop()
        for group in self._groups.values():
            group.feed.leave()
        for connection in self.connections.values():
            if not connection.is_over:
                connection.leave()
            is_complete = connection.is_over or (is_orderly and self._end(connection))
            self._close(connection, is_complete=is_complete)
        while self._adopted:
            connection, feed, framing = self._adopted.popleft()
            connection.group = Group(feed, framing, self._shelf)
            connection.leave()
            self._close(connection, is_complete=False)
        self._epoll.close()

    def _end(self, connection: Connection) -> bool:
        """End one stream; only clients that come again by themselves get a proper end."""
        group = connection.group
        # Amid a block, or before the head of a response, it would end nothing.
        if not group.feed.format.reconnects or connection.blocks:
            return False
        end = group.framing.end
        try:
            is_whole = send(connection.fd, end, 0) == len(end)
        except OSError:
            return False
        # What came unread would turn it into a reset.
        drain(connection.fd)
        return is_whole
