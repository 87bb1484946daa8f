"""A server, what feeds it and a client in C: the steps of which each measurement with viewers consists."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import footprints
from .lab import Lab, ask
from .peers import Load, Peer

__all__ = ["Delays", "Fed", "Result", "Show", "open_show"]

#: Until all viewers have a head, the lines are fed, the client is done.
_PATIENCE = 60.0


class Delays(NamedTuple):
    """Seconds from when lines were due until they were read: of the oldest of each read."""

    p50: float
    p95: float
    p99: float
    longest: float


class Fed(NamedTuple):
    """What is known of the lines: how many were written of each run, when it began, CPU."""

    written: int
    began: float
    cpu: float


class Result(NamedTuple):
    """What a client has seen: lines of all, of a viewer at least and at most, until when."""

    delivered: int
    last: float
    fewest: int
    most: int
    delays: Delays
    cpu: float


class Show:
    """A peer's server and a feeder, which wait for a client."""

    def __init__(self, lab: Lab, peer: Peer, feeder: subprocess.Popen[Any] | None) -> None:
        self.lab = lab
        self.peer = peer
        self._feeder = feeder
        ids = _read(feeder, failure="no run").split() if feeder else [""]
        self.runs = ids
        self.paths = [peer.path(run) for run in ids]

    def url(self, path: str) -> str:
        """Say where a path of the server is."""
        return f"http://127.0.0.1:{self.peer.port}{path}"

    def warm(self) -> None:
        """Let one viewer come and go, so that what the first one costs is no part of what each does."""
        if self._feeder is None:
            return
        with ask(self.url(self.paths[0]), "Accept: text/event-stream") as viewer:
            viewer.settimeout(5)
            with contextlib.suppress(TimeoutError):
                viewer.recv(1000)
        time.sleep(0.5)

    def connect(self, *, query: str = "") -> Client:
        """Have all viewers come; returns once each has the head of its stream."""
        paths = [f"{path}{query}" for path in self.paths]
        argv = [*self.lab.helper("crowd"), str(self.peer.port), str(self.peer.load.viewers), *paths]
        pipe = subprocess.PIPE
        # Unbuffered: what it did not take would be written again when the pipe is closed.
        client = self.lab.start(argv, stdin=pipe, stdout=pipe, bufsize=0)
        if _read(client, failure="not all viewers were answered").strip() != "ready":
            raise RuntimeError("the viewers' streams ended before a line came")
        return Client(client)

    def begin(self) -> None:
        """Have the lines begin."""
        if self._feeder is None:
            self.peer.go.touch()
        else:
            _write(self._feeder, "go")

    def finish(self) -> Fed:
        """Wait until all lines are written."""
        load = self.peer.load
        seconds = load.lines / load.rate if load.rate else _PATIENCE
        if self._feeder is None:
            began = time.monotonic()
            time.sleep(seconds)
            return Fed(load.lines, began, 0)
        told = _read(self._feeder, seconds, failure="not all lines were taken").split()
        return Fed(int(told[0]) // load.runs, int(told[1]) / 1e6, float(told[2]))

    def rounds(self) -> int:
        """Tell how far the server's computing thread is."""
        (count,) = struct.unpack("=q", self.peer.rounds.read_bytes())
        return int(count)


class Client:
    """Viewers, in a process of their own."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process

    def delays(self) -> Delays:
        """Tell what there was since the last call."""
        _write(self._process, "?")
        values = map(float, _read(self._process).split()[1:])
        return Delays(*values)

    def finish(self, written: int) -> Result:
        """Wait until all have so many lines, or a while."""
        # Gone already, where all streams came to their end.
        with contextlib.suppress(BrokenPipeError):
            _write(self._process, str(written))
        told = [float(value) for value in _read(self._process).split()]
        delivered, last, fewest, most = told[:4]
        return Result(
            int(delivered), last / 1e6, int(fewest), int(most), Delays(*told[4:8]), told[8]
        )


@contextlib.contextmanager
def open_show(lab: Lab, kind: type[Peer], load: Load) -> Iterator[Show]:
    """Start a peer's server, and what feeds it; all that it started goes at the end."""
    folder = lab.make_folder()
    peer = kind(lab, folder, load)
    try:
        peer.start()
        yield Show(lab, peer, peer.feed() if peer.fed else None)
    finally:
        # Viewers and feeder first: a server may wait for them.
        lab.close_all(but=peer.processes)
        engines = footprints.find_engines(peer)
        peer.stop()
        for pid in engines:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


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
