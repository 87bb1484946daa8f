"""The engine in a process of its own, as its workers see it: found or started, and handed sockets."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from ... import platforms
from ...errors import ConfigError, EngineError, TooManyViewers
from ...seats import read_limits
from ...viewers import Seat, Viewer
from .framings import Framing
from .gates import READY, find_gate
from .hosts import Host
from .listeners import address_of
from .messages import (
    SIZE,
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
)

__all__ = ["ProcessHost", "find_process"]

#: Seconds that a worker waits for an answer; then its own pump goes on.
ANSWER_SECONDS = 1.0
#: Seconds that the first stream waits for an engine to start; measured: 0.15.
START_SECONDS = 5.0
#: Seconds until one that could not be had is tried again.
PAUSE_SECONDS = 30.0

_log = logging.getLogger("outlive")


class ProcessHost(Host):
    """The engine of one store, in this process: a connection to it. Safe to use from several threads."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.begin()

    def begin(self) -> None:
        """Begin without a connection; a forked child does, too."""
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._numbers = itertools.count()
        self._retry_at = 0.0

    def forget(self) -> None:
        """Let go, in a forked child, of what is its parent's."""
        if self._link is not None:
            self._link.sock.close()
        self.begin()

    def take(self, run: str | None, address: str) -> EngineSeat:
        message = Take(next(self._numbers), run, address, read_limits())
        with self._asking():
            _check(self._ask(encode(message)))
            return EngineSeat(self, self._connect(), message.seat)

    def name_run(self, seat: EngineSeat, run: str) -> None:
        """Tell for which run somebody came who has a seat; raises TooManyViewers."""
        with contextlib.suppress(EngineError), self._asking():
            # If the engine died, the seat went with it: nobody counts what is handed over then.
            if seat.link is self._link:
                _check(self._ask(encode(NameRun(seat.number, run))))

    def adopt(
        self, sock: socket.socket, viewer: Viewer, framing: Framing, head: bytes = b""
    ) -> None:
        if viewer.format.asks:
            raise EngineError("this format asks who may see what, which only its own process knows")
        try:
            message = HandOver.of(viewer, framing, head, address_of(sock))
            with self._asking():
                self._hand_over(message, sock.fileno(), viewer.seat)
        except EngineError:
            raise
        except Exception as error:
            # A format of somebody's own may fail in its own way to be written down.
            raise EngineError(f"a viewer cannot be handed over: {error}") from error
        viewer.leave()
        sock.close()

    def _hand_over(self, message: HandOver, fd: int, seat: Seat | None) -> None:
        if isinstance(seat, EngineSeat) and seat.link is self._connect():
            message = message._replace(seat=seat.number)
        _check(self._ask(encode(message), fd))
        # Where the answer came from: it may be another engine by now.
        link = self._connect()
        try:
            link.sock.send(encode(Begin()))
        except BaseException:
            # The engine must not keep what its worker goes on with.
            self._drop(link)
            raise

    # ── its connection ──

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Have the connection for oneself; raises EngineError."""
        if not self._lock.acquire(timeout=START_SECONDS):
            raise EngineError("others ask the engine for too long")
        try:
            if monotonic() < self._retry_at:
                raise EngineError("the engine could not be had a short while ago")
            yield
        finally:
            self._lock.release()

    def _ask(self, data: bytes, fd: int | None = None) -> Answer:
        """Ask, of an engine that died a new one; raises EngineError."""
        for _ in range(2):
            link = self._connect()
            try:
                return link.ask(data, fd)
            except ConnectionError:
                self._drop(link)
                _log.warning(
                    "the engine of %s died: another is started, its viewers reconnect", self._store
                )
            except TimeoutError:
                self._drop(link)
                raise self._give_up("it does not answer") from None
            except OSError as error:
                # Too large a message, or too many descriptors on their way.
                raise EngineError(f"the engine cannot be asked: {error}") from error
            except BaseException:
                # By a signal: the answer would be taken for that to the next question.
                self._drop(link)
                raise
        raise self._give_up("it dies again and again")

    def _drop(self, link: _Link) -> None:
        # Not closed: seats refer to it, and its descriptor must not become another's meanwhile.
        with contextlib.suppress(OSError):
            link.sock.shutdown(socket.SHUT_RDWR)
        self._link = None

    def _give_up(self, why: str) -> EngineError:
        """Say once in a while that there is no engine: each viewer holds its server's thread then."""
        self._retry_at = monotonic() + PAUSE_SECONDS
        _log.warning("no engine for %s, for %d s at least: %s", self._store, PAUSE_SECONDS, why)
        return EngineError(f"there is no engine: {why}")

    def _connect(self) -> _Link:
        """Get the connection, if need be to an engine that is started now; raises EngineError."""
        deadline = monotonic() + START_SECONDS
        while self._link is None:
            try:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._link = _Link(sock, self._store)
            except (ConnectionError, FileNotFoundError):
                # Nobody is there, or about to leave.
                if monotonic() > deadline:
                    raise self._give_up("none could be started in time") from None
                self._start(deadline)
            except OSError as error:
                raise self._give_up(str(error)) from error
        return self._link

    def _start(self, deadline: float) -> None:
        try:
            _start(self._store, deadline - monotonic())
        except (ConfigError, EngineError, OSError) as error:
            raise self._give_up(str(error)) from error


