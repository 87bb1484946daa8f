"""Minutes of viewers that come and go, and of workers that are killed: nothing grows, nobody misses a line."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from statistics import median
from typing import NamedTuple

from .footprints import count_descriptors, find_children, find_engines, find_processes, memory
from .lab import Lab
from .lengths import Length
from .measuring import Row, tell
from .peers import FlaskProcesses, Load
from .peers.environments import install
from .reports import Report
from .shows import Show, open_show
from .wanderers import Wanderers

__all__ = ["measure_soak"]

_VIEWERS, _RATE = 300, 100
_SAMPLES = 20
#: Seconds between two kills, on average.
_KILLS = 15.0
_MIB = 1 << 20
#: Seconds for all to get what they lack, and for the server to notice that nobody is left.
_PATIENCE = 60.0
#: Bytes and descriptors that are no growth.
_GROWTH, _SPARE = 2 * _MIB, 4


class _TwoWorkers(FlaskProcesses):
    """One of them is killed now and then."""

    places = 2


class _Sample(NamedTuple):
    """How things are at a moment: seconds, viewers, lines so far, kills, bytes, descriptors."""

    at: float
    viewers: int
    connections: int
    lines: int
    killed: int
    engine_memory: int
    engine_descriptors: int
    memory: int
    descriptors: int


def measure_soak(lab: Lab, length: Length) -> Report:
    """Let some hundred viewers wander."""
    install({FlaskProcesses.name: (FlaskProcesses.packages, {})})
    lines = int(length.soak * _RATE)
    with open_show(lab, _TwoWorkers, Load(_VIEWERS, _RATE, lines)) as show:
        show.warm()
        before = count_descriptors(show.peer, find_engines)
        wanderers = Wanderers(show.peer.port, show.paths[0], _VIEWERS)
        show.begin()
        samples = _soak(show, wanderers, length.soak)
        written = show.finish().written
        complete = wanderers.finish(written, _PATIENCE)
        left_over = _await_rest(show, before)
    name = f"{length.soak / 60:.3g} min, {_VIEWERS} viewers"
    rows = _judge(name, samples, wanderers, complete, left_over)
    told = ", ".join(f"{what}: {count:,}" for what, count in wanderers.counts.most_common())
    tables = [
        _render(samples),
        f"What viewers did, and what befell them: {told}.",
        *_mistakes(wanderers),
    ]
    return Report(rows, tables, [dict[str, object](sample._asdict()) for sample in samples])


def _soak(show: Show, wanderers: Wanderers, seconds: float) -> list[_Sample]:
    """Let them wander, and look a few times how much there is."""
    began, killed, samples = time.monotonic(), 0, list[_Sample]()
    chance = random.Random(1)
    kill_at = began + chance.uniform(0, 2 * min(_KILLS, seconds / 4))
    for number in range(1, _SAMPLES + 1):
        until = began + seconds * number / _SAMPLES
        while (now := time.monotonic()) < until:
            wanderers.wander(min(until, max(kill_at, now)) - now)
            if time.monotonic() >= kill_at:
                killed += _kill_worker(show, chance)
                kill_at = time.monotonic() + chance.uniform(0, 2 * min(_KILLS, seconds / 4))
        samples.append(_sample(show, wanderers, time.monotonic() - began, killed))
    return samples


def _kill_worker(show: Show, chance: random.Random) -> int:
    workers = find_children(show.peer.processes[0].pid)
    if not workers:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
    return 1


def _sample(show: Show, wanderers: Wanderers, at: float, killed: int) -> _Sample:
    engine = memory(show.peer, find_engines), count_descriptors(show.peer, find_engines)
    whole = memory(show.peer, find_processes), count_descriptors(show.peer, find_processes)
    counts = wanderers.counts
    return _Sample(
        at, wanderers.connected, counts["connections"], counts["lines"], killed, *engine, *whole
    )


def _await_rest(show: Show, before: int) -> int:
    """Wait until everybody is known to be gone; returns the descriptors that are left over."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        left_over = count_descriptors(show.peer, find_engines) - before
        if left_over <= _SPARE or time.monotonic() > deadline:
            return left_over
        time.sleep(0.5)


def _judge(
    name: str, samples: list[_Sample], wanderers: Wanderers, complete: int, left_over: int
) -> list[Row]:
    wrong, lines = len(wanderers.mistakes), wanderers.counts["lines"]
    rows = [
        tell(f"{name}: not the next line, of {lines:,}", [wrong], "{:,}".format, at_most=0),
        tell(f"{name}: have all in the end", [complete], "{:,}".format, at_least=_VIEWERS),
    ]
    if not any(sample.engine_descriptors for sample in samples):
        return [*rows, Row(f"{name}: the engine", "is not in a process of its own")]
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    growth = median(s.engine_memory for s in late) - median(s.engine_memory for s in early)
    return [
        *rows,
        tell(
            f"{name}: memory of the engine grows, from the second quarter to the last",
            [growth / _MIB], "{:.2f} MiB".format, at_most=_GROWTH / _MIB,
        ),
        tell(
            f"{name}: descriptors of the engine left over", [left_over], "{:,}".format,
            at_most=_SPARE,
        ),
    ]  # fmt: skip


def _render(samples: list[_Sample]) -> str:
    """Draw what there was, over time (Markdown)."""
    headings = (
        "s", "viewers", "connections", "lines checked", "workers killed", "engine MiB",
        "engine fds", "all MiB", "all fds",
    )  # fmt: skip
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    lines += [
        f"| {s.at:.0f} | {s.viewers} | {s.connections:,} | {s.lines:,} | {s.killed} "
        f"| {s.engine_memory / _MIB:.1f} | {s.engine_descriptors} "
        f"| {s.memory / _MIB:.1f} | {s.descriptors} |"
        for s in samples
    ]
    return "\n".join(lines)


def _mistakes(wanderers: Wanderers) -> list[str]:
    return [f"Wrong: {'; '.join(wanderers.mistakes[:5])}."] if wanderers.mistakes else []
