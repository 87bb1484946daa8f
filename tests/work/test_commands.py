"""Commands that work starts."""

import asyncio
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import outlive
from outlive.entries import Kind, State
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.captures import entries_of, texts_of
from tests.helpers import eventually
from tests.programs import exists

SECONDS = 30.0


@pytest.fixture(params=["memory", "directory"])
def store(request, tmp_path) -> Store:
    """Make a store of each kind."""
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path)


def shell(script: str, **options) -> int:
    """Run a shell script as a command."""
    return outlive.command(["sh", "-c", script], **options)


@pytest.mark.parametrize("pipe", [False, True], ids=["terminal", "pipe"])
def test_what_a_command_writes_joins_the_run(store, pipe, tmp_path):
    """In its place among the prints; its directory and environment are as given."""
    with outlive.capture(store=store) as run:
        print("before")
        code = shell("echo $X; pwd; exit 3", pipe=pipe, cwd=tmp_path, env={"X": "y"})
        print("after", code)
    assert run.text() == f"before\ny\n{tmp_path}\nafter 3\n"


def test_a_terminal_or_pipes(store):
    """With a terminal all is output; with pipes, errors are told apart; nothing is typed to it."""
    script = "test -t 1 && echo terminal; read x || echo nothing; echo wrong >&2"
    with outlive.capture(store=store) as run:
        shell(script)
    assert texts_of(run, Kind.OUT) == "terminal\nnothing\nwrong\n"
    with outlive.capture(store=store) as run:
        shell(script, pipe=True)
    assert (texts_of(run, Kind.OUT), texts_of(run, Kind.ERR)) == ("nothing\n", "wrong\n")


@pytest.mark.parametrize("inside", [True, False], ids=["in a run", "outside of runs"])
def test_the_exit_code_is_the_command_s(store, inside):
    """Of one that dies of a signal, its negative number; at the limit, that of timeout(1)."""

    def codes() -> list[int]:
        scripts = ["exit 0", "exit 7", "kill -9 $$", "kill -40 $$"]
        return [*map(shell, scripts), shell("exec sleep 60", timeout=0.1)]

    expected = [0, 7, -9, -40, 124]
    if not inside:
        assert codes() == expected
        return
    with outlive.capture(store=store) as run:
        assert codes() == expected
    assert "it ran longer than its limit of 0.1 s: SIGTERM to 1 process (sleep" in run.text()
    assert run.state is State.SUCCEEDED


def test_outside_of_runs_it_is_any_command(capfd):
    """Its output goes where that of this process goes."""
    assert shell("echo out; echo err >&2") == 0
    assert capfd.readouterr() == ("out\n", "err\n")


@pytest.mark.parametrize("inside", [True, False], ids=["in a run", "outside of runs"])
def test_what_is_no_command_is_refused(store, inside):
    """As the standard library does; a shell string, which would run nothing of the kind, at once."""

    def attempt() -> None:
        with pytest.raises(FileNotFoundError):
            outlive.command(["no-such-program"])
        wrong: Any
        for wrong in ("echo x", [], ["echo", 1]):
            with pytest.raises(outlive.ConfigError, match="argument"):
                outlive.command(wrong)
        wrong = "1"
        with pytest.raises(outlive.ConfigError, match="timeout: give a number"):
            outlive.command(["true"], timeout=wrong)

    if inside:
        with outlive.capture(store=store):
            attempt()
    else:
        attempt()


def test_several_commands_at_once_are_told_apart(store):
    """Each has an origin of its own, from threads and from tasks; none of their lines is lost."""
    script = "for i in 1 2 3 4 5; do echo $0 $i; done"

    async def main() -> None:
        commands = [["sh", "-c", script, name] for name in "cd"]
        await asyncio.gather(*(asyncio.to_thread(outlive.command, each) for each in commands))

    with outlive.capture(store=store) as run:
        with ThreadPoolExecutor(2) as pool:
            for name in "ab":
                pool.submit(run.bind(outlive.command), ["sh", "-c", script, name])
        asyncio.run(main())
        print("own")
    texts: dict[int, bytes] = {}
    for entry in entries_of(run):
        if entry.kind is Kind.OUT:
            texts[entry.origin] = texts.get(entry.origin, b"") + entry.text
    assert texts.pop(0) == b"own\n"
    expected = ["".join(f"{name} {i}\n" for i in range(1, 6)) for name in "abcd"]
    assert sorted(text.decode() for text in texts.values()) == expected


def test_a_command_is_cancelled_with_its_run(store):
    """With all that it started; the log tells of it, and the work goes on to its end."""
    codes: list[int] = []

    def job() -> None:
        codes.append(shell("sleep 60 & echo $! $$; trap 'echo trapped; exit 5' TERM; wait"))
        print("goes on")

    run = outlive.start(job, store=store)
    eventually(lambda: run.text().endswith("\n"))
    pids = [int(word) for word in run.text().split()]
    run.cancel()
    assert run.wait(SECONDS) is State.CANCELLED
    assert codes == [5]
    text = run.text()
    assert "outlive: cancel requested: SIGTERM to 2 processes (" in text
    assert "trapped\n" in text
    assert text.endswith("outlive: all gone\ngoes on\n")
    eventually(lambda: not any(map(exists, pids)))


def test_a_cancelled_task_has_its_command_ended(store):
    """Async work is cancelled at once, and its command with it."""

    async def job() -> None:
        await asyncio.to_thread(shell, "echo begun; exec sleep 60")

    run = outlive.start(job, store=store)
    eventually(run.text)
    run.cancel()
    assert run.wait(SECONDS) is State.CANCELLED


PROGRAM = """
import os, outlive, sys
with outlive.capture(store=sys.argv[1]) as run:
    os.write(1, run.id.encode() + b"\\n")
    outlive.command(["sh", "-c", sys.argv[2]])
"""


@pytest.mark.parametrize(
    ("answer", "interrupts", "text"),
    [("echo heard; exit 0", 1, "heard"), ("echo heard", 2, "interrupted again: SIGKILL")],
    ids=["obeys", "ignores"],
)
def test_an_interrupt_goes_to_the_command_first(tmp_path, answer, interrupts, text):
    """Then on, and the run is cancelled; twice kills what ignores it."""
    script = f"trap '{answer}' INT; echo begun; while :; do sleep 0.01; done"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), script], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            run = outlive.Run(DirectoryStore(tmp_path), program.stdout.readline().strip())
            for word in ["begun", "heard"][:interrupts]:
                eventually(lambda: f"{word}\n" in run.text())  # noqa: B023 - at once
                program.send_signal(signal.SIGINT)
            assert program.wait(SECONDS) == -signal.SIGINT
        finally:
            program.kill()
    assert run.state is State.CANCELLED
    assert text in run.text()


def test_a_command_that_nobody_can_look_after_is_not_left(store, monkeypatch, tmp_path):
    """Where no thread can be started, it is gone, and the error goes on."""
    begin = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "outlive-command":
            eventually((tmp_path / "pid").exists)
            raise RuntimeError("can't start new thread")
        begin(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    script = f"echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 300"
    with outlive.capture(store=store), pytest.raises(RuntimeError, match="new thread"):
        shell(script)
    assert not exists(int((tmp_path / "pid").read_text()))


def test_a_command_needs_no_main_thread_and_no_signals(store):
    """Handlers of signals are as before, and other threads go on."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD)
    run = outlive.start(shell, "echo x", store=store)
    assert run.wait(SECONDS) is State.SUCCEEDED
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD)) == before
    assert threading.current_thread() is threading.main_thread()
    assert run.text() == "x\n"
