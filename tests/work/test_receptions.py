"""Uploads: the bytes that arrive are the first stage of the run that works with them."""

import asyncio
import functools
import io
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outlive
from outlive.entries import Kind, State
from outlive.errors import ConfigError, UploadFailed
from outlive.journals.readers import Reader
from outlive.runs import Run
from outlive.sources.uploads import ReceivedFile, clean_name
from outlive.stores import Bounds, DirectoryStore, MemoryStore, Store
from outlive.work.receptions import Reception
from tests.helpers import eventually

SECONDS = 30.0
#: The fixture only makes a store, which may have many runs.
many = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path, monkeypatch) -> Store:
    """Make a store of each kind; what one in memory has on the disk is below, too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def uploads_in(folder: Path) -> list[Path]:
    """List what was received and is still there."""
    return list(folder.rglob("upload*"))


def stages_of(run: Run) -> list[tuple]:
    """Get the stages of a run, as they were told."""
    reader, entries = Reader(run.journal), []
    while some := reader.read():
        entries += some
    found = [json.loads(entry.payload) for entry in entries if entry.kind is Kind.STAGE]
    return [(each["name"], each["current"], each["total"], each["done"]) for each in found]


def only_run(store: Store) -> Run:
    """Get the one run of a store."""
    [record] = store.records()
    return Run(store, record.id)


def check_failed(store: Store, folder: Path, line: str, state: State = State.FAILED) -> None:
    """Find one run that ended with this line, and nothing of its file."""
    run = only_run(store)
    assert (run.state, run.record.end.error, run.text()) == (state, line, f"{line}\n")
    assert uploads_in(folder) == []


def never(file: ReceivedFile) -> None:
    """Tell that work began which must not."""
    print("begun with", file)


def test_work_gets_the_file_that_the_run_received(store, tmp_path):
    """Open at its start, with a name, a path and a size, before its other arguments."""
    seen: list[ReceivedFile] = []

    def work(file: ReceivedFile, *more: object) -> None:
        seen.append(file)
        with outlive.stage("parse", 1):
            print(file.name, file.size, more, file.path.suffix, file.path.stat().st_mode & 0o777)
            assert file.read() == file.path.read_bytes() == b"x" * 100_000
            assert file.seek(0) == 0

    run = outlive.receive(io.BytesIO(b"x" * 100_000), work, 1, name="a/b.csv", store=store)
    assert run.wait(SECONDS) is State.SUCCEEDED
    assert run.text() == "b.csv 100000 (1,) .csv 384\n"
    assert run.record.title == "b.csv"
    assert seen[0].closed
    assert uploads_in(tmp_path) == []


def test_what_arrives_is_the_first_stage(store):
    """Those of the work follow; the total is what came in the end."""

    def work(file: ReceivedFile) -> None:
        outlive.stage("parse", 3).update(3)

    run = outlive.receive(io.BytesIO(b"abc"), work, size=3, store=store)
    run.wait(SECONDS)
    stages = stages_of(run)
    assert stages[0] == ("received", 0, 3, False)
    assert ("received", 3, 3, True) in stages
    assert stages[-1][:3] == ("parse", 3, 3)
    with Reception(never, name="x", size=400, store=store) as reception:
        reception.write(b"abc")
        run = reception.finish()
    run.wait(SECONDS)
    assert ("received", 3, 3, True) in stages_of(run)


def test_everybody_sees_the_bytes_come(store):
    """Before all are there, and before any work."""
    with Reception(never, name="x", size=10, store=store, labels={"kind": "up"}) as reception:
        for count in (1, 2):
            reception.write(b"abc")
            eventually(functools.partial(has_seen, store, ("received", 3 * count, 10, False)))
        assert reception.run.state is State.RUNNING
        reception.finish().wait(SECONDS)


def has_seen(store: Store, stage: tuple) -> bool:
    """Tell whether the activity has told of a stage."""
    entries = store.activity().scan(0, 1_000_000).entries
    found = [json.loads(entry.payload) for entry in entries if entry.kind is Kind.STAGE]
    return stage in [(each["name"], each["current"], each["total"], each["done"]) for each in found]


@many
@given(chunks=st.lists(st.binary(max_size=200_000), max_size=5))
def test_a_file_is_what_came_in_whatever_pieces(store, chunks):
    """None at all is an empty file."""
    content: list[bytes] = []
    with Reception(lambda file: content.append(file.read()), name="x", store=store) as reception:
        for chunk in chunks:
            reception.write(chunk)
        run = reception.finish()
    assert run.wait(SECONDS) is State.SUCCEEDED
    assert content == [b"".join(chunks)]


def test_work_may_keep_the_file(store, tmp_path):
    """It moves it elsewhere."""
    target = tmp_path / "kept.txt"
    run = outlive.receive(io.BytesIO(b"abc"), lambda file: file.path.rename(target), store=store)
    assert run.wait(SECONDS) is State.SUCCEEDED
    assert target.read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("size", "line"),
    [
        (10_000_000, "the upload ended after 3.1 of 10 MB"),
        (3_100_001, "the upload ended after 3.1 of 3.1 MB"),
    ],
)
def test_a_file_that_ends_too_early_starts_nothing(store, tmp_path, size, line):
    """Its run tells how far it came."""
    with pytest.raises(UploadFailed, match=line):
        outlive.receive(io.BytesIO(b"x" * 3_100_000), never, size=size, store=store)
    check_failed(store, tmp_path, line)


def test_nothing_behind_the_file_is_waited_for(store):
    """A connection that is kept open has no end, where the server does not make one."""
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as body:
        ours.sendall(b"abc")
        run = outlive.receive(body, len_of, size=3, store=store)
    run.wait(SECONDS)
    assert run.text() == "3\n"


@pytest.mark.parametrize(
    ("raised", "goes_on"),
    [(ArithmeticError, ArithmeticError), (ConnectionResetError, UploadFailed)],
)
def test_what_reading_raises_goes_on(store, tmp_path, raised, goes_on):
    """A framework may have an exception of its own for a client that is gone; a lost one is told."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise raised
            return super().read(2000)

    with pytest.raises(goes_on):
        outlive.receive(Broken(b"x" * 5000), never, store=store)
    check_failed(store, tmp_path, "the upload ended after 2 kB")


