"""`outlive run -d` returns at once, and the command goes on without terminal and shell."""

import shlex
import signal
import subprocess
import sys

import httpx

from tests.cli.test_trees import FAMILY, reports, wait_for_family
from tests.helpers import eventually
from tests.programs import exists
from tests.terminals import Terminal


def has_ended(outlive):
    """Tell whether the last run has ended."""
    return outlive.record()["state"] != "running"


def test_a_detached_command_goes_on(outlive, tmp_path):
    """The page's address is printed; the command runs to its end, reading nothing."""
    script = "echo begun; while [ ! -e go ]; do sleep 0.02; done; cat; echo done; exit 3"
    result = outlive("run", "-d", "--cwd", str(tmp_path), "--", "sh", "-c", script)
    assert (result.returncode, result.stdout) == (0, b"")
    url, running = result.stderr.decode().splitlines()
    assert running.startswith("outlive: running · outlive follow ")
    outlive.written(b"begun")
    page = httpx.get(url.split()[1], headers={"Accept": "application/json"})
    assert page.json()["state"] == "running"
    (tmp_path / "go").touch()
    eventually(lambda: has_ended(outlive))
    assert outlive.record()["exit_code"] == 3
    assert outlive.text() == b"begun\ndone\n"


def test_a_detached_command_survives_its_terminal(outlive):
    """Neither Ctrl-C there nor the end of the terminal and its shell reaches it."""
    script = "echo begun; sleep 0.5; echo done"
    command = shlex.join([*outlive.command("run", "-d", "--", "sh", "-c", script)])
    shell = Terminal(["sh", "-c", f"{command}; echo back; cat"], env=outlive.environment)
    try:
        shell.expect(b"back")
        shell.type(b"\x03")
        shell.hang_up()
        assert shell.wait() < 0
    finally:
        shell.close()
    eventually(lambda: has_ended(outlive))
    assert outlive.record()["state"] == "succeeded"
    assert outlive.text() == b"begun\ndone\n"


def test_a_detached_command_that_cannot_be_started_says_so(outlive):
    """One clear line and the exit code, in the foreground."""
    result = outlive("run", "-d", "--", "no-such-command")
    assert result.returncode == 127
    assert b"outlive: command not found: no-such-command\n" in result.stderr
    assert outlive.record()["exit_code"] == 127


def test_bad_usage_of_a_detached_command_is_told(outlive):
    """What is wrong before it begins is told as ever."""
    result = outlive("run", "-d", "--host", "192.0.2.1", "--", "true")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_detached_tree_can_be_cancelled(outlive):
    """From anywhere, with all that the command started."""
    outlive("run", "-d", "--", sys.executable, "-c", FAMILY)
    pids = wait_for_family(outlive, {"plain", "session", "daemon", "stopped", "parent"})
    outlive("cancel", "last")
    assert [name for name, pid in pids.items() if exists(pid)] == []
    assert reports(outlive)[-1] == "outlive: all gone"


def test_a_detached_command_uses_a_registered_server(outlive):
    """Where an `outlive serve` is there, the page is its."""
    server = outlive.start("serve", "--port", "0")
    address = outlive.url_of(server).partition("?")[0]
    result = outlive("run", "-d", "--", "true")
    assert result.stderr.decode().startswith(f"outlive: {address}runs/")
    server.send_signal(signal.SIGTERM)
    eventually(lambda: has_ended(outlive))


KILLED = """
import os, signal, sys, time
from outlive.cli.detached import Detachment

detachment, waiting = Detachment(), os.getpid()
if detachment.split() is None:
    os.kill(waiting, signal.SIGKILL)
    while os.getppid() == waiting:
        time.sleep(0.01)
    told = os.dup(1)
    detachment.release()
    os.write(told, b"on")
"""


def test_who_waits_may_be_killed():
    """What was detached goes on."""
    result = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, b"on")
