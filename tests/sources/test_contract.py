"""What the supervisor relies on in every source that is read from descriptors."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from outlive.entries import Kind, State
from outlive.sources.base import has_data
from outlive.sources.command import CommandSource, signal_name
from outlive.sources.stream import StreamSource
from tests.helpers import eventually


class Command:
    """Makes sources of commands."""

    kinds = frozenset({Kind.OUT, Kind.ERR})
    ends_with_its_command = True

    def __init__(self, terminal):
        self._terminal = terminal

    def make(self, script):
        return CommandSource(["sh", "-c", script], terminal=self._terminal)

    def close(self):
        pass


class Stream:
    """Makes sources of what a shell pipes in."""

    kinds = frozenset({Kind.OUT})
    ends_with_its_command = False

    def make(self, script):
        self._writer = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        assert self._writer.stdout is not None
        self._output = self._writer.stdout
        return StreamSource(self._output.fileno())

    def close(self):
        self._output.close()
        self._writer.wait()


@pytest.fixture(params=["terminal", "pipes", "stream"])
def family(request):
    """Each kind of source."""
    made: dict[str, Any] = {
        "terminal": lambda: Command((24, 80)),
        "pipes": lambda: Command(None),
        "stream": Stream,
    }
    one = made[request.param]()
    yield one
    one.close()


def descriptors():
    """Count the open descriptors of this process, but those that other tests left as garbage."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def read_all(source):
    """Read a source's outputs to their end, or to the end of the source."""
    data = b""
    while source.outputs:
        is_over = source.over_fd is not None and has_data(source.over_fd)
        ready = [fd for fd in source.outputs if has_data(fd)]
        for fd in ready:
            kind, read = source.outputs[fd], os.read(fd, 65536)
            data += read if kind is Kind.OUT else b""
            if not read:
                source.close_output(fd)
        if is_over and not ready:
            break
    return data


def test_a_source_gives_what_is_written_and_how_it_ended(family):
    """All bytes as they were, then the end."""
    source = family.make("printf 'a\\n\\377\\000\\r\\nb'")
    assert set(source.outputs.values()) <= family.kinds
    assert read_all(source) == b"a\n\xff\x00\r\nb"
    assert source.end() == (State.SUCCEEDED, 0, None, None)
    assert not source.is_alive()
    source.close()
    assert source.outputs == {}


def test_a_source_that_is_told_to_end_does(family):
    """After SIGTERM it is over, and tells of the signal."""
    source = family.make("echo on; exec sleep 300")
    eventually(lambda: any(has_data(fd) for fd in source.outputs))
    source.send_signal(signal.SIGTERM)
    if family.ends_with_its_command:
        eventually(lambda: has_data(source.over_fd))
    else:
        family._writer.terminate()
    end = source.end()
    assert (end.state, end.signal) == (State.FAILED, "SIGTERM")
    assert not source.is_alive()
    source.close()


def test_a_source_whose_reader_is_gone_ends(family):
    """Hanging up, once or twice, ends a writer."""
    source = family.make("trap '' PIPE; while echo x; do :; done 2>/dev/null; exit 0")
    eventually(lambda: any(has_data(fd) for fd in source.outputs))
    source.hang_up()
    source.hang_up()
    if family.ends_with_its_command:
        eventually(lambda: has_data(source.over_fd))
    assert source.end().state in (State.FAILED, State.SUCCEEDED)
    source.close()


def test_a_source_keeps_no_descriptor(family):
    """After its end everything is closed, and nothing of it was inherited."""
    before = descriptors()
    for _ in range(3):
        source = family.make("exit 0")
        read_all(source)
        source.end()
        source.close()
        family.close()
    assert descriptors() == before


@pytest.mark.parametrize("terminal", [(24, 80), None], ids=["terminal", "pipes"])
def test_a_command_inherits_three_descriptors(terminal):
    """Nothing of this process but input, output and errors reaches a command."""
    with Path(os.devnull).open() as other:
        os.set_inheritable(other.fileno(), True)  # noqa: FBT003 - its only form
        script = "import os; print(sorted(os.listdir('/proc/self/fd'))[:9])"
        source = CommandSource([sys.executable, "-c", script], terminal=terminal)
        # The fourth is the listing's own.
        assert read_all(source) == b"['0', '1', '2', '3']\n"
        source.end()
        source.close()


@pytest.mark.parametrize("terminal", [(24, 80), None], ids=["terminal", "pipes"])
def test_what_cannot_be_started_leaves_nothing(terminal):
    """A failed start raises, and keeps no descriptor."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        CommandSource(["/no/such/command"], terminal=terminal)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("number", "name"), [(15, "SIGTERM"), (35, "SIG35"), (64, "SIGRTMAX"), (63, "SIG63")]
)
def test_every_signal_has_a_name(number, name):
    """Those without one of their own are called by their number."""
    assert signal_name(number) == name


def test_a_process_with_other_children_adopts_nobody():
    """It could not tell them from a command's, and would end them, or take their exit codes."""
    with subprocess.Popen(["sleep", "0.3"]) as other:
        source = CommandSource(["sh", "-c", "exit 3"], terminal=None, adopts=True)
        assert source.over_fd is not None
        over = source.over_fd
        eventually(lambda: has_data(over))
        assert source.send_signal(signal.SIGTERM) == []
        source.reap()
        assert source.end().exit_code == 3
        source.close()
        assert other.wait(30) == 0
