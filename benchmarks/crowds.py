"""Many viewers of one run whose lines come steadily: what is delivered, how late, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from .lab import PROGRAMS, Lab, read_url
from .measuring import Row

__all__ = ["measure_crowd"]

#: Viewers, and lines per second.
_CROWDS = ((1, 1000), (100, 1000), (1000, 100), (1000, 1000))
_SECONDS = 6.0


class _Crowd(NamedTuple):
    """What came of one crowd; CPU is that of the server."""

    share: float
    speed: float
    delays: list[float]
    cpu: float
    memory: float


def measure_crowd(lab: Lab) -> list[Row]:
    """Measure `outlive serve` and SSE, the lines written by another process."""
    if lab.compiler is None:
        return [Row("crowd", "not measured", "a C compiler is missing: its client must be fast")]
    return [_measure(lab, viewers, rate) for viewers, rate in _CROWDS]


def _measure(lab: Lab, viewers: int, rate: int) -> Row:
    crowd = _gather(lab, viewers, rate)
    middle, tail, _ = crowd.delays
    return Row(
        f"crowd, {viewers:,} viewers × {rate:,} lines/s",
        f"{crowd.share:.0%}, {crowd.speed:,.0f} lines/s, "
        f"p50 {middle * 1000:.1f} ms, p99 {tail * 1000:.1f} ms",
        f"{crowd.cpu:.2f} s CPU per million, {crowd.memory / 1024:.1f} KiB per viewer",
    )


def _gather(lab: Lab, viewers: int, rate: int) -> _Crowd:
    """Let a crowd follow a run from its beginning to its end."""
    pipe = subprocess.PIPE
    with lab.store() as store:
        server = lab.outlive("serve", "--no-auth", "--port", "0", store=store)
        port = urlsplit(read_url(server)).port
        environment = {**os.environ, "OUTLIVE_STORE": str(store.path)}
        program = [sys.executable, str(PROGRAMS / "write_crowd.py"), str(rate), str(_SECONDS)]
        writer = lab.start(program, stdin=pipe, stdout=pipe, env=environment)
        if writer.stdin is None or writer.stdout is None:
            raise RuntimeError("no pipes")
        path = f"/runs/{writer.stdout.readline().decode().strip()}?format=sse"
        empty = _memory(server.pid)
        client = lab.start([*lab.helper("crowd"), str(port), path, str(viewers)], stdout=pipe)
        if client.stdout is None:
            raise RuntimeError("no pipe")
        client.stdout.readline()
        before, began = _cpu(server.pid), time.monotonic()
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
        written = int(writer.stdout.readline())
        memory = (_memory(server.pid) - empty) / viewers
        lines, *delays = client.stdout.readline().split()
        seconds, cpu = time.monotonic() - began, _cpu(server.pid) - before
        for process in (writer, client):
            lab.finish(process)
        lab.stop(server)
    delivered = int(lines)
    return _Crowd(
        delivered / (written * viewers),
        delivered / seconds,
        [float(delay) for delay in delays],
        cpu / delivered * 1e6,
        memory,
    )


def _cpu(pid: int) -> float:
    """Get the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Get the bytes that are a process's own, and its share of others (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
