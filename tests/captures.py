"""Runs of this process, and programs that have some, for the tests of what is captured."""

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from outlive.children import follow_processes
from outlive.entries import End, Entry, Kind, State
from outlive.journals.readers import Reader
from outlive.runs import OwnRun, Run, create_run
from outlive.sources.logs import capture_logs
from outlive.sources.stdout import route_streams
from outlive.sources.threads import follow_threads
from outlive.stores import DirectoryStore, MemoryStore, Store

ROOT = Path(__file__).parents[1]
DONE = End(State.SUCCEEDED)


@contextlib.contextmanager
def capturing(
    store: Store | None = None,
    *,
    echo: bool = False,
    level: int | None = None,
    formatter: logging.Formatter | None = None,
) -> Iterator[OwnRun]:
    """Capture the code right here in a run, which ends with it."""
    run = create_run(store or MemoryStore(), title="")
    buffer = run.collect(echo=echo)
    route_streams()
    follow_threads()
    follow_processes()
    with capture_logs(buffer, level=level, formatter=formatter), run.current():
        try:
            yield run
        finally:
            run.end(DONE)


def entries_of(run: Run) -> list[Entry]:
    """Return all entries of a run."""
    reader, found = Reader(run.journal), []
    while entries := reader.read():
        found += entries
    return found


def texts_of(run: Run, kind: Kind) -> str:
    """Return the text of one kind."""
    return b"".join(entry.text for entry in entries_of(run) if entry.kind is kind).decode()


class Told(NamedTuple):
    """What a program's console and its run got."""

    out: str
    err: str
    run: str


def run_program(code: str, folder: Path, *, typed: str = "", seconds: float = 60) -> Told:
    """Run Python code that may say `with capture() as run:`; it must succeed."""
    prelude = (
        "import sys; from pathlib import Path; from functools import partial\n"
        "from tests.captures import DirectoryStore, capturing\n"
        "capture = partial(capturing, DirectoryStore(Path(sys.argv[1])))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", prelude + code, str(folder)],
        cwd=ROOT, input=typed, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    store = DirectoryStore(folder)
    texts = [Run(store, record.id).text() for record in reversed(store.records())]
    return Told(result.stdout, result.stderr, "".join(texts))
