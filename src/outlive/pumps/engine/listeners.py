"""Who listens: a server that is gone has nobody listening where its viewers came in."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Address", "address_of", "find_deserted", "is_unbound"]

_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
#: How `tcp` of proc(5) writes the state of a socket that listens.
_LISTENS = b"0A"


class Address(NamedTuple):
    """Where a connection came in: a host and a port, or a path."""

    family: int
    host: bytes
    port: int


def address_of(sock: socket.socket) -> Address | None:
    """Find out where a connection came in; None where nobody could tell who listens there."""
    name = sock.getsockname()
    if sock.family in _TABLES:
        host, port, *_ = name
        return Address(sock.family, socket.inet_pton(sock.family, host.partition("%")[0]), port)
    # Neither a pair, which has no name, nor an abstract one, of which nothing can be asked.
    if not isinstance(name, str) or not name:
        return None
    # As it is here, which may be another folder than where it was bound.
    path = Path(name).absolute()
    return Address(sock.family, os.fsencode(path), 0) if path.is_socket() else None


def find_deserted(addresses: Iterable[Address]) -> set[Address]:
    """Find those at which nobody listens any more."""
    asked = set(addresses)
    deserted = {each for each in asked if each.family == socket.AF_UNIX and is_unbound(each.host)}
    for family, table in _TABLES.items():
        those = {each for each in asked if each.family == family}
        # What cannot be read counts as listened at.
        with contextlib.suppress(OSError):
            deserted |= _leave_out(those, table) if those else set()
    return deserted


def _leave_out(addresses: set[Address], table: Path) -> set[Address]:
    listening = set(_read_listening(table))
    every = bytes(len(next(iter(addresses)).host))
    return {
        each for each in addresses if not listening & {(each.host, each.port), (every, each.port)}
    }


def _read_listening(table: Path) -> Iterator[tuple[bytes, int]]:
    """Read those that listen: they come first, and all others are not even asked for."""
    # Of 8,000 connections the whole table is 1.2 MB; a page at a time is what the kernel makes.
    with table.open("rb", buffering=4096) as rows:
        next(rows)
        for row in rows:
            _, local, _, state, *_ = row.split()
            if state != _LISTENS:
                return
            host, _, port = local.partition(b":")
            words = [int(host[i : i + 8], 16) for i in range(0, len(host), 8)]
            yield struct.pack(f"={len(words)}I", *words), int(port, 16)


def is_unbound(path: bytes | str) -> bool:
    """Tell whether a Unix socket is bound by nobody.

    A datagram socket cannot connect to one that listens for streams: the kernel says so
    (EPROTOTYPE) where that is alive, and its server notices nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(path)
        except OSError as error:
            return error.errno in (errno.ECONNREFUSED, errno.ENOENT)
    return False
