"""Where measurements take place: a folder that goes, processes that end, sockets, compiled helpers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from outlive.entries import RunRecord
from outlive.stores import DirectoryStore

__all__ = ["PROGRAMS", "Lab", "ask", "open_lab"]

PROGRAMS = Path(__file__).parent / "programs"

_PATIENCE = 60.0


class Lab:
    """What the measurements share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiler = shutil.which("cc")
        self._folders = 0
        self._processes: list[subprocess.Popen[Any]] = []

    @contextlib.contextmanager
    def store(self) -> Iterator[DirectoryStore]:
        """Make a store that goes with all its runs."""
        path = self.make_folder()
        try:
            yield DirectoryStore(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def make_folder(self) -> Path:
        """Make a folder that goes with the lab, at the latest."""
        self._folders += 1
        path = self.folder / f"folder-{self._folders}"
        path.mkdir()
        return path

    def helper(self, name: str) -> list[str]:
        """Give the command that runs a helper program: compiled where there is a compiler."""
        compiled = self.folder / name
        source = PROGRAMS / f"{name}.c"
        if self.compiler and not compiled.exists():
            subprocess.run([self.compiler, "-O2", "-o", compiled, source], check=True)
        return [str(compiled)] if compiled.exists() else python(f"{name}.py")

    @property
    def language(self) -> str:
        """What helpers are written in here."""
        return "C" if self.compiler else "Python"

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401
        """Start a process that is over, at the latest, when the lab is."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
        process = subprocess.Popen(argv, **options)
        self._processes.append(process)
        return process

    def outlive(
        self, *arguments: str, store: DirectoryStore, **options: Any  # noqa: ANN401
    ) -> subprocess.Popen[Any]:  # fmt: skip
        """Start `outlive`; its standard error is a pipe unless told otherwise."""
        options = {"stderr": subprocess.PIPE, "env": _environment(store), **options}
        return self.start([sys.executable, "-m", "outlive", *arguments], **options)

    def run_to_end(self, *arguments: str, store: DirectoryStore) -> RunRecord:
        """Run `outlive` until it is over, and get the record of the store's only run."""
        self.finish(self.outlive(*arguments, store=store))
        (record,) = store.records()
        return record

    def finish(self, process: subprocess.Popen[Any]) -> None:
        """Wait for a process that has to succeed."""
        # Popen.wait(timeout) looks again only every 50 ms: its answer would be that late.
        watchdog = threading.Timer(_PATIENCE, process.kill)
        watchdog.start()
        code = process.wait()
        watchdog.cancel()
        if code:
            said = process.stderr.read().decode() if process.stderr else ""
            raise RuntimeError(f"{process.args!r} exited with {code}: {said}")
        self._forget(process)

    def stop(self, process: subprocess.Popen[Any]) -> None:
        """End a process, by force if need be."""
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._forget(process)

    def _forget(self, process: subprocess.Popen[Any]) -> None:
        self._processes.remove(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def close_all(self, *, but: Sequence[subprocess.Popen[Any]] = ()) -> None:
        """End whatever is left."""
        for process in [process for process in self._processes if process not in but]:
            self.stop(process)


@contextlib.contextmanager
def open_lab() -> Iterator[Lab]:
    """Make a lab in the folder for temporary files (`TMPDIR`)."""
    with tempfile.TemporaryDirectory(prefix="outlive-bench-") as folder:
        lab = Lab(Path(folder))
        try:
            yield lab
        finally:
            lab.close_all()


def python(program: str, *arguments: str) -> list[str]:
    """Give the command that runs a helper in Python, started as fast as it can be."""
    return [sys.executable, "-S", "-E", str(PROGRAMS / program), *arguments]


def read_url(process: subprocess.Popen[Any]) -> str:
    """Read the URL that `outlive` prints first."""
    line = process.stderr.readline().decode() if process.stderr else ""
    _, found, url = line.partition("http://")
    if not found:
        raise RuntimeError(f"no URL, but {line!r}")
    return f"http://{url.strip()}"


def ask(url: str, *headers: str, method: str = "GET", **query: object) -> socket.socket:
    """Connect and send a request; the answer is for the caller to read."""
    parts = urlsplit(url)
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    connection = socket.create_connection((parts.hostname or "", parts.port or 80), _PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = (
        f"{method} {parts.path}{'?' if asked else ''}{asked} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: close",
        *headers,
    )
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


def _environment(store: DirectoryStore) -> dict[str, str]:
    """Take over the environment, but no setting of Outlive's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OUTLIVE_")}
    return {**own, "OUTLIVE_STORE": str(store.path)}
