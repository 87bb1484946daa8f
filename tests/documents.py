"""What documents show, done: files are written, commands are typed, output is compared."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

SECONDS = 60
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1f"


class Step(NamedTuple):
    """A command, and what it prints."""

    command: str
    output: str


def blocks_of(document: Path) -> list[tuple[str, str]]:
    """Return the blocks of code of a document: language and content."""
    return [(match[1], match[2]) for match in _BLOCK.finditer(document.read_text("utf-8"))]


def steps_of(block: str) -> list[Step]:
    """Split what is shown of a terminal at its prompts."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    return [Step(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


def matches(shown: str, printed: str) -> bool:
    """Tell whether something was printed as shown.

    An ellipsis stands for anything in its line; alone in a line, for any lines.
    """
    lines = shown.splitlines(keepends=True)
    patterns = [
        "(?:.*\n)*" if line == "…\n" else ".*".join(map(re.escape, line.split("…")))
        for line in lines
    ]
    return re.fullmatch("".join(patterns), printed) is not None


class Terminal:
    """A shell in a folder, in which the `outlive` and `python` of the tests are the programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {**os.environ, "OUTLIVE_PORT": "0", "PYTHONUNBUFFERED": "1"}
        environment.pop("OUTLIVE_STORE", None)
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder, env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._type("kill $(jobs -p) 2>/dev/null; wait; exit")
        self._shell.communicate(timeout=SECONDS)

    def _type(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{line}\n")

    def do(self, step: Step) -> str:
        """Type a command; return what it printed: of one in the background, as much as is shown."""
        assert self._shell.stdout is not None
        if step.command.endswith("&"):
            self._type(step.command)
            return "".join(self._shell.stdout.readline() for _ in step.output.splitlines())
        self._type(f"{step.command}\nprintf '{_MARK}\\n'")
        printed = ""
        while not printed.endswith(f"{_MARK}\n"):
            line = self._shell.stdout.readline()
            assert line, f"the shell ended at: {step.command}"
            printed += line
        return printed.removesuffix(f"{_MARK}\n")


def perform(
    document: Path, folder: Path, *, seen: Callable[[Step, str], None] = lambda *_: None
) -> int:
    """Do all that a document shows, in a folder; returns how many commands that were.

    A block of Python that opens with a name is a file. Whoever wants has `seen` what was printed.
    """
    count = 0
    with Terminal(folder) as terminal:
        for language, content in blocks_of(document):
            name = re.match(r"# (\S+\.py)\n", content)
            if language == "python" and name is not None:
                (folder / name[1]).write_text(content)
            for step in steps_of(content) if language == "console" else []:
                printed = terminal.do(step)
                assert matches(step.output, printed), (
                    f"$ {step.command}\n{printed}instead of\n{step.output}"
                )
                seen(step, printed)
                count += 1
    return count
