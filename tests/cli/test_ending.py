"""How a run ends: signals, limits, requests to cancel, closed pipes, descendants."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import eventually
from tests.programs import exists, last_line

MODES = pytest.mark.parametrize("mode", [(), ("--pipe",)], ids=["terminal", "pipe"])

#: Tells of each signal, and goes on; writes the pids of the group first.
STUBBORN = """
import os, signal, sys, time
def tell(number, _):
    os.write(1, b"%s\\n" % signal.Signals(number).name.encode())
for name in sys.argv[1:]:
    signal.signal(signal.Signals[name], tell)
if os.fork() == 0:
    signal.pause() if len(sys.argv) > 1 else time.sleep(300)
    time.sleep(300)
print("ready", os.getpid(), flush=True)
while True:
    time.sleep(300)
"""


def start_stubborn(outlive, mode, *ignored, **options):
    """Start a command with a child that survives some signals; returns it and its group."""
    process = outlive.start("run", *mode, "--", sys.executable, "-c", STUBBORN, *ignored, **options)
    ready, pid = process.stdout.readline().split()
    assert ready == b"ready"
    return process, int(pid)


def group_exists(group):
    """Tell whether a living process of a group is left."""
    listed = subprocess.run(["ps", "-eo", "pgid=,pid="], capture_output=True, check=True).stdout
    members = [line.split() for line in listed.splitlines()]
    return any(int(pgid) == group and exists(int(pid)) for pgid, pid in members)


@MODES
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_reaches_the_whole_group(outlive, mode, name):
    """A signal to the supervisor ends command and children, and the run is cancelled."""
    process, group = start_stubborn(outlive, mode)
    process.send_signal(signal.Signals[name])
    assert process.wait(60) == 128 + signal.Signals[name]
    assert not group_exists(group)
    record = outlive.record()
    assert (record["state"], record["signal"]) == ("cancelled", name)


@MODES
def test_the_first_interrupt_is_passed_on_the_second_kills(outlive, mode):
    """Without a terminal, Ctrl-C asks first, then insists."""
    process, group = start_stubborn(outlive, mode, "SIGINT")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().strip() == b"SIGINT"
    eventually(lambda: b"SIGINT" in outlive.text())
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 137
    assert not group_exists(group)
    assert outlive.record()["state"] == "cancelled"


@MODES
def test_what_dies_of_the_first_interrupt_is_cancelled(outlive, mode):
    """A command that Ctrl-C ends exits with 130."""
    process = outlive.start("run", *mode, "--", "sh", "-c", "echo ready; exec sleep 300")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (outlive.record()["state"], outlive.record()["signal"]) == ("cancelled", "SIGINT")


@MODES
def test_a_command_may_answer_an_interrupt_with_success(outlive, mode):
    """What ends in its own way after Ctrl-C was not cancelled."""
    script = "trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    process = outlive.start("run", *mode, "--", "sh", "-c", script)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert outlive.record()["state"] == "succeeded"
    assert outlive.text() == b"ready\nbye\n"


LAST_WORDS = """
import signal, sys, time
def obey(*_):
    time.sleep(0.3)
    sys.exit(print("last words"))