class EngineSeat:
    """A viewer's place among those of an engine; it is free again once this is garbage."""

    __slots__ = ("_host", "is_left", "link", "number")

    def __init__(self, host: ProcessHost, link: _Link, number: int) -> None:
        self._host = host
        self.link = link
        self.number = number
        self.is_left = False

    def name_run(self, run: str) -> None:
        """Say which run it turned out to be, once it is started; raises TooManyViewers."""
        self._host.name_run(self, run)

    def leave(self) -> None:
        """Let others have it; from any thread, any number of times."""
        if not self.is_left:
            self.is_left = True
            self.link.tell(encode(Leave(self.number)))

    __del__ = leave


class _Link:
    """A connection to an engine that has answered."""

    def __init__(self, sock: socket.socket, store: Path) -> None:
        self.sock = sock
        self._untold: deque[bytes] = deque()
        try:
            self.sock.settimeout(ANSWER_SECONDS)
            with find_gate(store) as address:
                self.sock.connect(address)
            check_user(self.sock)
            self.ask(encode(Hello()), 2 if _is_open(2) else None)
        except BaseException:
            self.sock.close()
            raise

    def __del__(self) -> None:
        self.sock.close()

    def ask(self, data: bytes, fd: int | None = None) -> Answer:
        """Ask, and wait for the answer; raises OSError, ConnectionError where nobody is there."""
        self._tell_all()
        if fd is None:
            self.sock.send(data)
        else:
            socket.send_fds(self.sock, [data], [fd])
        answer = self.sock.recv(SIZE)
        if not answer:
            raise ConnectionResetError(errno.ECONNRESET, "the engine is gone")
        return Answer(*decode(answer))

    def tell(self, data: bytes) -> None:
        """Tell what needs no answer, and wait for nothing: garbage may be collected amid anything."""
        self._untold.append(data)
        self._tell_all()

    def _tell_all(self) -> None:
        while self._untold:
            try:
                data = self._untold.popleft()
            except IndexError:
                # Another thread was quicker.
                return
            try:
                # Unlike `send` of a socket with a timeout, this never waits.
                os.write(self.sock.fileno(), data)
            except BlockingIOError:
                self._untold.appendleft(data)
                return
            except OSError:
                # With the engine, or the connection, its seats are gone.
                return


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _check(answer: Answer) -> None:
    """Raise what an answer refuses."""
    if answer.limited:
        raise TooManyViewers(answer.limit, answer.limited)
    if answer.refusal:
        raise EngineError(answer.refusal)


def _start(store: Path, seconds: float) -> None:
    """Start an engine, unless another process does; returns once one listens.

    Raises EngineError or OSError where none can be.
    """
    program = Path(__file__).with_name("__main__.py")
    # As supervisors: a fresh interpreter, without our threads and sockets, in a session of its own,
    # so that no signal that is meant for the server's group reaches it.
    with subprocess.Popen(
        [platforms.interpreter(), "-I", "-S", str(program), str(store)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            told, _ = process.communicate(timeout=max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            # It may still come; whoever asks next finds it.
            raise EngineError("it does not listen in time") from None
    if not told.endswith(READY):
        lines = told.decode(errors="replace").strip().splitlines()
        raise EngineError(lines[-1] if lines else "it said nothing")


_hosts: dict[Path, ProcessHost] = {}


def find_process(store: Path) -> ProcessHost:
    """Get the host of a store's engine: one per process."""
    return _hosts.setdefault(store, ProcessHost(store))


def _forget_all() -> None:
    for host in list(_hosts.values()):
        host.forget()


os.register_at_fork(after_in_child=_forget_all)
