"""`outlive run` exits as its command would have, and records why."""

import signal
import subprocess
import sys

import pytest

from tests.programs import last_line

MODES = pytest.mark.parametrize("mode", [(), ("--pipe",)], ids=["terminal", "pipe"])


@MODES
@pytest.mark.parametrize(
    ("script", "code", "expected"),
    [
        ("exit 0", 0, ("succeeded", 0, None)),
        ("echo hi; exit 3", 3, ("failed", 3, None)),
        ("exit 255", 255, ("failed", 255, None)),
        ("kill -TERM $$", 143, ("failed", None, "SIGTERM")),
        ("kill -KILL $$", 137, ("failed", None, "SIGKILL")),
        ("kill -INT $$", 130, ("failed", None, "SIGINT")),
        ("kill -35 $$", 163, ("failed", None, "SIG35")),
    ],
)
def test_the_exit_code_is_the_commands(outlive, mode, script, code, expected):
    """What a command exits with, or 128 and the signal that it died of, is the exit code."""
    result = outlive("run", *mode, "--", "sh", "-c", script)
    assert result.returncode == code, result.stderr
    record = outlive.record()
    assert (record["state"], record["exit_code"], record["signal"]) == expected
    assert record["error"] is None
    assert record["ended_at"] >= record["started_at"]


@MODES
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, (127, "command not found: {}")),
        (lambda path: path.write_text("#!/bin/sh\n"), (126, "cannot run {}: permission denied")),
        (lambda path: path.mkdir(), (126, "cannot run {}: permission denied")),
        (
            lambda path: (path.write_bytes(b"\x7fELFgarbage"), path.chmod(0o755)),
            (126, "cannot run {}: exec format error"),
        ),
    ],
    ids=["missing", "no permission", "a directory", "no program"],
)
def test_what_cannot_be_run_is_recorded_as_failed(outlive, tmp_path, mode, make, expected):
    """A command that cannot be started is 127 or 126, one clear line, and a failed run."""
    code, message = expected
    path = tmp_path / "command"
    make(path)
    result = outlive("run", *mode, "--", str(path))
    assert result.returncode == code
    _, error, summary = result.stderr.decode().splitlines()
    assert error == f"outlive: {message.format(path)}"
    assert summary.startswith(f"failed ({code}) · 0.")
    record = outlive.record()
    assert (record["state"], record["exit_code"]) == ("failed", code)
    assert record["error"] == message.format(path)


@MODES
def test_a_command_at_its_limit_is_ended_and_failed(outlive, mode):
    """--timeout ends the command: 124, and the record tells why."""
    result = outlive("run", *mode, "--timeout", "0.2", "--", "sleep", "300")
    assert result.returncode == 124
    record = outlive.record()
    assert (record["state"], record["exit_code"]) == ("failed", 124)
    assert record["error"] == "it ran longer than its limit of 0.2 s"
    assert last_line(result).startswith("failed (124)")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--title", "a", "--", "echo", "-n", "--", "--title", "b"),
        ("--title=a", "echo", "-n", "--", "--title", "b"),
    ],
    ids=["after dashes", "without dashes"],
)
def test_a_command_keeps_its_own_dashes(outlive, arguments):
    """Options stand before the command; whatever follows its first word belongs to it."""
    result = outlive("run", "--pipe", *arguments)
    assert (result.returncode, result.stdout) == (0, b"-- --title b")
    assert outlive.record()["title"] == "a"
    assert outlive.record()["command"] == ["echo", "-n", "--", "--title", "b"]


def test_a_command_runs_where_cwd_says(outlive, tmp_path):
    """--cwd is the command's directory; the store's and the program's stay."""
    result = outlive("run", "--cwd", str(tmp_path), "--", "pwd")
    assert result.stdout == f"{tmp_path}\n".encode()


def test_a_command_that_deletes_the_store_keeps_its_exit_code(outlive):
    """The work goes on, and ends as it ends, when the log is taken away under it; stages, too."""
    bar = "files:  50%|#####     | 1/2 [00:00<00:01,  1.00it/s]"
    script = f"rm -rf {outlive.store}; echo '{bar}'; echo on; exit 7"
    result = outlive("run", "--pipe", "--", "sh", "-c", script)
    assert (result.returncode, result.stdout) == (7, f"{bar}\non\n".encode()), result.stderr
    assert b"Traceback" not in result.stderr
    assert last_line(result).startswith("failed (7)")


def test_an_interrupted_start_is_silent(outlive):
    """Ctrl-C amid the imports ends the program as it ends any, without a traceback."""
    program = (
        "import os, signal, sys, outlive.cli\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'outlive.cli.console':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "outlive.cli.main(['list'])\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=outlive.environment, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (-signal.SIGINT, b"")
