"""A store of a hundred thousand runs: to list them all, a page of them, and to find one."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path
from zlib import crc32

from outlive.entries import End, Kind, RunRecord, State
from outlive.journals.base import Tail, make_entry
from outlive.journals.disk.segments import encode_header, segment_name
from outlive.stores import DirectoryStore

from .lab import Lab, read_url
from .measuring import Row, absolute, alternate, seconds_of

__all__ = ["measure_listing"]

_RUNS = 100_000
_ROUNDS = 5


def measure_listing(lab: Lab) -> list[Row]:
    """Measure what the program and its server take for it; the first list makes the database."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else lab.folder))
    try:
        store = DirectoryStore(folder)
        _make_runs(store)
        return _measure(lab, store)
    finally:
        shutil.rmtree(folder)


def _measure(lab: Lab, store: DirectoryStore) -> list[Row]:
    def program(*arguments: str) -> float:
        return seconds_of(lambda: lab.finish(lab.outlive(*arguments, store=store)))

    first = program("list")
    table, documents, last = alternate(
        _ROUNDS,
        lambda: program("list"),
        lambda: program("list", "--json"),
        lambda: program("show", "last"),
    )
    server = lab.outlive("serve", "--no-auth", "--port", "0", store=store)
    url = f"{read_url(server)}?format=json"

    def page(query: str) -> float:
        return seconds_of(lambda: urllib.request.urlopen(url + query).read())

    page("")
    newest, largest = alternate(_ROUNDS, lambda: page(""), lambda: page("&count=1000"))
    lab.stop(server)
    name = f"{_RUNS:,} runs"
    return [
        absolute(f"{name}: the first list, from journals", [first]),
        absolute(f"{name}: outlive list", table, below=1.0),
        absolute(f"{name}: outlive list --json", documents, below=1.0),
        absolute(f"{name}: outlive show last", last, below=1.0),
        absolute(f"{name}: GET /, the newest 100", newest, below=1.0),
        absolute(f"{name}: GET /, the newest 1,000", largest, below=1.0),
    ]


def _make_runs(store: DirectoryStore) -> None:
    """Write the journals of runs that have ended, as files: nothing else of them is measured."""
    runs = store.path / "runs"
    now = time.time_ns()
    for number in range(_RUNS):
        record = RunRecord(
            id=secrets.token_hex(10),
            title=f"import of {number} clients",
            started_at=now - number * 1_000_000_000,
            labels={"kind": "import"},
            command=["make", "import"],
        )
        (runs / record.id).mkdir()
        (runs / record.id / segment_name(1, 0)).write_bytes(_journal(record))


def _journal(record: RunRecord) -> bytes:
    salt, place, tail = crc32(record.id.encode()), 0, Tail()
    written = b""
    for kind, payload in (
        (Kind.START, record.encode()),
        (Kind.OUT, b"12 clients\n"),
        (Kind.END, End(State.SUCCEEDED, 0).encode()),
    ):
        entry = make_entry(tail, kind, payload, 0, place)
        written += encode_header(entry, salt, place, 1) + payload
        tail = tail if kind is Kind.START else tail.move(entry)
        place = len(written)
    return written
