"""A crowd before one peer: what is delivered, how late, and what it costs whom."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from .lab import Lab, ask
from .peers import Peer

__all__ = ["Crowd", "gather_crowd", "gather_late"]

#: Until all viewers have a head, the lines are fed, the client is done.
_PATIENCE = 30.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Crowd(NamedTuple):
    """What came of one crowd: seconds, CPU seconds per million deliveries, bytes per viewer."""

    speed: float
    share: float
    p50: float
    p95: float
    p99: float
    server: float
    feeder: float
    client: float
    idle: float
    active: float
    kernel: float
    #: More than once, where it is over 1.
    most: float

    @classmethod
    def middle(cls, crowds: list[Crowd]) -> Crowd:
        """Take the median of several, value by value."""
        return cls(*(median(values) for values in zip(*crowds, strict=True)))


class _Feeding(NamedTuple):
    """What is known of the lines: how many were written per viewer, when it began, CPU."""

    written: int
    began: float
    cpu: float


def gather_crowd(lab: Lab, kind: type[Peer], viewers: int, rate: int, seconds: float) -> Crowd:
    """Let a crowd wait for a run, and follow it to its end."""
    lines = int(rate * seconds)
    with _serving(lab, kind, viewers, rate, lines) as (peer, feeder):
        path = peer.path(_read(feeder).strip() if feeder else "")
        if feeder:
            _warm(peer, path)
        before, kernel = _memory(peer), _kernel()
        client = _connect(lab, peer, path, viewers)
        idle, used = _memory(peer), _cpu(peer)
        fed = _feed(peer, feeder, lines, seconds)
        active, held = _memory(peer), _kernel()
        told = _result(client, fed.written)
        used = _cpu(peer) - used
    return _crowd(
        peer, told, fed, used,
        ((idle - before) / viewers, (active - before) / viewers, (held - kernel) / viewers),
    )  # fmt: skip


def gather_late(lab: Lab, kind: type[Peer], viewers: int, lines: int) -> Crowd:
    """Let a crowd come when so many lines were written, which all of it is to have."""
    with _serving(lab, kind, viewers, 0, lines) as (peer, feeder):
        path = peer.path(_read(feeder).strip() if feeder else "")
        fed = _feed(peer, feeder, lines, _PATIENCE)
        before, kernel, used = _memory(peer), _kernel(), _cpu(peer)
        began = time.monotonic()
        client = _connect(lab, peer, path, viewers)
        told = _result(client, fed.written)
        used = _cpu(peer) - used
        active, held = _memory(peer), _kernel()
    sizes = (0.0, (active - before) / viewers, (held - kernel) / viewers)
    return _crowd(peer, told, fed._replace(began=began), used, sizes)


def _crowd(
    peer: Peer, told: list[float], fed: _Feeding, used: float, sizes: tuple[float, float, float]
) -> Crowd:  # fmt: skip
    delivered, last, _, most, p50, p95, p99, _, client, _ = told
    if not delivered:
        raise RuntimeError("nothing was delivered")
    million = delivered / 1e6
    return Crowd(
        delivered / max(last / 1e6 - fed.began, 1e-6), delivered / (peer.lines * peer.viewers),
        p50, p95, p99, used / million, fed.cpu / million, client / million, *sizes, most / peer.lines,
    )  # fmt: skip


@contextlib.contextmanager
def _serving(
    lab: Lab, kind: type[Peer], viewers: int, rate: int, lines: int
) -> Iterator[tuple[Peer, subprocess.Popen[Any] | None]]:
    """Have a peer's server, and what feeds it; all that it started goes at the end."""
    folder = lab.make_folder()
    peer = kind(lab, folder, viewers, rate, lines)
    try:
        peer.start()
        yield peer, peer.feed() if peer.fed else None
    finally:
        # Viewers and feeder first: a server may wait for them.
        lab.close_all(but=peer.processes)
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _warm(peer: Peer, path: str) -> None:
    """Let one viewer come and go, so that what the first one costs is no part of what each does."""
    with ask(f"http://127.0.0.1:{peer.port}{path}", "Accept: text/event-stream") as viewer:
        viewer.settimeout(5)
        with contextlib.suppress(TimeoutError):
            viewer.recv(1000)
    time.sleep(0.5)


def _connect(lab: Lab, peer: Peer, path: str, viewers: int) -> subprocess.Popen[Any]:
    argv = [*lab.helper("crowd"), str(peer.port), path, str(viewers)]
    # Unbuffered: what it did not take would be written again when the pipe is closed.
    client = lab.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    if _read(client, failure="not all viewers were answered").strip() != "ready":
        raise RuntimeError("the viewers' streams ended before a line came")
    return client


def _feed(peer: Peer, feeder: subprocess.Popen[Any] | None, lines: int, seconds: float) -> _Feeding:
    """Have the lines written; returns once they are."""
    if feeder is None:
        began = time.monotonic()
        peer.go.touch()
        time.sleep(seconds)
        return _Feeding(lines, began, 0)
    _write(feeder, "go")
    told = _read(feeder, seconds, failure="not all lines were taken").split()
    return _Feeding(int(told[0]), int(told[1]) / 1e6, float(told[2]))


def _result(client: subprocess.Popen[Any], written: int) -> list[float]:
    # Gone already, where all streams came to their end.
    with contextlib.suppress(BrokenPipeError):
        _write(client, str(written))
    return [float(value) for value in _read(client).split()]


def _write(process: subprocess.Popen[Any], line: str) -> None:
    if process.stdin is None:
        raise RuntimeError("no pipe")
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def _read(process: subprocess.Popen[Any], seconds: float = 0, *, failure: str = "no answer") -> str:
    """Read a line, which comes in a while, or not at all."""
    if process.stdout is None:
        raise RuntimeError("no pipe")
    seconds += _PATIENCE
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise RuntimeError(f"{failure} within {seconds:.0f} s")
    line: bytes = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{failure}: the connection was refused or cut")
    return line.decode()


def _tree(peer: Peer) -> list[int]:
    """Find the processes of a server: those that were started, and their children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int(_fields(int(entry.name))[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [process.pid for process in peer.processes]
    for pid in found:
        found += children.get(pid, [])
    return found


def _fields(pid: int) -> list[str]:
    """Read what the kernel tells of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu(peer: Peer) -> float:
    """Get the seconds of CPU that a server has used, its ended children's included."""
    total = 0
    for pid in _tree(peer):
        with contextlib.suppress(OSError):
            total += sum(map(int, _fields(pid)[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def _memory(peer: Peer) -> int:
    """Get the bytes that are a server's own, and its share of others (PSS)."""
    total = 0
    for pid in _tree(peer):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _kernel() -> int:
    """Get the bytes of the kernel's own objects and of TCP's buffers, of the whole machine."""
    slab = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("Slab:")
    )
    sockets = Path("/proc/net/sockstat").read_text()
    return slab + int(sockets.partition("TCP: ")[2].splitlines()[0].split()[-1]) * _PAGE