signal.signal(signal.SIGTERM, obey)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(300)
"""


@MODES
def test_last_words_are_kept(outlive, mode):
    """What a descendant writes while it obeys, after the command itself is gone, is there."""
    script = '"$0" -c "$1"; true'
    process = outlive.start("run", *mode, "--", "sh", "-c", script, sys.executable, LAST_WORDS)
    process.stdout.readline()
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert out == b"last words\n"
    assert outlive.text() == b"ready\nlast words\n"


def test_a_stopped_command_ends_too(outlive):
    """What is stopped is told to go on, or it would not notice that it is to end."""
    process, group = start_stubborn(outlive, ())
    os.killpg(group, signal.SIGSTOP)
    process.terminate()
    assert process.wait(60) == 143


def test_nohup_keeps_its_promise(outlive):
    """A hang-up that was ignored from outside stays ignored, here and for the command."""
    process = outlive.start(
        "run", "--", "sh", "-c", "echo ready; sleep 0.5; echo done",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n")


@MODES
def test_cancel_returns_when_all_is_gone(outlive, mode):
    """`outlive cancel` ends the group, and waits for that."""
    process, group = start_stubborn(outlive, mode)
    result = outlive("cancel", "last")
    assert result.returncode == 0
    told = result.stderr.decode()
    assert told.startswith("cancelled (SIGTERM) · cancel requested: SIGTERM to 2 processes (")
    assert told.endswith(") · all gone\n")
    assert str(group) in told
    assert not group_exists(group)
    assert process.wait(60) == 143
    assert outlive.record()["state"] == "cancelled"
    again = outlive("cancel", "last")
    assert again.returncode == 1
    assert b"has ended already" in again.stderr


def test_cancel_ends_what_pipe_reads(outlive):
    """`outlive pipe` lets go of its input; whoever writes there gets a SIGPIPE."""
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as writer:
        process = outlive.start("pipe", stdin=writer.stdout, stdout=subprocess.DEVNULL)
        assert writer.stdout is not None
        writer.stdout.close()
        outlive.run_of(process)
        outlive.written(b"y\n")
        told = outlive("cancel", "last").stderr.decode()
        assert told == "cancelled (SIGTERM) · cancel requested\n"
        assert process.wait(60) == 143
        assert writer.wait(60) == -signal.SIGPIPE


@pytest.mark.parametrize(
    ("mode", "command", "code"),
    [
        ((), "yes", 141),
        (("--pipe",), "yes", 141),
        ((), f"{sys.executable} -c 'while True: print(1)'", 129),
        (("--pipe",), f"{sys.executable} -c 'while True: print(1)'", 1),
    ],
    ids=["terminal", "pipe", "terminal, ignoring", "pipe, ignoring"],
)
def test_a_closed_output_ends_the_command(outlive, mode, command, code):
    """`outlive run -- yes | head -1` ends as `yes | head -1` does."""
    script = f"outlive run {' '.join(mode)} -- {command} | head -1; echo ${{PIPESTATUS[0]}}"
    result = outlive.shell(script)
    first, last = result.stdout.split()
    assert first in (b"y", b"1")
    assert int(last) == code, result
    assert outlive.record()["state"] == "failed"


def test_errors_are_kept_when_the_output_is_closed(outlive):
    """Only what nobody reads is closed: the traceback of the broken pipe is there."""
    program = "import sys\ntry:\n    while True: print(1)\nexcept OSError as e:\n    print('got', e.errno, file=sys.stderr)"
    result = outlive.shell(f'outlive run --pipe -- {sys.executable} -c "{program}" | head -1')
    assert b"got 32" in result.stderr
    assert b"got 32" in outlive.text()


def test_pipe_ends_with_its_reader(outlive):
    """`yes | outlive pipe | head -1` ends all three."""
    result = outlive.shell("yes | outlive pipe | head -1; echo ${PIPESTATUS[@]}")
    assert result.stdout == b"y\n141 141 0\n"
    assert outlive.record()["signal"] == "SIGPIPE"


@MODES
@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_end_nothing_that_writes_nothing_there(outlive, mode, redirection):
    """A command that writes to nobody runs to its end; its files are its own."""
    result = outlive.shell(
        f"outlive run {' '.join(mode)} -- sh -c 'echo kept > {outlive.store}/../f; exit 5' "
        f"{redirection}; echo $?"
    )
    assert result.stdout == b"5\n"
    assert (outlive.store / "../f").read_text() == "kept\n"


def test_output_to_a_closed_stdout_fails_as_it_would(outlive):
    """What is written to a closed stdout is an end of the command, not of the log."""
    result = outlive.shell("outlive run -- yes >&-; echo $?")
    assert result.stdout == b"141\n"
    assert outlive.text().startswith(b"y\n")


@MODES
def test_descendants_do_not_delay_the_end(outlive, mode, tmp_path):
    """A daemon that keeps the output open is not waited for; nothing before the end is lost."""
    script = "(trap '' HUP; exec sleep 300) & echo $! > pid; seq 50000"
    began = time.monotonic()
    process = outlive.start("run", *mode, "--cwd", str(tmp_path), "--", "sh", "-c", script)
    # `communicate` would wait for the descendant where it had our pipe.
    out = process.stdout.read()
    assert process.wait(60) == 0
    assert time.monotonic() - began < 60
    pid = int((tmp_path / "pid").read_text())
    try:
        assert out == b"".join(b"%d\n" % i for i in range(1, 50_001))
        assert exists(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


@MODES
def test_descendants_that_flood_do_not_delay_the_end(outlive, mode, tmp_path):
    """A run ends with its command, however much others go on writing to its output."""
    script = "(trap '' HUP; exec yes) & echo $! > pid; sleep 0.2; exit 4"
    process = outlive.start(
        "run", *mode, "--cwd", str(tmp_path), "--", "sh", "-c", script, stdout=subprocess.DEVNULL
    )
    try:
        assert process.wait(60) == 4
    finally:
        pid = int((tmp_path / "pid").read_text())
        if exists(pid):
            os.kill(pid, signal.SIGKILL)


@MODES
def test_a_command_that_closes_its_output_runs_on(outlive, mode):
    """The end of the output is not the end of the work."""
    result = outlive(
        "run", *mode, "--", "sh", "-c", "echo out; exec >/dev/null 2>&1; sleep 0.3; exit 6"
    )
    assert (result.returncode, result.stdout) == (6, b"out\n")
    assert outlive.record()["exit_code"] == 6


def test_a_command_may_come_back_to_its_terminal(outlive):
    """Output through /dev/tty counts, also where all other ways to it were closed."""
    script = "exec >/dev/null 2>&1; sleep 0.2; echo back > /dev/tty; sleep 0.1"
    assert outlive("run", "--", "sh", "-c", script).stdout == b"back\n"


def test_nothing_is_left_behind(outlive):
    """After the end there is no process of ours, and the summary is the last thing said."""
    for pause in (0, 0.1, 0.15, 0.2, 0.3):
        result = outlive("run", "--", "sleep", str(pause))
        assert result.returncode == 0
        assert len(result.stderr.splitlines()) == 2, result.stderr
        assert last_line(result).startswith("succeeded · ")
