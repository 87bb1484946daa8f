"""From a `write` or a `print` to a viewer's socket: it tells the time, and the viewer compares."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from statistics import median, quantiles

from .lab import PROGRAMS, Lab, ask, python, read_url
from .measuring import Row, absolute

__all__ = ["measure_latency"]

_ROUNDS = 3
_LINES = 1000
_SECONDS_BETWEEN = 0.002
#: While the work computes: less often, or the journal would be all it does.
_SECONDS_COMPUTING = 0.02
_LINES_COMPUTING = 150
_STAMP = re.compile(rb"T(\d+)\n")


def measure_latency(lab: Lab) -> list[Row]:
    """Measure 500 lines a second, one viewer, in turns: bare floor, servers, prints of a process."""
    command = python("write_stamps.py", str(_LINES), str(_SECONDS_BETWEEN))
    names = ("floor", "own", "other", "waits", "computes")
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(_ROUNDS):
        taken["floor"].append(_through_floor(lab, command))
        taken["own"].append(_through_own_server(lab, command))
        taken["other"].append(_through_other_server(lab, command))
        taken["waits"].append(_printed(lab, _LINES, _SECONDS_BETWEEN, "waits"))
        taken["computes"].append(_printed(lab, _LINES_COMPUTING, _SECONDS_COMPUTING, "computes"))
    floor = [median(round_) for round_ in taken["floor"]]
    return [
        _row("write to socket: bare floor", taken["floor"]),
        _row("write to socket: own server", taken["own"], floor=floor, below=0.002),
        _row("write to socket: outlive serve", taken["other"], floor=floor, below=0.005),
        _row(
            "print to socket, work waits: outlive serve", taken["waits"], floor=floor, below=0.001
        ),
        _row("… work computes", taken["computes"], floor=floor, below=0.02),
    ]


def _row(
    name: str, rounds: list[list[float]], *, floor: list[float] | None = None,
    below: float | None = None,
) -> Row:  # fmt: skip
    tail = quantiles([delay for round_ in rounds for delay in round_], n=100)[98]
    medians = [median(round_) for round_ in rounds]
    against = "bare floor" if floor else "pipe, read, send"
    return absolute(name, medians, theirs=floor, against=against, below=below, tail=tail)


def _through_floor(lab: Lab, command: list[str]) -> list[float]:
    process = lab.start([*python("echo_stamps.py"), *command], stdout=subprocess.PIPE)
    port = int(process.stdout.readline()) if process.stdout else 0
    delays = _watch(ask(f"http://127.0.0.1:{port}/"))
    lab.finish(process)
    return delays


def _through_own_server(lab: Lab, command: list[str]) -> list[float]:
    with lab.store() as store:
        process = lab.outlive("run", "--no-auth", "--port", "0", "--", *command, store=store)
        delays = _watch(ask(read_url(process), format="sse"))
        lab.finish(process)
    return delays


def _through_other_server(lab: Lab, command: list[str]) -> list[float]:
    with lab.store() as store:
        server = lab.outlive("serve", "--no-auth", "--port", "0", store=store)
        read_url(server)
        process = lab.outlive("run", "--", *command, store=store)
        delays = _watch(ask(read_url(process), format="sse"))
        lab.finish(process)
        lab.stop(server)
    return delays


def _printed(lab: Lab, lines: int, seconds: float, between: str) -> list[float]:
    """Watch the prints of a process's own work, through a server of another process."""
    command = [sys.executable, str(PROGRAMS / "print_stamps.py"), str(lines), str(seconds), between]
    with lab.store() as store:
        server = lab.outlive("serve", "--no-auth", "--port", "0", store=store)
        url = read_url(server)
        environment = {**os.environ, "OUTLIVE_STORE": str(store.path)}
        pipe = subprocess.PIPE
        process = lab.start(command, stdin=pipe, stdout=pipe, env=environment)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        run = process.stdout.readline().decode().strip()
        viewer = ask(f"{url.rstrip('/')}/runs/{run}", format="sse")
        process.stdin.write(b"go\n")
        process.stdin.flush()
        delays = _watch(viewer, lines)
        lab.finish(process)
        lab.stop(server)
    return delays


def _watch(viewer: socket.socket, expected: int = _LINES) -> list[float]:
    """Read to the end; returns the seconds from write to here of each line that came live."""
    delays = []
    rest, live_since = b"", 0
    with viewer:
        while data := viewer.recv(65536):
            now = time.monotonic_ns()
            lines, newline, rest = (rest + data).rpartition(b"\n")
            stamps = [int(stamp) for stamp in _STAMP.findall(lines + newline)]
            # What was written before the first answer was waiting, not travelling.
            if stamps and not live_since:
                live_since = now
            delays += [(now - stamp) / 1e9 for stamp in stamps if stamp > live_since]
    if len(delays) < expected // 2:
        raise RuntimeError(f"only {len(delays)} of {expected} lines came live")
    return delays