def test_a_file_of_text_is_refused(store, tmp_path):
    """Nobody knows what its bytes are."""
    with pytest.raises(ConfigError, match="gives bytes"):
        outlive.receive(io.StringIO("x"), never, store=store)  # type: ignore[arg-type]
    check_failed(store, tmp_path, "the upload ended after 0 bytes")


def test_a_limit_is_one_byte_exact(store, tmp_path):
    """What is larger is refused when it is, and not kept until then."""
    run = outlive.receive(io.BytesIO(b"x" * 5000), len_of, limit=5000, store=store)
    assert run.wait(SECONDS) is State.SUCCEEDED
    store.prune(Bounds(keep=0))
    with pytest.raises(UploadFailed, match="larger than 5 kB") as caught:
        outlive.receive(io.BytesIO(b"x" * 5001), never, limit=5000, store=store)
    assert caught.value.status == 413
    check_failed(store, tmp_path, "the upload is larger than 5 kB")
    with pytest.raises(ConfigError, match="limit: give a number of bytes, not '5 MB'"):
        outlive.receive(io.BytesIO(b"x"), never, limit="5 MB", store=store)  # type: ignore[arg-type]


def len_of(file: ReceivedFile) -> None:
    """Tell how long it is."""
    print(file.size)


def test_an_upload_can_be_cancelled(store, tmp_path):
    """As any run, while it comes; what still comes is refused."""
    with Reception(never, name="x", store=store) as reception:
        reception.write(b"abc")
        only_run(store).cancel()
        eventually(lambda: reception.run.cancelled)  # type: ignore[attr-defined]
        for _ in range(2):
            with pytest.raises(UploadFailed, match="was cancelled after 3 bytes"):
                reception.write(b"abc")
    check_failed(store, tmp_path, "the upload was cancelled after 3 bytes", State.CANCELLED)
    with pytest.raises(UploadFailed):
        reception.finish()


def test_of_a_key_nothing_is_read_while_a_run_lives(store):
    """That run is what one gets."""
    go = threading.Event()
    first = outlive.receive(
        io.BytesIO(b"abc"), lambda _: go.wait(SECONDS), key="import", store=store
    )
    file = io.BytesIO(b"other")
    assert outlive.receive(file, never, key="import", size=9, store=store) is first
    assert file.tell() == 0
    with Reception(never, name="x", key="import", store=store) as reception:
        reception.write(b"left out")
        assert reception.finish() is first
    go.set()
    assert first.wait(SECONDS) is State.SUCCEEDED
    assert first.text() == ""


def test_async_work_is_done_on_the_loop_of_who_received(store):
    """As `start` does it."""
    seen: list[object] = []

    async def work(file: ReceivedFile) -> None:
        seen.append((asyncio.get_running_loop(), file.read()))

    async def main() -> None:
        run = outlive.receive(io.BytesIO(b"abc"), work, store=store)
        await asyncio.to_thread(run.wait, SECONDS)
        assert seen == [(asyncio.get_running_loop(), b"abc")]

    asyncio.run(main())


def test_what_cannot_be_called_receives_nothing(store):
    """The mistake is told first."""
    with pytest.raises(ConfigError, match="function"):
        outlive.receive(io.BytesIO(b"abc"), "work", store=store)  # type: ignore[arg-type]
    assert store.records() == []


@given(st.text())
def test_any_name_can_be_shown(name):
    """It has no path and nothing that moves a cursor, and is the same when it is cleaned again."""
    shown = clean_name(name)
    assert shown.isprintable()
    assert shown.strip(".")
    assert not {"/", "\\"} & set(shown)
    assert len(shown) <= 255
    assert clean_name(shown) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("C:\\Users\\me\\Größe 1.csv", "Größe 1.csv"),
        ("../../etc/passwd", "passwd"),
        ("..", "upload"),
        ("x\n\x1b[1m.txt", "x[1m.txt"),
    ],
)
def test_a_name_loses_its_path_and_what_nobody_sees(name, shown):
    """What is left is a name that people know."""
    assert clean_name(name) == shown


_FULL = """
import io, resource, sys, outlive
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
outlive.receive(io.BytesIO(b"x" * 1_000_000), print, store=sys.argv[1])
"""


def test_a_disk_that_takes_no_more_is_told_in_one_line(tmp_path):
    """The run has failed, and the space is free again."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], check=False, capture_output=True, text=True
    )
    line = "the upload cannot be kept: File too large"
    assert done.stderr.endswith(f"UploadFailed: {line}\n"), done.stderr
    check_failed(DirectoryStore(tmp_path), tmp_path, line)


_KILLED = """
import os, signal, sys
from outlive.work.receptions import Reception
reception = Reception(print, name="x.csv", store=sys.argv[1])
reception.write(b"x" * 1_000_000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_received_is_removed(tmp_path):
    """By whoever finds that its run is lost."""
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.stat().st_size > 0 for path in uploads_in(tmp_path)] == [True]
    assert only_run(DirectoryStore(tmp_path)).state is State.LOST
    assert uploads_in(tmp_path) == []
