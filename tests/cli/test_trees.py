"""Ending a command ends all that it started, and the log says how that went."""

import os
import re
import signal
import subprocess
import sys

import pytest

from outlive.entries import Kind
from tests.helpers import eventually
from tests.programs import exists

MODES = pytest.mark.parametrize("mode", [(), ("--pipe",)], ids=["terminal", "pipe"])

#: Starts relatives that are hard to get at, writes `name pid` of each, and waits.
FAMILY = """
import os, signal, sys, time

def child(name, *, session=False, twice=False, ignores=False, stops=False, hides=False):
    if os.fork():
        return
    if session:
        os.setsid()
    if twice and os.fork():
        os._exit(0)
    if ignores:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
    os.write(1, f"{name} {os.getpid()}\\n".encode())
    if hides:
        for fd in range(3):
            os.close(fd)
    if stops:
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(300)

child("plain")
child("session", session=True)
child("daemon", session=True, twice=True, hides=True)
child("stopped", stops=True)
for name in sys.argv[1:]:
    child(name, session=True, twice=True, ignores=True)
os.write(1, f"parent {os.getpid()}\\n".encode())
for _ in range(1 + len(sys.argv[1:])):
    os.wait()
if "--stay" in sys.argv:
    signal.pause()
time.sleep(300)
"""


def start_family(outlive, *arguments, stubborn=(), options=()):
    """Start the family under `outlive`; returns the process and the pids by name."""
    process = outlive.start(
        *arguments, "--", sys.executable, "-c", FAMILY, *stubborn, **dict(options)
    )
    names = {"plain", "session", "daemon", "stopped", "parent", *stubborn}
    return process, wait_for_family(outlive, names)


def wait_for_family(outlive, names):
    """Wait until all relatives have told who they are; returns their pids by name."""
    outlive.written(b"parent")

    def told():
        found = dict(re.findall(r"^(\w+) (\d+)\r?$", outlive.text().decode(), re.MULTILINE))
        return found if found.keys() >= names else None

    return {name: int(pid) for name, pid in eventually(told).items()}


def children(pid):
    """List the children of a process: their pids, and in which state they are."""
    command = ["ps", "-o", "pid=,stat=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, check=False).stdout.decode()
    return [line.split() for line in listed.splitlines()]


def reports(outlive):
    """Get the lines in which a run's log tells of its end."""
    return outlive.text(kinds=(Kind.LOG,)).decode().splitlines()


@MODES
def test_a_cancelled_tree_is_gone_and_the_log_says_so(outlive, mode):
    """Sessions of their own, daemons and stopped processes do not escape."""
    process, pids = start_family(outlive, "run", *mode)
    result = outlive("cancel", "last")
    assert [name for name, pid in pids.items() if exists(pid)] == []
    asked, gone = reports(outlive)
    assert asked.startswith("outlive: cancel requested: SIGTERM to 5 processes (")
    assert gone == "outlive: all gone"
    for pid in pids.values():
        assert f" {pid}" in asked
        assert f" {pid}" in result.stderr.decode()
    assert process.wait(60) == 143


def test_what_ignores_the_request_is_killed_and_named(outlive):
    """After the grace, what is left gets SIGKILL, wherever it hides."""
    process, pids = start_family(outlive, "run", stubborn=("deaf",))
    outlive("cancel", "last")
    assert [name for name, pid in pids.items() if exists(pid)] == []
    asked, killed, gone = reports(outlive)
    assert asked.startswith("outlive: cancel requested: SIGTERM to 6 processes (")
    assert re.fullmatch(rf"outlive: after 10 s: SIGKILL to 1 process \(.* {pids['deaf']}\)", killed)
    assert gone == "outlive: all gone"
    assert process.wait(60) == 143


def test_a_limit_ends_the_whole_tree(outlive):
    """At its time limit a command goes with all that it started."""
    process, pids = start_family(outlive, "run", "--timeout", "5")
    assert process.wait(60) == 124
    assert [name for name, pid in pids.items() if exists(pid)] == []
    asked, gone = reports(outlive)
    assert asked.startswith("outlive: it ran longer than its limit of 5 s: SIGTERM to 5 processes")
    assert gone == "outlive: all gone"
    assert outlive.record()["error"] == "it ran longer than its limit of 5 s"


def test_silence_is_a_limit(outlive):
    """Output puts the end off, and none for so long is one."""
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.3; echo $i; done; printf half; sleep 300"
    result = outlive("run", "--silence", "2", "--", "sh", "-c", script)
    record = outlive.record()
    assert (result.returncode, record["state"], record["exit_code"]) == (124, "failed", 124)
    assert record["error"] == "it was silent for longer than its limit of 2 s"
    lines = [*"12345678", "half"]
    assert result.stdout.decode() == "\n".join(lines)
    said = result.stderr.decode().splitlines()
    assert said[1] == "outlive: it was silent for longer than its limit of 2 s"
    text = outlive.text(kinds=(Kind.OUT, Kind.LOG)).decode().splitlines()
    assert text[:9] == lines
    assert text[9].startswith("outlive: it was silent for longer than its limit of 2 s: SIGTERM")


@pytest.mark.parametrize(
    ("size", "count", "words"),
    [("1kB", 1000, "1 kB"), ("1KiB", 1024, "1 KiB"), ("1234", 1234, "1234 B")],
)
def test_a_quota_keeps_what_came_before_it(outlive, size, count, words):
    """What was written up to the limit stays, the rest is told of as missing."""
    result = outlive("run", "--quota", size, "--", "sh", "-c", "yes 0123456789; sleep 300")
    record = outlive.record()
    assert (result.returncode, record["state"], record["exit_code"]) == (124, "failed", 124)
    assert record["error"] == f"it wrote more than its limit of {words}"
    everything = b"0123456789\n" * count
    assert result.stdout == outlive.text() == everything[:count]
    told = outlive.text(kinds=(Kind.LOG, Kind.GAP)).decode().splitlines()
    assert told[1].startswith(f"outlive: it wrote more than its limit of {words}: SIGTERM to ")
    assert re.fullmatch(r"\[outlive: .* missing here: beyond the limit\]", told[2])
    assert told[3] == "outlive: all gone"


def test_a_quota_that_is_not_reached_changes_nothing(outlive):
    """As much as the limit may be written."""
    result = outlive("run", "--quota", "5", "--", "printf", "12345")
    assert (result.returncode, result.stdout) == (0, b"12345")
    assert outlive.text(kinds=(Kind.LOG, Kind.GAP)) == b""


def test_adopted_orphans_leave_no_zombies(outlive, tmp_path):
    """Daemons that end while the command runs on are reaped, and change nothing of its end."""
    daemons = "for i in 1 2 3 4 5; do setsid sh -c 'sleep 0.01 & exit 9'; done"
    script = f"{daemons}; sleep 0.3; echo on; while [ ! -e go ]; do sleep 0.02; done; exit 7"
    process = outlive.start("run", "--cwd", str(tmp_path), "--", "sh", "-c", script)
    process.stdout.readline()
    eventually(lambda: "Z" not in "".join(state for _, state in children(process.pid)))
    (tmp_path / "go").touch()
    assert process.wait(60) == 7


def test_a_killed_supervisor_leaves_a_lost_run(outlive):
    """Nobody pretends to know how a command ended whose supervisor was killed."""
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    process.stdout.readline()
    pids = [int(pid) for pid, _ in children(process.pid)]
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    try:
        assert outlive.record()["state"] == "lost"
        assert outlive.text() == b"on\n"
    finally:
        for pid in pids:
            if exists(pid):
                os.kill(pid, signal.SIGKILL)
