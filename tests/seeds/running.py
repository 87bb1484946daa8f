"""Examples as their users run them: each a program of its own, with a store of the test's."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from outlive.errors import RunFinished
from outlive.stores import DirectoryStore
from tests.listening import Listener
from tests.standalone.servers import PATIENCE, Connection

ROOT = Path(__file__).parents[2]
_URL = re.compile(r"(http://[\w.\[\]:]+:\d+)")


class Example:
    """An example that serves, on a port that was free, and what it says."""

    def __init__(self, arguments: list[str], folder: Path, **environment: str) -> None:
        self.folder = folder
        self.store = DirectoryStore(folder / "store")
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
        self._listener = Listener(self.process, _URL)
        self.said = self._listener.said
        try:
            self.url = self._listener.wait()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for record in self.store.records():
            # It may have ended by itself.
            with contextlib.suppress(RunFinished):
                self.store.journal(record.id).request_cancel()
        self.stop()

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
