"""A command's flood into the disk journal: through a pipe, and through a pseudo-terminal."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

from .lab import PROGRAMS, Lab
from .measuring import Row, alternate, compare, seconds_of
from .peers.environments import PYTHON, install

__all__ = ["measure_pipe", "measure_shelljob", "measure_terminal"]

_LINE = "x" * 99
_MEGABYTES = 300
_LINES = 300_000

#: Name, command and megabytes.
_FLOODS = (
    ("short lines (seq)", "seq 30000000", 258.9),
    ("100-byte lines", f"yes {_LINE} | head -c {_MEGABYTES}000000", _MEGABYTES),
    ("raw zeros", f"head -c {_MEGABYTES}000000 /dev/zero", _MEGABYTES),
)


def measure_pipe(lab: Lab) -> list[Row]:
    """Measure `outlive run --pipe -- COMMAND` against `COMMAND | cat > file`."""
    rows = []
    for name, command, megabytes in _FLOODS:
        argv = shlex.split(command) if "|" not in command else ["sh", "-c", command]
        journal, whole, cat = _alternate(lab, ["--pipe"], argv, _cat(lab, argv), rounds=5)
        rows += [
            compare(
                f"pipe, {name}: into the journal", journal, cat, "cat > file",
                work=megabytes, unit="MB/s", at_least=0.25,
            ),
            compare(
                f"pipe, {name}: whole program", whole, cat, "cat > file",
                work=megabytes, unit="MB/s",
            ),
        ]  # fmt: skip
    return rows


def measure_terminal(lab: Lab) -> list[Row]:
    """Measure `outlive run -- COMMAND` against reading the pseudo-terminal and no more."""
    reader = lab.helper("read_terminal")
    rows = []
    for name, command, megabytes in (
        ("short lines (seq)", "seq 30000000", 258.9),
        ("100-byte lines", f"sh -c 'yes {_LINE} | head -c 250000000'", 250.0),
    ):
        argv = shlex.split(command)

        def read(argv: list[str] = argv) -> float:
            return seconds_of(lambda: lab.finish(lab.start([*reader, *argv])))

        journal, whole, thrown = _alternate(lab, [], argv, read, rounds=7)
        against = f"thrown away ({lab.language})"
        rows += [
            compare(
                f"terminal, {name}: into the journal", journal, thrown, against,
                work=megabytes, unit="MB/s", at_least=0.8,
            ),
            compare(
                f"terminal, {name}: whole program", whole, thrown, against,
                work=megabytes, unit="MB/s",
            ),
        ]  # fmt: skip
    return rows


def measure_shelljob(lab: Lab) -> list[Row]:
    """Measure `outlive run --pipe -- COMMAND` against shelljob's loop, which keeps nothing."""
    if reason := install({"shelljob": (("shelljob",), {})}).get("shelljob"):
        return [Row("command beside shelljob", "not measured", f"shelljob: {reason}")]
    argv = ["seq", str(_LINES)]
    reader = [str(PYTHON), str(PROGRAMS / "read_shelljob.py"), *argv]

    def read() -> float:
        return seconds_of(lambda: lab.finish(lab.start(reader)))

    journal, whole, theirs = _alternate(lab, ["--pipe"], argv, read, rounds=3)
    return [
        compare(f"beside shelljob: {name}", ours, theirs, "shelljob", work=_LINES, unit="lines/s")
        for name, ours in (("into the journal", journal), ("whole program", whole))
    ]


def _alternate(
    lab: Lab, options: list[str], argv: list[str], theirs: Callable[[], float], *, rounds: int
) -> tuple[list[float], list[float], list[float]]:
    """Take turns; returns the time from start to end of the run, of the program, and theirs."""
    journal: list[float] = []

    def ours() -> float:
        with lab.store() as store:

            def work() -> None:
                record = lab.run_to_end("run", *options, "--", *argv, store=store)
                journal.append(((record.ended_at or 0) - record.started_at) / 1e9)

            return seconds_of(work)

    whole, other = alternate(rounds, ours, theirs)
    return journal, whole, other


def _cat(lab: Lab, argv: list[str]) -> Callable[[], float]:
    def cat() -> float:
        path = lab.folder / "flood"
        with path.open("wb") as file:

            def work() -> None:
                source = lab.start(argv, stdout=subprocess.PIPE)
                lab.finish(lab.start(["cat"], stdin=source.stdout, stdout=file))
                lab.finish(source)

            seconds = seconds_of(work)
        path.unlink()
        return seconds

    return cat
