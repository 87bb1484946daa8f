"""Viewers that come and go at random, and count what each of them gets."""

from __future__ import annotations

import contextlib
import random
import re
import selectors
import socket
import struct
import time
from collections import Counter

__all__ = ["Wanderer", "Wanderers"]

_EVENT = re.compile(rb"(?:~\d{16}#(\d{8})x+)?\nid: ([^\n]+)\n")
_RESET = struct.pack("ii", 1, 0)
#: Seconds between two looks at what is to be done.
_TICK = 0.05
#: What a viewer may do next, how often, and for how many seconds at most until the next.
_DEEDS = {
    "read": (30, 4.0),
    "sip": (10, 1.0),
    "pause": (15, 3.0),
    "leave": (15, 1.0),
    "reset": (15, 1.0),
    "half-close": (10, 1.0),
    "come anew": (4, 2.0),
    "begin anew": (1, 5.0),
}


class Wanderers:
    """A number of viewers before one path, and one loop for them."""

    def __init__(self, port: int, path: str, many: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.counts: Counter[str] = Counter()
        self.mistakes: list[str] = []
        self.address = ("127.0.0.1", port)
        self.path = path
        self._all = [Wanderer(self, number) for number in range(many)]

    @property
    def connected(self) -> int:
        """Count those who are connected now."""
        return sum(one.sock is not None for one in self._all)

    def wander(self, seconds: float) -> None:
        """Have them come and go for a while."""
        self._work(time.monotonic() + seconds, is_wandering=True)

    def finish(self, lines: int, seconds: float) -> int:
        """Have all read on, to so many lines, and leave; returns how many have all in time."""
        for one in self._all:
            one.settle()
        until = time.monotonic() + seconds
        while any(one.expected < lines for one in self._all) and time.monotonic() < until:
            self._work(time.monotonic() + _TICK, is_wandering=False)
        for one in self._all:
            one.leave()
        return sum(one.expected == lines for one in self._all)

    def _work(self, until: float, *, is_wandering: bool) -> None:
        looked = 0.0
        while (now := time.monotonic()) < until:
            if now - looked >= _TICK:
                looked = now
                for one in self._all:
                    one.look(now, is_wandering=is_wandering)
            for key, _ in self.selector.select(_TICK):
                key.data.read()


class Wanderer:
    """One of them: what it had last, and what comes next."""

    def __init__(self, all_: Wanderers, number: int) -> None:
        self._all = all_
        self._random = random.Random(number)
        #: Both framings: chunked, and ended by the end of the connection.
        self._version = "1.1" if number % 2 else "1.0"
        self.sock: socket.socket | None = None
        self._forget()
        self._act_at = self._random.random()
        self._begin()

    def _begin(self) -> None:
        self._most = 65536
        self._is_paused = False
        self._head, self._text = b"", b""
        self._body: _Body | None = None

    def _forget(self) -> None:
        self._cursor, self._query = b"", ""
        self.expected = 0

    # ── what it does ──

    def look(self, now: float, *, is_wandering: bool) -> None:
        """Do what is due."""
        if now < self._act_at:
            return
        if self.sock is None:
            self._come()
            self._act_at = now + self._random.random()
        elif is_wandering:
            names, chances = zip(*_DEEDS.items(), strict=True)
            (deed,) = self._random.choices(names, [chance for chance, _ in chances])
            self._all.counts[deed] += 1
            self._act_at = now + self._random.uniform(0, _DEEDS[deed][1])
            self._act(deed)

    def _act(self, deed: str) -> None:
        self._pause(is_paused=deed == "pause")
        self._most = self._random.randint(1, 3000) if deed == "sip" else 65536
        if deed == "half-close" and self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        elif deed in {"leave", "reset", "come anew", "begin anew"}:
            self.leave(is_abrupt=deed == "reset")
        if deed == "come anew":
            # Whatever line comes first is the one that counts.
            self._forget()
            self.expected, self._query = -1, f"&tail={self._random.randint(0, 50)}"
        elif deed == "begin anew":
            self._forget()

    def settle(self) -> None:
        """Wander no more, and read."""
        self._act("read")
        self._act_at = 0

    def _pause(self, *, is_paused: bool) -> None:
        if self.sock is not None and is_paused != self._is_paused:
            self._is_paused = is_paused
            if is_paused:
                self._all.selector.unregister(self.sock)
            else:
                self._all.selector.register(self.sock, selectors.EVENT_READ, self)

    def _come(self) -> None:
        self._begin()
        self._all.counts["connections"] += 1
        lines = [f"GET {self._all.path}{self._query} HTTP/{self._version}", "Host: 127.0.0.1"]
        lines += [f"Last-Event-ID: {self._cursor.decode()}"] if self._cursor else []
        self.sock = socket.create_connection(self._all.address, 10)
        self._all.selector.register(self.sock, selectors.EVENT_READ, self)
        try:
            self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        except OSError:
            self._cut()
            return
        self.sock.settimeout(0)

    def leave(self, *, is_abrupt: bool = False) -> None:
        """Close; what is amid an event is forgotten."""
        if self.sock is None:
            return
        self._pause(is_paused=True)
        if is_abrupt:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.close()
        self.sock = None

    def _cut(self) -> None:
        self._all.counts["cut by the server"] += 1
        self.leave()
        self._act_at = time.monotonic() + self._random.random() / 2

    # ── what it gets ──

    def read(self) -> None:
        """Take something, and look whether each line is the next."""
        if self.sock is None or self._is_paused:
            return
        try:
            data = self.sock.recv(self._most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._cut()
            return
        if self._body is None:
            data = self._read_head(data)
        if self._body is not None:
            self._check(self._body.decode(data))

    def _read_head(self, data: bytes) -> bytes:
        self._head, found, body = (self._head + data).partition(b"\r\n\r\n")
        if not found:
            return b""
        if not self._head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            self._all.counts["refused"] += 1
            self._cut()
            return b""
        self._body = _Body(is_chunked=b"transfer-encoding: chunked" in self._head.lower())
        return body

    def _check(self, text: bytes) -> None:
        whole, end, self._text = (self._text + text).rpartition(b"\n\n")
        for number, cursor in _EVENT.findall(whole + end):
            self._cursor = cursor
            if number:
                self._count(int(number))

    def _count(self, number: int) -> None:
        self._all.counts["lines"] += 1
        if self.expected not in {-1, number}:
            self._all.mistakes.append(f"line {number} instead of {self.expected}")
        self.expected = number + 1


class _Body:
    """A body of HTTP, taken out of its chunks."""

    def __init__(self, *, is_chunked: bool) -> None:
        self._is_chunked = is_chunked
        self._rest = b""
        #: Of the chunk that is amid, and of the line break behind it.
        self._left = 0

    def decode(self, data: bytes) -> bytes:
        """Take what came, and give what it says."""
        if not self._is_chunked:
            return data
        data, self._rest = self._rest + data, b""
        found = []
        while data:
            if self._left > 2:
                part, data = data[: self._left - 2], data[self._left - 2 :]
                self._left -= len(part)
                found.append(part)
            elif self._left:
                skipped, data = data[: self._left], data[self._left :]
                self._left -= len(skipped)
            elif b"\r\n" in data:
                size, _, data = data.partition(b"\r\n")
                self._left = int(size, 16) + 2
            else:
                self._rest, data = data, b""
        return b"".join(found)
