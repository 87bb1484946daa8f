"""The process that is nothing but the engine of a store, for all workers of one installation.

It stays while it has workers or viewers. A worker that goes leaves its viewers here; a server that
goes (nobody listens any more where they came in) does not: their streams end, and they come again
to whoever is there then.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import resource
import signal
import socket
import sys
from functools import cache
from pathlib import Path
from time import monotonic, sleep

from ... import platforms
from ...errors import EngineError, OutliveError
from ...journals.base import Journal
from ...seats import Limits, SeatTable
from ...settings import store_quota
from ...stores import Store, open_store
from ...viewers import Seat, Viewer
from .gates import FOLDER, LOCK, READY, find_gate, name_gate
from .listeners import Address, find_deserted, is_unbound
from .loop import Engine
from .messages import (
    Answer,
    Begin,
    HandOver,
    Hello,
    Leave,
    NameRun,
    Take,
    check_user,
    decode,
    encode,
    receive,
)

__all__ = ["main"]

#: Seconds between two looks at who is there.
LOOK_SECONDS = 1.0
#: Seconds that nobody listens where viewers came in, until their streams end: a server that begins
#: anew takes a part of one.
DESERTED_SECONDS = 3.0
#: Seconds without workers and viewers, until it leaves: to start another takes a part of one.
IDLE_SECONDS = 2.0
#: Seconds that one that starts waits for one that leaves.
LOCK_SECONDS = 4.0
#: Connections of workers that wait to be taken.
BACKLOG = 128

_log = logging.getLogger("outlive")


class _Entrance:
    """Where viewers came in, and how many of them are still there."""

    def __init__(self) -> None:
        self.viewers = 0
        #: When somebody listened there last.
        self.seen_at = monotonic()
        #: One object for all, also to find them by.
        self.done = self._leave

    def _leave(self, is_complete: bool) -> None:  # noqa: ARG002, FBT001 - called by the engine
        self.viewers -= 1


class _Worker:
    """A process that hands sockets over, as long as it is connected."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: Where it writes its errors.
        self.errors: int | None = None
        #: Of those who were not handed over yet.
        self.seats: dict[int, Seat] = {}
        #: Who was handed over, and is to be begun.
        self.pending: tuple[socket.socket, HandOver, Viewer] | None = None

    def drop_pending(self) -> None:
        """Let go of a viewer that its worker goes on with."""
        if self.pending is not None:
            self.pending[0].close()
            self.pending = None

    def leave(self, number: int) -> None:
        """Free a seat, unless its viewer is handed over."""
        if (seat := self.seats.pop(number, None)) is not None:
            seat.leave()

    def close(self) -> None:
        """Let go of it, and of all it had not handed over."""
        self.drop_pending()
        for seat in self.seats.values():
            seat.leave()
        if self.errors is not None:
            os.close(self.errors)
        self.sock.close()


