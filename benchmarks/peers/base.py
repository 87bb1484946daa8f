"""What all peers have in common: a server that starts, a path to watch, and how lines get there."""

from __future__ import annotations

import abc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ..lab import PROGRAMS, Lab
from .environments import PYTHON

__all__ = ["APPS", "MANY", "Load", "Peer"]

APPS = Path(__file__).parent / "apps"

#: As many viewers as anybody measures.
MANY = 1_000_000

_PATIENCE = 20.0


class Load(NamedTuple):
    """What a server has to bear."""

    viewers: int
    #: Lines per second and run; 0: as fast as they are taken.
    rate: int
    #: Of each run, while they are counted.
    lines: int
    #: The viewers are spread over them evenly.
    runs: int = 1
    #: Megabytes that a run has before.
    history: int = 0
    #: Whether a thread of the server computes for ever.
    computing: bool = False


class Peer(abc.ABC):
    """One way to show lines to viewers, set up as its own documentation says."""

    #: How tables call it.
    name = ""
    #: What has to be installed for it: from the Python package index, and as a program: its Debian package.
    packages: tuple[str, ...] = ()
    programs: ClassVar[Mapping[str, str]] = {}
    #: More viewers than that make no sense, for this reason.
    most, reason = MANY, ""
    #: Who comes late gets what was before, from the beginning.
    keeps_history = False
    #: Lines come through `feeder`; otherwise its own work makes them, once there is a file `go`.
    fed = True

    #: What its servers find in their environment, beside what all do.
    settings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, lab: Lab, folder: Path, load: Load) -> None:
        self.lab = lab
        self.folder = folder
        self.load = load
        self.port = free_port()
        self.go = folder / "go"
        #: Where a computing thread counts its rounds.
        self.rounds = folder / "rounds"
        self.processes: list[subprocess.Popen[Any]] = []

    @abc.abstractmethod
    def start(self) -> None:
        """Start the server; returns as soon as it listens."""

    #: What `programs/feed.py` is told: the transport and its target.
    @property
    def feeder(self) -> tuple[str, str]:
        """Say how lines get there."""
        return "socket", str(self.folder / "feed")

    def path(self, run: str) -> str:  # noqa: ARG002
        """Say where viewers go, for a run that the feeder made."""
        return "/stream"

    def stop(self) -> None:
        """End all that was started."""
        for process in reversed(self.processes):
            self.lab.stop(process)

    def launch(self, argv: Sequence[str], *, port: int = 0, **settings: str) -> None:
        """Start a process of this server, and wait until it listens (to `port`)."""
        environment = {
            **os.environ,
            "PYTHONPATH": f"{PROGRAMS}:{APPS}",
            "FEED": str(self.folder / "feed"),
            "GO": str(self.go),
            "RATE": str(self.load.rate),
            "LINES": str(self.load.lines),
            "ROUNDS": str(self.rounds) if self.load.computing else "",
            "OUTLIVE_STORE": str(self.folder / "store"),
            "OUTLIVE_VIEWERS": str(MANY),
            **self.settings,
            **settings,
        }
        log = (self.folder / f"log-{len(self.processes)}").open("wb")
        process = self.lab.start(argv, env=environment, cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(process)
        log.close()
        self._await(process, port or self.port, Path(log.name))

    def gunicorn(self, app: str, *options: str, **settings: str) -> None:
        """Serve a WSGI application."""
        argv = [PYTHON, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", *options, app]
        self.launch(list(map(str, argv)), port=0, **settings)

    def uvicorn(self, app: str, *options: str, **settings: str) -> None:
        """Serve an ASGI application."""
        argv = [PYTHON, "-m", "uvicorn", "--port", self.port, "--log-level", "error", *options, app]
        self.launch(list(map(str, argv)), port=0, **settings)

    def _await(self, process: subprocess.Popen[Any], port: int, log: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        said = log.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"{process.args!r} does not listen")

    def feed(self) -> subprocess.Popen[Any]:
        """Start what gives it lines."""
        argv = [sys.executable, PROGRAMS / "feed.py", *self.feeder]
        argv += [self.load.rate, self.load.lines, self.load.runs, self.load.history]
        pipe = subprocess.PIPE
        return self.lab.start(list(map(str, argv)), stdin=pipe, stdout=pipe, bufsize=0)


def free_port() -> int:
    """Find a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
