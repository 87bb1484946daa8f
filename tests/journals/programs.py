"""Programs that the tests of journals start as processes of their own.

`python -m tests.journals.programs NAME ARGUMENT…`
"""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from outlive.entries import End, Kind, State
from outlive.errors import JournalUnavailable
from outlive.journals.disk import DiskJournal, DiskWriter, writing
from outlive.journals.disk.writing import lock_folder
from outlive.journals.readers import Reader
from tests.journals.conftest import make_record
from tests.journals.model import text_in

ROOT = Path(__file__).parents[2]


def start(name: str, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start one of these programs, with pipes to and from it."""
    command = [sys.executable, "-m", "tests.journals.programs", name, *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, env=environment, **options)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and close its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()


def ask(process: subprocess.Popen[bytes], line: object) -> None:
    """Send a program a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    process.stdin.flush()


def answer(process: subprocess.Popen[bytes]) -> Any:
    """Wait for a line of a program, and read the JSON in it."""
    stream: IO[bytes] | None = process.stdout
    assert stream is not None
    line = stream.readline()
    assert line, f"it ended with {process.wait()}"
    return json.loads(line)


def say(value: object) -> None:
    """Print JSON in one line."""
    print(json.dumps(value), flush=True)


def create(root: str) -> DiskWriter:
    """Make a journal and say where it is."""
    writer = DiskJournal.create(Path(root), make_record())
    say(str(writer.journal.folder))
    return writer


def flood(root: str) -> None:
    """Write numbered lines, in pieces of many sizes and in small segments, until killed."""
    vars(writing)["SEGMENT_SIZE"] = 30_000
    writer = create(root)
    number, sizes = 0, [1, 700, 3, 90, 5000, 20]
    text = b""
    while True:
        for size in sizes:
            while len(text) < size:
                text += b"%d\n" % number
                number += 1
            writer.append(Kind.OUT, text[:size])
            text = text[size:]


def obey(root: str) -> None:
    """Write each line that is asked for."""
    writer = create(root)
    for line in sys.stdin.buffer:
        writer.append(Kind.OUT, line)


def follow() -> None:
    """Follow the journals in the folders that are asked for, and say what came of each."""
    for line in sys.stdin:
        journal = DiskJournal(Path(line.strip()))
        bell = threading.Event()
        stop_watching = journal.watch(bell.set)
        reader = Reader(journal)
        text, ends = b"", []
        while not reader.ended:
            bell.clear()
            entries = reader.read()
            text += text_in(entries)
            ends += [End.of(entry).state for entry in entries if entry.kind is Kind.END]
            if not entries and not bell.wait(0.02):
                journal.settle()
        stop_watching()
        say({"text": text.decode(), "ends": ends, "after": reader.position})


def lend_lock(root: str) -> None:
    """Let a child process that forgets nothing inherit the lock."""
    writer = create(root)
    writer.append(Kind.OUT, b"x\n")
    child = subprocess.Popen(["sleep", "600"], pass_fds=[writer._lock_fd])
    say(child.pid)
    child.wait()


def fork(root: str) -> None:
    """Fork a child that tries to write, to end, and to leave; then go on."""
    writer = create(root)
    writer.append(Kind.OUT, b"before\n")
    child = os.fork()
    if child == 0:
        attempts: list[Callable[[], object]] = [
            lambda: writer.append(Kind.OUT, b"child\n"),
            lambda: writer.close(End(State.FAILED)),
        ]
        for attempt in attempts:
            try:
                attempt()
            except JournalUnavailable:
                continue
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    try:
        lock_folder(writer.folder)
    except JournalUnavailable:
        locked = True
    else:
        locked = False
    say({"status": status, "locked": locked})
    sys.stdin.readline()
    writer.append(Kind.OUT, b"after\n")
    writer.close(End(State.SUCCEEDED, exit_code=0))


def fill_disk(root: str, file_limit: str) -> None:
    """Write until the disk is full and on; then, where a ballast can be removed, some more."""
    if int(file_limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_limit), resource.RLIM_INFINITY))
    writing._RETRY_SECONDS = 0.01
    writer = create(root)
    troubles: list[str] = []
    writer.on_trouble = lambda error: troubles.append(str(error))
    number = 0

    def write_some(count: int) -> None:
        nonlocal number
        for _ in range(count):
            writer.append(Kind.OUT, b"%d\n" % number)
            number += 1

    while not troubles:
        write_some(1)
    write_some(5000)
    say({"troubles": troubles, "written": number})
    sys.stdin.readline()
    while writer._missing.entries:
        write_some(1)
    write_some(50)
    while len(troubles) < 2 and not int(file_limit):
        write_some(1)
    writer.append(Kind.OUT, b"unfinished")
    writer.close(End(State.FAILED, exit_code=3))
    say({"troubles": troubles, "written": number})


PROGRAMS = {
    program.__name__: program for program in (flood, obey, follow, lend_lock, fork, fill_disk)
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
