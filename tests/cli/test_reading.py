"""`list`, `show`, `follow` and `outlive` alone tell what the store knows."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from outlive.cli import list_runs, main
from outlive.entries import parse_time

FIELDS = {
    "id", "title", "labels", "owner", "key", "command", "state", "exit_code", "signal", "error",
    "started_at", "ended_at",
}  # fmt: skip


@pytest.fixture
def call(outlive, monkeypatch, capfdbinary):
    """Call the program in this process; returns what it prints."""
    monkeypatch.setenv("OUTLIVE_STORE", str(outlive.store))

    def call(*arguments, code=0):
        assert main(arguments) == code
        return capfdbinary.readouterr().out.decode()

    return call


def test_without_runs_there_are_three_examples(call):
    """`outlive` alone shows a newcomer what to type."""
    printed = call()
    assert [line.split()[0] for line in printed.splitlines() if line.startswith("  ")] == [
        "outlive", "make", "outlive",
    ]  # fmt: skip
    assert call("list") == ""
    assert json.loads(call("list", "--json")) == []


def test_runs_are_listed_the_newest_first(outlive, call):
    """Each run is one line: a name to call it by, its state, its title."""
    outlive("run", "--title", "first", "--", "true")
    outlive("run", "--title", "second", "--", "sh", "-c", "exit 3")
    second, first = call("list").splitlines()
    assert re.fullmatch(r"\S+  failed \(3\)  20\S+ \S+  \S+s  second", second)
    assert re.fullmatch(r"\S+  succeeded   20\S+ \S+  \S+s  first", first)
    assert call() == call("list")
    for line, title in ((first, "first"), (second, "second")):
        assert f"title     {title}\n" in call("show", line.split()[0])


def test_a_table_has_the_newest_and_counts_the_others(outlive, monkeypatch, capfd):
    """Nobody reads a hundred thousand lines; what is left out is said, and JSON has it."""
    for title in ("first", "second", "third"):
        outlive("run", "--title", title, "--", "true")
    monkeypatch.setattr(list_runs, "_SHOWN", 2)
    monkeypatch.setenv("OUTLIVE_STORE", str(outlive.store))
    assert main(["list"]) == 0
    table, told = capfd.readouterr()
    assert [line.split()[-1] for line in table.splitlines()] == ["third", "second"]
    assert told == "… and 1 older: outlive list --json has all\n"
    assert main(["list", "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)) == 3


def test_json_has_all_fields(outlive, call):
    """Programs get the record as it is, times as RFC 3339."""
    outlive("run", "--label", "a=1", "--label", "b=x=y", "--title", "é", "--", "false")
    record = json.loads(call("show", "--json", "last"))
    assert set(record) == FIELDS
    assert json.loads(call("list", "--json")) == [record]
    assert record["labels"] == {"a": "1", "b": "x=y"}
    assert (record["title"], record["command"]) == ("é", ["false"])
    assert (record["state"], record["exit_code"]) == ("failed", 1)
    assert record["signal"] is record["error"] is record["key"] is record["owner"] is None
    assert parse_time(record["started_at"]) <= parse_time(record["ended_at"])


def test_show_tells_what_is_known(outlive, call):
    """The facts of a run, and how to see its output."""
    outlive("run", "--label", "who=me", "--", "sh", "-c", "echo a; printf b; exit 2")
    printed = call("show", "last")
    facts = dict(
        re.split(r"  +", line, maxsplit=1) for line in printed.splitlines() if "  " in line
    )
    assert facts["state"] == "failed (2)"
    assert facts["lines"] == "2"
    assert facts["labels"] == "who=me"
    assert facts["command"] == "sh -c 'echo a; printf b; exit 2'"
    assert "outlive follow last" in printed


def test_a_running_run_says_so(outlive, call):
    """Before its end a run is running, without exit code and end."""
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    process.stdout.readline()
    record = json.loads(call("show", "--json", "last"))
    assert (record["state"], record["exit_code"], record["ended_at"]) == ("running", None, None)
    assert "running" in call("list")


def test_titles_cannot_command_the_terminal(outlive, call):
    """What a terminal would obey is replaced, in titles, labels and commands."""
    evil = "\x1b[2J\x07\x9b1m\r\n\u202e<b>"
    arguments = ["--title", evil, "--label", f"k={evil}"]
    result = outlive("run", *arguments, "--", "true", evil)
    printed = call("list") + call("show", "last") + call()
    assert not set(printed) & set("\x1b\x07\x9b\r\u202e")
    assert "<b>" in printed
    assert json.loads(call("show", "--json", "last"))["title"] == evil
    assert b"\x1b" not in result.stderr
    missing = outlive("run", "--", evil)
    assert missing.returncode == 127
    assert b"\x1b" not in missing.stderr


def test_a_title_that_is_no_text_can_be_printed(outlive):
    """Arguments may be any bytes, and terminals of any encoding."""
    environment = {**outlive.environment, "PYTHONIOENCODING": "ascii"}
    title = b"\xff\xc3\xa9".decode("utf-8", "surrogateescape")
    assert outlive("run", "--title", title, "--", "true", env=environment).returncode == 0
    for arguments in (("list",), ("show", "last"), ()):
        result = outlive(*arguments, env=environment)
        assert (result.returncode, result.stderr) == (0, b"")
        assert b"??" in result.stdout


@pytest.mark.parametrize(
    ("tail", "expected"),
    [(None, "1\n2\n3\nx"), ("2", "3\nx"), ("0", ""), ("1", "x"), ("99", "1\n2\n3\nx")],
)
def test_follow_prints_all_or_the_last_lines(outlive, call, tail, expected):
    """`follow` begins at the beginning, or N lines before the end, and has the run's exit code."""
    outlive("run", "--", "sh", "-c", "seq 3; printf x; exit 9")
    arguments = ["--tail", tail] if tail is not None else []
    assert call("follow", *arguments, "last", code=9) == expected