class Program:
    """The engine, its workers, and when it leaves."""

    def __init__(self, store: Store, path: Path, gate: socket.socket) -> None:
        self._store = store
        self._path = path
        self._made = path.stat().st_ino
        self._gate = gate
        self._engine = Engine()
        self._table = SeatTable()
        self._workers: dict[int, _Worker] = {}
        self._entrances: dict[Address | None, _Entrance] = {}
        self._idle_since = monotonic()
        #: Whether nobody is let in for now, as there was no descriptor for one more worker.
        self._is_shut = False

    def run(self) -> None:
        """Serve until nobody is there, or a signal comes; all streams are ended in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._engine.stop())
        self._engine.attend(self._gate.fileno(), self._welcome)
        self._look_around()
        try:
            self._engine.run()
        finally:
            # Whoever comes now starts another.
            if self._is_found():
                self._path.unlink()

    # ── workers ──

    def _welcome(self) -> None:
        try:
            sock, _ = self._gate.accept()
        except OSError:
            # No descriptor is left: whoever waits here has its own pump.
            self._engine.disregard(self._gate.fileno())
            self._is_shut = True
            return
        try:
            check_user(sock)
        except PermissionError:
            sock.close()
            return
        sock.settimeout(0)
        worker = self._workers[sock.fileno()] = _Worker(sock)
        self._engine.attend(sock.fileno(), functools.partial(self._hear, worker))

    def _hear(self, worker: _Worker) -> None:
        """Do what a worker says; one that says what cannot be understood is let go."""
        with contextlib.ExitStack() as received:
            try:
                data, fd = receive(worker.sock)
                if fd is not None:
                    received.callback(os.close, fd)
                if data:
                    self._obey(worker, decode(data), fd)
                    return
            except OSError:
                # It is gone, or takes no answers.
                pass
            except Exception as error:  # noqa: BLE001 - whatever somebody sent, the streams go on
                _log.warning("a message to the engine is no such: %r", error)
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        self._engine.disregard(worker.sock.fileno())
        del self._workers[worker.sock.fileno()]
        worker.close()
        self._choose_errors()

    def _choose_errors(self) -> None:
        """Write errors where a worker does that is there; a server's pipe must not stay open."""
        found = (worker.errors for worker in self._workers.values())
        os.dup2(next((fd for fd in found if fd is not None), _null()), 2)

    def _obey(self, worker: _Worker, message: object, fd: int | None) -> None:
        if isinstance(message, Begin):
            self._begin(worker)
            return
        if isinstance(message, Leave):
            # From any thread of the worker, so also while another hands over.
            worker.leave(message.seat)
            return
        # With anything else its worker says that it goes on by itself.
        worker.drop_pending()
        answer = Answer()
        try:
            self._grant(worker, message, fd)
        except Exception as error:  # noqa: BLE001 - whatever it is, its worker waits for an answer
            answer = Answer.of(error)
        worker.sock.send(encode(answer))

    def _grant(self, worker: _Worker, message: object, fd: int | None) -> None:
        match message:
            case Hello():
                worker.errors = None if fd is None else os.dup(fd)
                self._choose_errors()
            case Take(seat, run, address, limits):
                worker.seats[seat] = self._table.take(run, address, limits.within(None))
            case NameRun(seat, run):
                worker.seats[seat].name_run(run)
            case HandOver():
                if fd is None:
                    raise EngineError("the engine has no descriptor left")
                viewer = message.make_viewer(self._find_journal(message.run), monotonic())
                worker.pending = socket.socket(fileno=os.dup(fd)), message, viewer
            case _:
                raise TypeError(type(message).__name__)

    def _find_journal(self, run: str) -> Journal:
        activity = self._store.activity()
        return activity if run == activity.run else self._store.journal(run)

    def _begin(self, worker: _Worker) -> None:
        if worker.pending is None:
            raise ValueError("nothing was handed over")
        (sock, message, viewer), worker.pending = worker.pending, None
        # Who comes with a seat of an engine that died has none, and is counted nevertheless.
        seat = None if message.seat is None else worker.seats.pop(message.seat, None)
        viewer.seat = seat or self._table.take(message.run, "", Limits())
        done = self._enter(message.address).done
        self._engine.adopt(sock, viewer, message.framing, done, head=message.head)

    def _enter(self, address: Address | None) -> _Entrance:
        entrance = self._entrances.setdefault(address, _Entrance())
        entrance.viewers += 1
        return entrance

    # ── who is there ──

    def _look_around(self) -> None:
        """See once a second who is still there."""
        now = monotonic()
        self._engine.call(now + LOOK_SECONDS, self._look_around)
        if self._is_shut:
            self._is_shut = False
            self._engine.attend(self._gate.fileno(), self._welcome)
        self._end_deserted(now)
        if self._workers or self._engine.connections:
            self._idle_since = now
        if now - self._idle_since > IDLE_SECONDS or not self._is_found():
            self._engine.stop()

    def _end_deserted(self, now: float) -> None:
        """End the streams of servers that are gone."""
        for address in [each for each in self._entrances if not self._entrances[each].viewers]:
            del self._entrances[address]
        deserted = find_deserted(address for address in self._entrances if address is not None)
        for address, entrance in self._entrances.items():
            if address not in deserted:
                entrance.seen_at = now
            elif now - entrance.seen_at > DESERTED_SECONDS:
                self._engine.end(entrance.done)

    def _is_found(self) -> bool:
        """Tell whether workers find this engine: with its store, its socket is gone."""
        with contextlib.suppress(OSError):
            return self._path.stat().st_ino == self._made
        return False


def main() -> None:
    """Be the engine of a store, unless another one is; tell whoever started this."""
    _reset_signals()
    path = Path(sys.argv[1])
    try:
        # Held until this process ends.
        if _take_lock(path):
            _serve(path)
        else:
            _tell_ready()
    except (OutliveError, OSError) as error:
        sys.exit(str(error))


def _serve(path: Path) -> None:
    store = open_store(str(path), quota=store_quota())
    _raise_file_limit()
    platforms.keep_freed_memory()
    logging.basicConfig(format="outlive engine: %(message)s")
    made = path / FOLDER / name_gate()[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gate:
        # What is there is of one that was killed.
        made.unlink(missing_ok=True)
        with find_gate(path) as address:
            gate.bind(address)
        made.chmod(0o600)
        gate.listen(BACKLOG)
        program = Program(store, made, gate)
        _tell_ready()
        program.run()


def _take_lock(store: Path) -> bool:
    """Become the one engine; False where another one listens already."""
    folder = store / FOLDER
    folder.mkdir(0o700, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = monotonic() + LOCK_SECONDS
    while not platforms.take_lock(lock, name_gate()[1]):
        with find_gate(store) as address:
            if not is_unbound(address):
                return False
        if monotonic() > until:
            raise EngineError(f"another engine neither listens nor leaves: see {folder}")
        sleep(0.01)
    return True


def _raise_file_limit() -> None:
    """Hold as many connections as this process may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _tell_ready() -> None:
    """Tell whoever started this, and let go of it."""
    os.write(1, READY)
    for fd in range(3):
        os.dup2(_null(), fd)


@cache
def _null() -> int:
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _reset_signals() -> None:
    """Obey signals, whatever the thread that started this had blocked or ignored."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
