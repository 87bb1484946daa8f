"""Where the workers of a store find its engine: one for each installation of Outlive and network."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

__all__ = ["FOLDER", "LOCK", "READY", "find_gate", "name_gate"]

#: Of a store: the sockets of its engines, and a file of which each locks a byte.
FOLDER = "engines"
LOCK = "lock"
#: Each container has one of its own.
NETWORK = Path("/proc/self/ns/net")
#: What an engine that listens tells who started it, at last.
READY = b"ready\n"


def name_gate() -> tuple[str, int]:
    """Name the socket of this installation's engine, and the byte that it locks.

    Another version, or another folder that it is deployed to, has an engine of its own, and what
    workers and engine tell each other need not be understood by others. So has another container:
    who listens there, only an engine in the same network sees.
    """
    version = sys.modules[__name__.partition(".")[0]].__version__
    place = crc32(b"%s %d" % (os.fsencode(Path(__file__).parent), NETWORK.stat().st_ino))
    return f"{version}-{place:08x}", crc32(version.encode(), place)


@contextlib.contextmanager
def find_gate(store: Path) -> Iterator[str]:
    """Name the socket so that an address has room for it: there are 107 bytes (unix(7))."""
    folder = os.open(store / FOLDER, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{name_gate()[0]}"
    finally:
        os.close(folder)
