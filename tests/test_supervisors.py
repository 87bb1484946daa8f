"""The supervisor moves output into the journal, and ends what it supervises."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.entries import End, Kind, State
from outlive.journals.readers import Reader
from outlive.runs import create_run
from outlive.sources.base import KERNEL_BUFFER, DescriptorSource
from outlive.sources.command import CommandSource
from outlive.stores import MemoryStore
from outlive.supervisors import Limits, Supervisor, Wakes, endings, loops
from outlive.supervisors.outputs import OutputBuffer
from tests.helpers import eventually
from tests.programs import exists


class Screen:
    """A console that takes everything, until it is closed or stalls."""

    keyboard = None

    def __init__(self):
        self.shown = b""
        self.closed_after = None
        self.is_stuck = self.is_finished = False
        self._stuck = []

    def stall(self):
        """Take nothing any more."""
        reading, writing = os.pipe2(os.O_NONBLOCK)
        os.write(writing, bytes(65536))
        self._stuck = [writing, reading]
        self.is_stuck = True

    def show(self, kind, data):
        self.shown += data

    def blocked(self):
        return self._stuck[:1] if self.is_stuck else []

    def flush(self):
        pass

    def go_on(self):
        """Take everything again."""
        self.is_stuck = False
        os.read(self._stuck[1], 65536)

    def is_closed(self):
        return self.closed_after is not None and len(self.shown) > self.closed_after

    def resized(self):
        self.shown += b"resized\n"

    def close(self):
        for fd in self._stuck:
            os.close(fd)


@pytest.fixture
def screen():
    """Make a console."""
    screen = Screen()
    yield screen
    screen.close()


@pytest.fixture
def supervise(screen):
    """Supervise a shell script; returns how it ended and its run."""

    def supervise(script, *, terminal=None, meanwhile=lambda run: None, **limits):
        run = create_run(MemoryStore(), title="test")
        with Wakes() as wakes:
            source = CommandSource(["sh", "-c", script], terminal=terminal)
            helper = threading.Thread(target=meanwhile, args=(run,))
            helper.start()
            end = Supervisor(run, source, screen, wakes, limits=Limits(**limits)).supervise()
            screen.is_finished = True
            helper.join()
        run.end(end)
        return end, run

    return supervise


def text_of(run):
    """Get all that a run wrote."""
    return b"".join(e.payload for e in Reader(run.journal).read(1 << 30) if e.kind <= Kind.ERR)


MODES = pytest.mark.parametrize("terminal", [(24, 80), None], ids=["terminal", "pipes"])


@MODES
def test_output_reaches_journal_and_console(supervise, screen, terminal):
    """What a command writes is in both, and its exit code is the end."""
    end, run = supervise("seq 1000; exit 3", terminal=terminal)
    assert end == (State.FAILED, 3, None, None)
    assert text_of(run) == screen.shown == b"".join(b"%d\n" % i for i in range(1, 1001))


@MODES
def test_what_does_not_obey_is_killed_after_a_grace(supervise, terminal, monkeypatch):
    """A request to cancel ends even a command that ignores it."""
    monkeypatch.setattr(endings, "GRACE_SECONDS", 0.2)

    def cancel(run):
        eventually(lambda: b"on" in text_of(run))
        run.journal.request_cancel()

    script = "trap '' TERM; echo on; while :; do sleep 300; done"
    end, _ = supervise(script, terminal=terminal, meanwhile=cancel)
    assert (end.state, end.signal) == (State.CANCELLED, "SIGKILL")


@MODES
def test_a_limit_ends_what_does_not_obey(supervise, terminal, monkeypatch):
    """At its limit a command is asked, then killed; the limit is what is recorded."""
    monkeypatch.setattr(endings, "GRACE_SECONDS", 0.1)
    end, _ = supervise("trap '' TERM; while :; do sleep 300; done", terminal=terminal, timeout=0.2)
    assert (end.state, end.exit_code, end.signal) == (State.FAILED, 124, None)


def test_a_limit_may_be_longer_than_the_kernel_waits(supervise):
    """poll(2) takes no more than 24 days at once."""
    end, _ = supervise("sleep 0.1; exit 3", timeout=1e7)
    assert end == End(State.FAILED, 3)


def test_a_descendant_that_does_not_obey_is_killed(supervise, monkeypatch):
    """The end waits for the whole group, and kills it after the grace."""
    monkeypatch.setattr(endings, "GRACE_SECONDS", 0.3)
    script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 300; done' & wait"
    pids = []

    def cancel(run):
        pids.append(int(eventually(lambda: text_of(run))))
        run.journal.request_cancel()

    end, _ = supervise(script, meanwhile=cancel)
    assert end.state is State.CANCELLED
    assert not exists(pids[0])


def test_what_was_asked_before_the_loop_counts(supervise):
    """A request to cancel that comes as early as can be is not lost."""
    end, _ = supervise("sleep 300", meanwhile=lambda run: run.journal.request_cancel())
    assert end.state is State.CANCELLED


def test_a_console_that_stalls_does_not_hold_the_end_up(supervise, screen, monkeypatch):
    """After a cancel the console gets a moment; then the rest is in the journal only."""
    monkeypatch.setattr(loops, "_STALL_SECONDS", 0.1)
    screen.stall()
    end, _ = supervise("echo on; sleep 300", meanwhile=lambda run: run.journal.request_cancel())
    assert end.state is State.CANCELLED


def test_a_signal_ends_the_wait_for_a_console_that_stalls(supervise, screen):
    """A command that is over is over, also where its last words cannot be shown."""
    screen.stall()

    def interrupt(run):
        eventually(lambda: b"on" in text_of(run))
        os.kill(os.getpid(), signal.SIGTERM)

    end, _ = supervise("echo on", meanwhile=interrupt)
    assert end.state is State.SUCCEEDED


def test_a_new_window_size_ends_no_wait(supervise, screen):
    """SIGWINCH means nothing but another size."""

    def resize(run):
        eventually(lambda: b"on" in text_of(run))
        os.kill(os.getpid(), signal.SIGWINCH)

    end, _ = supervise("echo on; sleep 1", meanwhile=resize)
    assert end.state is State.SUCCEEDED
    assert b"resized" in screen.shown


def test_a_new_window_size_ends_no_wait_for_a_console_that_stalls(supervise, screen):
    """Last words are waited for, however often the window changes its size."""
    screen.stall()

    def resize(run):
        eventually(lambda: b"on" in text_of(run))
        for _ in range(20):
            os.kill(os.getpid(), signal.SIGWINCH)
            threading.Event().wait(0.01)
        assert not screen.is_finished
        screen.go_on()

    supervise("echo on", meanwhile=resize)


class Endless(DescriptorSource):
    """A source that is over, with an output that others fill without end."""

    def __init__(self):
        self._zeros = os.open("/dev/zero", os.O_RDONLY)
        self.outputs = {self._zeros: Kind.OUT}
        self.over_fd: int | None = os.open(os.devnull, os.O_RDONLY)

    def pass_on(self, number):
        pass

    def send_signal(self, number):
        return []

    def find_rest(self):
        return []

    def is_alive(self):
        return False

    def hang_up(self):
        pass

    def end(self):
        if self.over_fd is not None:
            os.close(self.over_fd)
        self.over_fd = None
        return End(State.SUCCEEDED, 0)

    def close(self):
        os.close(self._zeros)


def test_an_output_without_end_does_not_delay_the_end(screen):
    """What was written before the end is not more than the kernel holds: no more is read."""
    run = create_run(MemoryStore(), title="test")
    with Wakes() as wakes:
        end = Supervisor(run, Endless(), screen, wakes).supervise()
    run.end(end)
    assert KERNEL_BUFFER <= len(text_of(run)) < 2 * KERNEL_BUFFER


@MODES
def test_a_console_that_closes_ends_the_command(supervise, screen, terminal):
    """Nobody reads any more: the command is told as the kernel would."""
    screen.closed_after = 10
    end, _ = supervise("exec yes", terminal=terminal)
    assert end.signal == "SIGPIPE"


def test_wakes_leave_what_was_ignored_from_outside():
    """nohup(1) keeps its promise; other handlers come back."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH)}
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Wakes() as wakes:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
            assert wakes.take() == b""
            os.kill(os.getpid(), signal.SIGWINCH)
            assert eventually(wakes.take) == bytes([signal.SIGWINCH])
            assert not wakes.enough.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            assert eventually(wakes.take) == bytes([signal.SIGTERM])
            assert wakes.enough.is_set()
    finally:
        signal.signal(signal.SIGHUP, old)
    assert {n: signal.getsignal(n) for n in before} == before


