"""Beside a child's output: entries that it makes itself, in messages to its supervisor.

Each message is answered once its entry is written. So what the child does one after the other is
written in this order, whether it prints, logs or tells of a stage: while it waits for the answer,
nothing that it prints afterwards can be there, and what it printed before is read first.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import struct
import threading
from typing import NamedTuple

from .entries import End, Kind, State

__all__ = ["Channel", "ChannelEnd", "Message"]

#: The kind, flags, the origin, and what is the same in all parts of one payload.
_HEAD = struct.Struct("=BBIQ")
#: More of the same payload follows.
_MORE = 1
#: The sender waits for an answer.
_WAITS = 2
#: Bytes of payload in a message: less than the kernel takes at once by default.
_PART = 64 * 1024


class Message(NamedTuple):
    """An entry to be."""

    kind: Kind
    payload: bytes
    origin: int
    waits: bool


class Channel:
    """The supervisor's side."""

    def __init__(self) -> None:
        # unix(7): a message arrives whole or not at all, also where several processes send.
        self._socket, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_blocking(self._socket.fileno(), False)
        self.fd: int | None = self._socket.fileno()
        #: How the child says that its work ended.
        self.told: End | None = None
        self._parts: dict[int, bytes] = {}

    def begin(self, facts: bytes) -> None:
        """Tell the child what it is to know."""
        self._socket.send(facts)

    def receive(self) -> Message | None:
        """Take an entry, if one is there; an end is only remembered."""
        while self.fd is not None:
            try:
                data = self._socket.recv(_HEAD.size + _PART)
            except BlockingIOError:
                return None
            except OSError:
                data = b""
            if not data:
                self.close()
                return None
            kind, flags, origin, number = _HEAD.unpack_from(data)
            payload = self._parts.pop(number, b"") + data[_HEAD.size :]
            message = Message(Kind(kind), payload, origin, bool(flags & _WAITS))
            if flags & _MORE:
                self._parts[number] = payload
            elif kind == Kind.END:
                facts = json.loads(payload)
                self.told = End(**{**facts, "state": State(facts["state"])})
                self.answer(message)
            else:
                return message
        return None

    def answer(self, message: Message) -> None:
        """Let the child go on."""
        with contextlib.suppress(OSError):
            if message.waits:
                self._socket.send(b"!")

    def close(self) -> None:
        """Let go of it."""
        self.fd = None
        self._socket.close()
        self.other.close()


class ChannelEnd:
    """The child's side; what it forks later may send, too, but does not wait for answers."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._process = os.getpid()
        self._numbers = itertools.count()
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        # Signal handlers may send amid a message.
        self._mutex = threading.RLock()

    def take_facts(self) -> bytes:
        """Wait for what the supervisor has to say first."""
        return self._socket.recv(_PART)

    def send(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        """Send an entry, and wait until it is written; without supervisor, nothing happens."""
        process = os.getpid()
        waits = _WAITS if process == self._process else 0
        with self._mutex, contextlib.suppress(OSError):
            number = process << 32 | next(self._numbers) & 0xFFFFFFFF
            for start in range(0, max(1, len(payload)), _PART):
                more = _MORE if start + _PART < len(payload) else 0
                head = _HEAD.pack(kind, waits | more, origin, number)
                self._socket.send(head + payload[start : start + _PART])
            if waits:
                self._socket.recv(1)
