"""How long it takes to begin: the whole of `outlive run -- true`, and what starts first."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import outlive
from outlive.stores import DirectoryStore

from .lab import Lab, ask, read_url
from .measuring import Row, absolute, alternate, compare, seconds_of

__all__ = ["measure_startup"]

_ROUNDS = 15


def measure_startup(lab: Lab) -> list[Row]:
    """Measure the smallest run, the first instruction of a command, and the first answer."""
    with lab.store() as store:

        def ours() -> float:
            arguments = ("run", "--", "true")
            return seconds_of(lambda: lab.finish(lab.outlive(*arguments, store=store)))

        def theirs() -> float:
            return seconds_of(lambda: lab.finish(lab.start([sys.executable, "-c", "pass"])))

        run, bare = alternate(_ROUNDS, ours, theirs)
        imports, pure = alternate(
            _ROUNDS,
            lambda: _seconds_of_python(lab, "import outlive"),
            lambda: _seconds_of_python(lab, "pass"),
        )
        started, isolated = alternate(
            _ROUNDS,
            lambda: _seconds_to_start(lambda: outlive.start_command(["true"], store=store)),
            lambda: _seconds_to_start(
                lambda: outlive.start(time.time, store=store, isolation="process")
            ),
        )
    commands, answers = _measure_order(lab)
    added = [a - b for a, b in zip(imports, pure, strict=True)]
    return [
        absolute("import outlive: added to python -c pass", added, below=0.04),
        absolute("outlive run -- true", run, theirs=bare, against="python -c pass", below=0.5),
        absolute("start_command, until it runs", started, below=0.15),
        absolute('start(…, isolation="process"), until its interpreter runs', isolated, below=0.15),
        absolute("start to the command's first instruction", commands, against=lab.language),
        absolute("start to the web server's first answer", answers),
        compare(
            "command's first instruction", commands, answers, "first answer", at_most=1.0
        ),
    ]  # fmt: skip


def _seconds_of_python(lab: Lab, code: str) -> float:
    return seconds_of(lambda: lab.finish(lab.start([sys.executable, "-c", code])))


def _seconds_to_start(start: Callable[[], outlive.Run]) -> float:
    runs: list[outlive.Run] = []
    seconds = seconds_of(lambda: runs.append(start()))
    runs[0].wait()
    return seconds


def _measure_order(lab: Lab) -> tuple[list[float], list[float]]:
    commands, answers = [], []
    for _ in range(_ROUNDS):
        with lab.store() as store:
            command, answer = _start_both(lab, store)
        commands.append(command)
        answers.append(answer)
    return commands, answers


def _start_both(lab: Lab, store: DirectoryStore) -> tuple[float, float]:
    """Run a command that tells when it began; ask the server as soon as its URL is known."""
    before = time.monotonic_ns()
    process = lab.outlive(
        "run", "--no-auth", "--port", "0", "--", *lab.helper("tell_time"),
        store=store, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with ask(read_url(process), method="HEAD") as viewer:
        viewer.recv(4096)
        answered = time.monotonic_ns()
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipes")
    began = int(process.stdout.readline())
    process.stdin.close()
    lab.finish(process)
    return (began - before) / 1e9, (answered - before) / 1e9
