"""Applications on the servers that people run, each in a process of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from outlive import platforms
from outlive.stores import DirectoryStore
from tests.adapters.proxies import Nginx
from tests.helpers import eventually, free_port
from tests.listening import Listener
from tests.standalone.servers import PATIENCE, Connection, dechunk

#: Viewers at once where a row sets no limit.
MANY = 50
ROOT = Path(__file__).parents[2]
PREFIX = "/deep"

#: Where a server says that it listens; daphne tells no URL.
_ADDRESS = re.compile(r"(?:http://|TCP address )(\S+?:\d+)")


class Server(NamedTuple):
    """How a server is started, and what it can do there: a row of docs/servers.md."""

    #: As `python -m` takes it; PORT is one that nobody has, for who cannot find one by himself.
    command: str
    #: What users should set, too; it comes behind the first word of the command.
    options: str = ""
    #: Whether it lets go of the connections of streams, which then have neither thread nor task.
    lets_go: bool = False
    #: What OUTLIVE_ENGINE says.
    engine: str = "process"
    #: Viewers at once, with these options; None for as many as OUTLIVE_VIEWERS allows.
    viewers: int | None = None
    #: Seconds after which a silent stream is cut, in formats that have no heartbeat; None for never.
    silence: float | None = None
    #: Seconds until a client that went is noticed.
    notices: float = 3
    #: Seconds to end, with open streams, once it was asked to.
    ends: float = 5
    #: Whether it hands on a request as it comes, and not once all of it is there.
    uploads: bool = True
    #: Of HTTP; Werkzeug's own server sends chunks to clients of 1.0, too, who know of none.
    version: str = "1.0"
    #: Processes that serve; one view of several cannot tell what all of them do.
    processes: int = 1
    #: Whether nginx stands before it, with nothing set but where the server is.
    nginx: bool = False
    #: Tests of the contract that it fails, and why.
    cannot: Mapping[str, str] = MappingProxyType({})


# Its socket for control would be in the home of whoever runs this. What hangs for two seconds is
# killed here, and not after thirty.
GUNICORN = "gunicorn --no-control-socket --bind 127.0.0.1:0 --timeout 2"
_DJANGO = "tests.adapters.apps.django_app"
_FLASK = "tests.adapters.apps.flask_app"
_FASTAPI = "tests.adapters.apps.fastapi_app"
_PROTOCOL = "--http outlive.adapters.asgi.uvicorn:Protocol"
SERVERS = {
    "WSGI on wsgiref with threads": Server("tests.adapters.apps.wsgi_app", lets_go=True),
    "Flask on its own server": Server(
        f"flask --app {_FLASK} run --port 0", version="1.1", lets_go=True
    ),
    "Flask on gunicorn sync": Server(f"{GUNICORN} {_FLASK}:app", "-k sync", lets_go=True),
    "Flask on gunicorn gthread": Server(
        f"{GUNICORN} {_FLASK}:app", "-k gthread --threads 4", lets_go=True
    ),
    "Flask on gunicorn gevent": Server(f"{GUNICORN} {_FLASK}:app", "-k gevent"),
    "Flask on waitress": Server(
        f"waitress --listen 127.0.0.1:0 {_FLASK}:app",
        "--threads 16 --channel-request-lookahead 1",
        viewers=15,
        uploads=False,
    ),
    "CherryPy on its own server": Server("tests.adapters.apps.cherrypy_app", lets_go=True),
    "http.server on ThreadingHTTPServer": Server(
        "tests.adapters.apps.http_server_app", lets_go=True
    ),
    "Django on runserver": Server(f"{_DJANGO} runserver --noreload 127.0.0.1:0", lets_go=True),
    "Django on gunicorn gthread": Server(
        f"{GUNICORN} {_DJANGO}:wsgi", "-k gthread --threads 4", lets_go=True
    ),
    "Django on uvicorn": Server(f"uvicorn --port 0 {_DJANGO}:asgi", _PROTOCOL, uploads=False),
    "Django on daphne": Server(f"daphne --port 0 {_DJANGO}:asgi", uploads=False),
    "FastAPI on uvicorn": Server(f"uvicorn --port 0 {_FASTAPI}:app"),
    "FastAPI on uvicorn with our protocol": Server(f"uvicorn --port 0 {_FASTAPI}:app", _PROTOCOL),
    "FastAPI on gunicorn asgi": Server(f"{GUNICORN} {_FASTAPI}:app", "-k asgi"),
    "FastAPI on granian": Server(f"granian --interface asgi --port PORT {_FASTAPI}:app"),
    "FastAPI on hypercorn": Server(f"hypercorn --bind 127.0.0.1:0 {_FASTAPI}:app"),
}
SERVERS |= {
    f"{name} behind nginx": SERVERS[name]._replace(nginx=True, silence=60, uploads=False)
    for name in ("Flask on gunicorn gthread", "FastAPI on uvicorn")
}
#: What those that let go can do where nobody takes it.
_HELD: dict[str, dict[str, Any]] = {
    "Flask on gunicorn sync": {
        "options": "-k sync --workers 4",
        "viewers": 4,
        "processes": 4,
        "cannot": {
            "test_one_viewer_too_many_is_told_to_come_again": "a worker does nothing beside its stream, and one viewer too many waits until another leaves"
        },
    },
    "Flask on gunicorn gthread": {"options": "-k gthread --threads 16", "viewers": 15},
    "Django on gunicorn gthread": {"options": "-k gthread --threads 16", "viewers": 15},
    "CherryPy on its own server": {"viewers": 9},
}
_HELD["Flask on gunicorn gthread behind nginx"] = _HELD["Flask on gunicorn gthread"]
WITHOUT = {
    name: kind._replace(lets_go=False, engine="off", **_HELD.get(name, {}))
    for name, kind in SERVERS.items()
    if kind.lets_go
}
#: Both, by their names.
ALL = SERVERS | {f"{name}, without the engine": kind for name, kind in WITHOUT.items()}


@dataclass
class Served:
    """A server that serves until its block is left, its store, and the files that its work obeys."""

    kind: Server
    folder: Path
    #: Whether heartbeats and a proxy's patience are shorter here than in real life.
    hurried: bool = True

    def __post_init__(self) -> None:
        self.viewers = self.kind.viewers or MANY
        self.folder.mkdir(exist_ok=True)
        self.store = DirectoryStore(self.folder / "store")
        program, *rest = self.kind.command.replace("PORT", str(free_port())).split()
        self.process = subprocess.Popen(
            [sys.executable, "-m", program, *self.kind.options.split(), *rest],
            cwd=ROOT,
            env={
                **os.environ,
                # From this address: where a server did not tell it, none would be refused.
                **({} if self.kind.viewers else {"OUTLIVE_VIEWERS_PER_ADDRESS": str(MANY)}),
                "OUTLIVE_ENGINE": self.kind.engine,
                "OUTLIVE_STORE": str(self.folder / "store"),
                "STEPS": str(self.folder),
                **({"HEARTBEAT": "0.2"} if self.hurried else {}),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # For its own children, too, are to be killed where it hangs.
            start_new_session=True,
        )
        self._nginx: Nginx | None = None
        self._listener = Listener(self.process, _ADDRESS)
        self.said = self._listener.said
        try:
            self._find()
        except BaseException:
            self.stop(0)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(self.kind.ends)

    def _find(self) -> None:
        """Wait until it listens, and find out where."""
        self.url, self.prefix = urlsplit(f"http://{self._listener.wait()}"), PREFIX
        self._port = self.url.port or 0
        eventually(self._listens)
        if self.kind.nginx:
            limit = "proxy_read_timeout 2s;" if self.hurried else ""
            self._nginx = Nginx(self.folder / "nginx", self.url.netloc, limit)
            self.url, self.prefix = urlsplit(self._nginx.url), f"/outer{PREFIX}"

    def _listens(self) -> bool:
        """Tell whether it is there already: granian says before where that will be."""
        address = (self.url.hostname, self.url.port)
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(address):
            return True
        return False

    def stop(self, seconds: float) -> bool:
        """End the server, as its users do, if it goes on; tells whether it did within this time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return False
        finally:
            self._listener.join()
            if self._nginx is not None:
                self._nginx.stop()
        return True

    def step(self, name: str, number: object, text: str = "") -> None:
        """Let work take its next step: print this text, or a line."""
        (self.folder / name).mkdir(exist_ok=True)
        draft = self.folder / name / ".draft"
        draft.write_text(text, "utf-8")
        # Not to be seen before it is complete.
        draft.rename(self.folder / name / str(number))

    def ask(self, path: str, method: str = "GET", **headers: str) -> Connection:
        """Ask for a path below the prefix, on a connection of its own."""
        connection = Connection(socket.create_connection((self.url.hostname, self.url.port)))
        connection.sock.settimeout(PATIENCE)
        connection.ask(self.prefix + path, method, self.kind.version, Connection="close", **headers)
        return connection

    def watchers(self) -> int:
        """Count the streams that the server pumps, and those that its engine does."""
        with self.ask("/watchers") as connection:
            return int(body_of(connection)) + self.handed_over()

    def handed_over(self) -> int:
        """Count the connections that its engine has, in a process of its own."""
        end = f"\0{self.folder / 'store'}\0".encode()
        open_files = [
            file.resolve().name
            for process in platforms.list_processes()
            if read_process(process, "cmdline").endswith(end)
            for file in Path(f"/proc/{process}/fd").glob("*")
        ]
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{self._port:04X}")}
        return len(ours.intersection(open_files))


def read_process(pid: int, name: str) -> bytes:
    """Read what the kernel knows of a process, which may be gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def body_of(connection: Connection) -> bytes:
    """Receive a response to its end, and give its body."""
    _, headers = connection.head()
    body = connection.to_end()
    return dechunk(body)[0] if "transfer-encoding" in headers else body
