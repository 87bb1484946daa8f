"""What a server takes of the machine: its processes' CPU, memory and descriptors, and the kernel's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from .peers import Peer

__all__ = [
    "count_descriptors",
    "cpu_seconds",
    "find_children",
    "find_engines",
    "find_processes",
    "kernel",
    "memory",
    "read_from_disk",
]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

_Finder = Callable[[Peer], list[int]]


def find_processes(peer: Peer) -> list[int]:
    """Find the processes of a server: those that were started, their children, and engines."""
    children: dict[int, list[int]] = {}
    for pid in _all_processes():
        with contextlib.suppress(OSError):
            children.setdefault(int(_fields(pid)[1]), []).append(pid)
    found = [process.pid for process in peer.processes] + find_engines(peer)
    for pid in found:
        found += [child for child in children.get(pid, ()) if child not in found]
    return found


def find_children(parent: int) -> list[int]:
    """Find the processes that a process started, and that are not over."""
    found = []
    for pid in _all_processes():
        with contextlib.suppress(OSError):
            state, owner, *_ = _fields(pid)
            if int(owner) == parent and state != "Z":
                found.append(pid)
    return found


def find_engines(peer: Peer) -> list[int]:
    """Find the engines of a store: they are nobody's children, and name it in their arguments."""
    store = str(peer.folder / "store").encode()
    found = []
    for pid in _all_processes():
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            if store in arguments and b"pumps/engine" in arguments:
                found.append(pid)
    return found


def cpu_seconds(peer: Peer) -> float:
    """Get the seconds of CPU that a server has used, its ended children's included."""
    total = 0
    for pid in find_processes(peer):
        with contextlib.suppress(OSError):
            total += sum(map(int, _fields(pid)[11:15]))
    return total / _TICKS


def memory(peer: Peer, of: _Finder = find_processes) -> int:
    """Get the bytes that are a server's own, and its share of others (PSS)."""
    return sum(map(_share, of(peer)))


def _share(pid: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


def count_descriptors(peer: Peer, of: _Finder = find_processes) -> int:
    """Count what a server has open."""
    total = 0
    for pid in of(peer):
        with contextlib.suppress(OSError):
            total += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return total


def read_from_disk(peer: Peer) -> int:
    """Get the bytes that a server's reads had the disk bring."""
    total = 0
    for pid in find_processes(peer):
        with contextlib.suppress(OSError):
            counts = Path(f"/proc/{pid}/io").read_text()
            total += int(counts.partition("\nread_bytes: ")[2].splitlines()[0])
    return total


def kernel() -> int:
    """Get the bytes of the kernel's own objects and of TCP's buffers, of the whole machine."""
    slab = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("Slab:")
    )
    sockets = Path("/proc/net/sockstat").read_text()
    return slab + int(sockets.partition("TCP: ")[2].splitlines()[0].split()[-1]) * _PAGE


def _all_processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _fields(pid: int) -> list[str]:
    """Read what the kernel tells of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
