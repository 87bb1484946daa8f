"""Examples as their users run them: each a program of its own, with a store of the test's."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from outlive.errors import RunFinished
from outlive.stores import DirectoryStore
from tests.standalone.servers import PATIENCE, Connection

ROOT = Path(__file__).parents[2]
_URL = re.compile(r"http://[\w.\[\]:]+:\d+")


class Example:
    """An example that serves, on a port that was free, and what it says."""

    def __init__(self, arguments: list[str], folder: Path, **environment: str) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.store = DirectoryStore(folder / "store")
        self._told = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "OUTLIVE_STORE": str(folder / "store"),
                "PORT": "0",
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        assert self._told.wait(PATIENCE), self.said
        [self.url, *_] = _URL.findall("".join(self.said)) or [""]
        assert self.url, self.said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for record in self.store.records():
            # It may have ended by itself.
            with contextlib.suppress(RunFinished):
                self.store.journal(record.id).request_cancel()
        self.stop()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if _URL.search(line):
                self._told.set()
        self.process.stdout.close()
        self._told.set()

    def stop(self) -> None:
        """End it by Ctrl-C, once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._listener.join()

    def ask(self, path: str, method: str = "GET", **headers: str) -> Connection:
        """Ask for a path, on a connection of its own."""
        parts = urlsplit(self.url)
        connection = Connection(socket.create_connection((parts.hostname, parts.port)))
        connection.sock.settimeout(PATIENCE)
        connection.ask(path, method, Connection="close", **headers)
        return connection