def test_a_late_request_to_cancel_touches_nothing():
    """After the end, the descriptor's number may be another file's: nothing is written there."""
    wakes = Wakes()
    with wakes:
        pass
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        wakes.cancel()
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
    finally:
        os.close(reading)
        os.close(writing)


@given(st.lists(st.one_of(st.binary(max_size=50), st.text(max_size=20).map(str.encode))))
def test_a_buffer_gives_all_bytes_in_order(pieces):
    """However output arrives, it comes out whole; only unfinished characters wait."""
    reading, writing = os.pipe()
    try:
        buffer, out = OutputBuffer(reading, Kind.OUT), b""
        for piece in pieces:
            os.write(writing, piece)
            if piece:
                data, at_end = buffer.fill()
                assert not at_end
                out += data
        os.close(writing)
        rest, at_end = buffer.fill()
        assert at_end
        assert out + rest == b"".join(pieces)
    finally:
        os.close(reading)


@given(st.text(min_size=1), st.data())
def test_a_buffer_cuts_no_character(text, data):
    """Text cut anywhere between two reads comes out as text both times."""
    encoded = text.encode()
    cut = data.draw(st.integers(0, len(encoded)))
    reading, writing = os.pipe()
    try:
        buffer, parts = OutputBuffer(reading, Kind.OUT), []
        for piece in (encoded[:cut], encoded[cut:]):
            if piece:
                os.write(writing, piece)
                parts.append(buffer.fill()[0])
        assert "".join(part.decode() for part in parts) == text
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("size", [65536, 65537, 70_000, 131_072])
def test_the_end_of_a_flood_is_not_held_back(size):
    """Where nothing more is there, an unfinished line is given out, too."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        buffer, out = OutputBuffer(reading, Kind.OUT), b""
        flood = (b"x" * 63 + b"\n") * (size // 64) + b"? "
        thread = threading.Thread(target=os.write, args=(writing, flood))
        thread.start()
        while len(out) < len(flood) and (out.endswith(b"\n") or not out):
            out += buffer.fill()[0]
        thread.join()
        assert out == flood
    finally:
        os.close(reading)
        os.close(writing)


#: Starts a command as root, and then is nobody, who may not signal it.
POWERLESS = """
import os, sys
from outlive.entries import Kind
from outlive.journals.readers import Reader
from outlive.runs import create_run
from outlive.sources.command import CommandSource
from outlive.stores import MemoryStore
from outlive.supervisors import Limits, NoConsole, Supervisor, Wakes, endings

endings.GRACE_SECONDS = 0.2
endings._VANISH_SECONDS = 0.2
run = create_run(MemoryStore(), title="test")
with Wakes() as wakes:
    source = CommandSource(["sleep", "5"], terminal=None, adopts=True)
    os.setuid(65534)
    run.journal.request_cancel()
    end = Supervisor(run, source, NoConsole(), wakes).supervise()
print(end.state, end.error)
for entry in Reader(run.journal).read():
    if entry.kind is Kind.LOG:
        print(entry.text.decode(), end="")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start what it may not signal then")
def test_who_may_not_be_signalled_is_named():
    """The end does not wait for ever, and tells who is still there."""
    result = subprocess.run(
        [sys.executable, "-c", POWERLESS], capture_output=True, text=True, check=True, timeout=60
    )
    told = result.stdout.splitlines()
    assert re.fullmatch(r"cancelled still there: sleep \d+ \(not permitted\)", told[0])
    assert told[-1] == f"outlive: {told[0].removeprefix('cancelled ')}"
