"""A finished journal replayed to one viewer, in each format, against a bare sender of the bytes."""

from __future__ import annotations

import subprocess

from outlive.entries import End, Kind, State
from outlive.runs import create_run
from outlive.stores import DirectoryStore

from .lab import Lab, ask, read_url
from .measuring import Row, alternate, compare, seconds_of

__all__ = ["measure_replay"]

_ROUNDS = 3
_LINE = b"x" * 99 + b"\n"
_FORMATS = ("text", "sse", "ndjson", "entries")
#: What an entry holds, lines per entry and entries.
_SHAPES = (("64 KiB entries", 655, 1000), ("one-line entries", 1, 60_000))


def measure_replay(lab: Lab) -> list[Row]:
    """Measure each format for large entries and for the smallest."""
    rows = []
    with lab.store() as store:
        runs = [_write_journal(store, lines, count) for _, lines, count in _SHAPES]
        server = lab.outlive("serve", "--no-auth", "--port", "0", store=store)
        url = read_url(server)
        for (shape, lines, count), run in zip(_SHAPES, runs, strict=True):
            for form in _FORMATS:
                row = _measure_format(lab, f"{url}runs/{run}", form, lines * count)
                rows.append(row._replace(name=f"replay, {shape}, {form}"))
        lab.stop(server)
    return rows


def _write_journal(store: DirectoryStore, lines: int, count: int) -> str:
    run = create_run(store, title="replay")
    for _ in range(count):
        run.write(Kind.OUT, _LINE * lines)
    run.end(End(State.SUCCEEDED, 0))
    return run.id


def _measure_format(lab: Lab, url: str, form: str, lines: int) -> Row:
    body = lab.folder / "body"
    body.write_bytes(_receive(url, form))
    sender = lab.start([*lab.helper("send_file"), str(body)], stdout=subprocess.PIPE)
    port = int(sender.stdout.readline()) if sender.stdout else 0
    megabytes = body.stat().st_size / 1e6
    ours, theirs = alternate(
        _ROUNDS,
        lambda: seconds_of(lambda: _receive(url, form, keep=False)),
        lambda: seconds_of(lambda: _receive(f"http://127.0.0.1:{port}/", form, keep=False)),
    )
    lab.stop(sender)
    row = compare(
        "", ours, theirs, f"bare sender ({lab.language})", work=megabytes, unit="MB/s"
    )  # fmt: skip
    return row._replace(ours=f"{row.ours}, {lines / sorted(ours)[len(ours) // 2]:,.0f} lines/s")


def _receive(url: str, form: str, *, keep: bool = True) -> bytes:
    """Read an answer to its end; kept, or read and forgotten."""
    buffer = bytearray(1024 * 1024)
    parts = []
    with ask(url, format=form) as viewer:
        while count := viewer.recv_into(buffer):
            if keep:
                parts.append(bytes(buffer[:count]))
    return b"".join(parts)
