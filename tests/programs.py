"""The program `outlive`, as users start it, with a store of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from outlive.entries import Kind
from outlive.formats.text import TextFormat
from outlive.journals.readers import Reader
from outlive.stores import DirectoryStore
from tests.helpers import eventually

SECONDS = 60.0


class Outlive:
    """Starts `outlive` in processes, and looks into the store that they use."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.environment = {**os.environ, "OUTLIVE_STORE": str(store)}
        for name in ("OUTLIVE_HOST", "OUTLIVE_PORT", "PYTHONUNBUFFERED"):
            self.environment.pop(name, None)
        self._started: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """Write a command line."""
        return [sys.executable, "-m", "outlive", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start the program; its output and errors are pipes unless said otherwise."""
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environment,
            **options,
        }
        process = subprocess.Popen(self.command(*arguments), **options)
        self._started.append(process)
        return process

    def __call__(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the program to its end; `input` is what it gets on standard input."""
        given = options.pop("input", None)
        if given is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, **options)
        out, err = process.communicate(given, timeout=SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def shell(self, script: str) -> subprocess.CompletedProcess[bytes]:
        """Run a shell script in which `outlive` is the program."""
        program = " ".join(self.command())
        return subprocess.run(
            ["bash", "-c", f'outlive() {{ {program} "$@"; }}\n{script}'],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )

    def run_of(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the URL that a `run` or `pipe` prints first, and take the run's id out of it."""
        return self.url_of(process).rpartition("/")[2].partition("?")[0]

    @staticmethod
    def url_of(process: subprocess.Popen[bytes]) -> str:
        """Wait for the line with the URL of a page."""
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        assert line.startswith("outlive: http://"), line
        return line.split()[1]

    def record(self, name: str = "last") -> dict[str, Any]:
        """Get the record of a run, as programs see it."""
        store = DirectoryStore(self.store)
        return store.record(store.find(name)).as_json()

    def text(self, name: str = "last", kinds: tuple[Kind, ...] = (Kind.OUT, Kind.ERR)) -> bytes:
        """Get what a run has written so far."""
        store = DirectoryStore(self.store)
        run = store.find(name)
        reader, form, parts = Reader(store.journal(run)), TextFormat(run), []
        while entries := reader.read():
            parts += [form.encode(entry) for entry in entries if entry.kind in kinds]
        return b"".join(parts)

    def written(self, text: bytes, name: str = "last") -> None:
        """Wait until a run has written something."""
        eventually(lambda: (self.store / "runs").exists() and self._has_runs())
        eventually(lambda: text in self.text(name))

    def _has_runs(self) -> bool:
        return bool(DirectoryStore(self.store).records())

    def close(self) -> None:
        """Kill what a failed test left running, and what it ran."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


def last_line(result: subprocess.CompletedProcess[bytes]) -> str:
    """Get the last line that a program wrote to standard error."""
    return result.stderr.decode().splitlines()[-1]


def exists(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
