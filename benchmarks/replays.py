"""A finished run replayed to one viewer, against nginx serving the same bytes as a file."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from outlive.entries import End, Kind, State
from outlive.runs import create_run
from outlive.stores import DirectoryStore

from .lab import Lab
from .measuring import Row, alternate, compare, judge
from .peers import Awaiting, FlaskProcesses, Load, Outlive, Standalone
from .peers.environments import install

__all__ = ["measure_replay"]

_ROUNDS = 5
_LINE = b"x" * 99 + b"\n"
#: Server; what an entry holds, lines per entry, entries; formats with the least ratio to nginx.
_LARGE, _SMALL = ("64 KiB entries", 655, 4580), ("one-line entries", 1, 300_000)
_CASES: tuple[tuple[type[Outlive], tuple[str, int, int], dict[str, float | None]], ...] = (
    (FlaskProcesses, _LARGE, {"text": 0.8, "entries": 0.1, "sse": None}),
    (FlaskProcesses, _SMALL, {"text": None, "entries": None, "sse": None}),
    (Awaiting, _LARGE, {"text": 0.5, "sse": None}),
    (Standalone, _LARGE, {"text": 0.5, "sse": None}),
)
#: Lines per second of `sse`, from large entries.
_LINES = 2_000_000
_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


def measure_replay(lab: Lab) -> list[Row]:
    """Measure each format for large entries and for the smallest."""
    if not shutil.which("nginx"):
        return [Row("replay", "not measured", "nginx is missing: apt-get install nginx-light")]
    install({kind.name: (kind.packages, {}) for kind, _, _ in _CASES})
    rows = []
    with _nginx(lab) as (folder, theirs):
        place = lab.make_folder()
        store = DirectoryStore(place / "store")
        runs = {shape: _write_journal(store, *shape[1:]) for shape in (_LARGE, _SMALL)}
        for kind, shape, formats in _CASES:
            peer = kind(lab, place, Load(viewers=1, rate=0, lines=0))
            peer.start()
            for form, target in formats.items():
                name = f"replay, {kind.name.removeprefix('Outlive: ')}, {shape[0]}, {form}"
                path = f"{peer.prefix}/runs/{runs[shape]}?format={form}"
                (folder / "body").write_bytes(_get(peer.port, path))
                ours, lines = (peer.port, path), shape[1] * shape[2]
                rows.append(_measure(lab, name, ours, theirs, lines=lines, target=target))
            peer.stop()
        shutil.rmtree(place)
    return rows


def _measure(
    lab: Lab, name: str, ours: tuple[int, str], theirs: int, *, lines: int, target: float | None
) -> Row:
    size = (lab.folder / "www" / "body").stat().st_size / 1e6
    receive = lab.helper("receive")

    def seconds(port: int, path: str) -> float:
        return float(subprocess.check_output([*receive, str(port), path]))

    own, other = alternate(_ROUNDS, lambda: seconds(*ours), lambda: seconds(theirs, "/body"))
    row = compare(name, own, other, "nginx", work=size, unit="MB/s", at_least=target)
    speed = lines / median(own)
    row = row._replace(ours=f"{row.ours}, {speed:,.0f} lines/s")
    if name.endswith(f"{_LARGE[0]}, sse"):
        least, verdict = judge(speed, at_least=_LINES, show=lambda value: f"{value:,.0f} lines/s")
        row = row._replace(target=least, verdict=verdict)
    return row


@contextlib.contextmanager
def _nginx(lab: Lab) -> Iterator[tuple[Path, int]]:
    """Serve a folder with nginx; gives the folder and the port."""
    folder = lab.folder / "www"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port))
    server = lab.start(["nginx", "-c", str(configuration), "-e", str(folder / "nginx.log")])
    # nginx serves files to a user of its own, who must get there.
    lab.folder.chmod(0o755)
    _await(port)
    yield folder, port
    lab.stop(server)


def _get(port: int, path: str) -> bytes:
    """Get a body whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    with contextlib.closing(connection):
        return connection.getresponse().read()


def _await(port: int) -> None:
    """Wait for a server that has just been started."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError):
            _get(port, "/")
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def _write_journal(store: DirectoryStore, lines: int, count: int) -> str:
    run = create_run(store, title="replay")
    for _ in range(count):
        run.write(Kind.OUT, _LINE * lines)
    run.end(End(State.SUCCEEDED, 0))
    return run.id