@pytest.mark.parametrize("arguments", [[], ["--tail", "1"]], ids=["all", "tail"])
def test_follow_goes_on_to_the_end(outlive, arguments):
    """What is written while somebody follows is printed at once; the end is the end."""
    process = outlive.start("run", "--", "cat", stdin=subprocess.PIPE)
    process.stdin.write(b"zero\none\n")
    process.stdin.flush()
    outlive.written(b"one\n")
    follower = outlive.start("follow", *arguments, "last")
    if not arguments:
        assert follower.stdout.readline() == b"zero\n"
    assert follower.stdout.readline() == b"one\n"
    process.stdin.write(b"two\nthree")
    process.stdin.flush()
    assert follower.stdout.read(9) == b"two\nthree"
    process.stdin.close()
    assert follower.wait(60) == 0
    assert process.wait(60) == 0


def test_follow_of_a_killed_run_ends(outlive):
    """A run whose supervisor was killed is lost; who follows it is told by the exit code."""
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    process.stdout.readline()
    follower = outlive.start("follow", "last")
    assert follower.stdout.readline() == b"on\n"
    process.kill()
    assert follower.wait(60) == 1
    assert outlive.record()["state"] == "lost"


def test_follow_dies_of_the_pipe(outlive):
    """`outlive follow last | head -1` is silent."""
    outlive("run", "--pipe", "--", "seq", "100000")
    result = outlive.shell("outlive follow last | head -1; echo ${PIPESTATUS[0]}")
    assert result.stdout == b"1\n141\n"
    assert result.stderr == b""


def test_an_interrupt_ends_follow_but_not_the_run(outlive):
    """Who stops watching stops nothing else."""
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    process.stdout.readline()
    follower = outlive.start("follow", "last")
    assert follower.stdout.readline() == b"on\n"
    follower.send_signal(2)
    assert follower.wait(60) == 130
    assert follower.stderr.read() == b""
    assert outlive.record()["state"] == "running"


@pytest.mark.parametrize(
    ("script", "summary"),
    [
        ("seq 4312; exit 3", r"failed \(3\) · \d\.\ds · 4,312 lines"),
        ("echo x", r"succeeded · \d\.\ds · 1 line"),
        ("printf 'a\nb'", r"succeeded · \d\.\ds · 2 lines"),
        ("true", r"succeeded · \d\.\ds · 0 lines"),
        ("kill -9 $$", r"failed \(SIGKILL\) · \d\.\ds · 0 lines"),
    ],
)
def test_the_last_line_sums_up(outlive, script, summary):
    """State, duration, lines, and the shortest name to show the run by, are said last."""
    result = outlive("run", "--", "sh", "-c", script)
    first, last = result.stderr.decode().splitlines()
    assert first.startswith("outlive: http://127.0.0.1:")
    run = outlive.record()["id"]
    assert re.fullmatch(summary + f" · outlive show {run[:3]}", last), last


def test_what_is_said_to_be_typed_next_finds_the_run(outlive, tmp_path):
    """In the store that was named, too."""
    result = outlive("run", "--store", str(tmp_path / "an other"), "--", "echo", "on")
    show = result.stderr.decode().splitlines()[-1].partition(" · outlive show ")[2]
    shown = outlive("show", *shlex.split(show))
    follow = shown.stdout.decode().splitlines()[-1].removesuffix(" prints its output")
    assert outlive(*shlex.split(follow)[1:]).stdout == b"on\n"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (72, "1m 12s"), (3600, "1h 0m"), (90061, "1d 1h")],
)
def test_durations_have_their_two_largest_units(seconds, written):
    """Short ones have a tenth of a second, long ones two units."""
    from outlive.cli.arguments import render_duration

    assert render_duration(seconds) == written


def test_the_module_is_the_program():
    """`python -m outlive` does what `outlive` does."""
    result = subprocess.run(
        [sys.executable, "-m", "outlive", "--version"], capture_output=True, check=True
    )
    assert result.stdout.startswith(b"outlive ")
