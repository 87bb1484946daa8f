"""In a terminal, a command behaves under `outlive run` as if that were not there."""

import signal
import subprocess
import sys

import pytest

from tests.helpers import eventually
from tests.terminals import Terminal


@pytest.fixture
def terminal(outlive):
    """Make terminals with `outlive run -- COMMAND` in them."""
    opened = []

    def make(*command, options=(), **others):
        arguments = outlive.command("run", *options, "--", *command)
        others = {"env": outlive.environment, **others}
        opened.append(Terminal(arguments, **others))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def python(terminal, program, *arguments, **others):
    """Start a Python program in a terminal."""
    return terminal(sys.executable, "-c", program, *arguments, **others)


def test_a_command_sees_a_terminal_of_the_same_kind(outlive, terminal):
    """Input, output and errors are a terminal, of the size and name of the real one."""
    shown = python(
        terminal,
        "import os; print([os.isatty(i) for i in range(3)], os.get_terminal_size(),"
        " os.environ['TERM'], os.tcgetpgrp(0) == os.getpgrp())",
        env={**outlive.environment, "TERM": "xterm-test"},
    )
    assert shown.wait() == 0
    assert b"[True, True, True]" in shown.shown
    assert b"xterm-test True" in shown.shown
    assert b"columns=80, lines=24" in shown.shown


def test_the_modes_are_those_of_the_terminal(outlive, terminal):
    """What the user set with stty(1) holds for the command: keys, characters, control flow."""
    script = "stty erase X intr Y -ixon iutf8; " + " ".join(outlive.command("run -- stty -a"))
    plain = Terminal(["sh", "-c", script], env=outlive.environment)
    assert plain.wait() == 0
    plain.close()
    assert b"erase = X" in plain.shown
    assert b"intr = Y" in plain.shown
    assert b" iutf8" in plain.shown
    assert b" -ixon" in plain.shown


def test_colours_and_lines_are_drawn_as_ever(outlive, terminal):
    """Escape sequences pass, each line begins at the left, and the journal has the bytes."""
    shown = terminal("printf", r"\033[31mred\033[0m\ntwo\n")
    assert shown.wait() == 0
    assert b"\x1b[31mred\x1b[0m\r\ntwo\r\n" in shown.shown
    assert outlive.text() == b"\x1b[31mred\x1b[0m\ntwo\n"


RESIZED = """
import os, signal
# Not by print: it may come before the first one returns.
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"%d %d." % os.get_terminal_size()))
print("ready", *os.get_terminal_size(), flush=True)
while True:
    signal.pause()
"""


def test_a_new_size_reaches_the_command(terminal):
    """The command gets the size of the terminal, and its SIGWINCH when that changes."""
    shown = python(terminal, RESIZED, size=(30, 100))
    shown.expect(b"ready 100 30")
    shown.resize(40, 132)
    shown.expect(b"132 40")


def test_typing_reaches_the_command(outlive, terminal):
    """What is typed is echoed once, can be corrected, and ends with Ctrl-D."""
    shown = terminal("sh", "-c", "echo ready; cat; echo end")
    shown.expect(b"ready")
    shown.type(b"helxx\x7f\x7flo\r")
    shown.expect(b"hello\r\n")
    shown.type(b"\x04")
    assert shown.wait() == 0
    assert shown.shown.count(b"hel") == 2
    assert outlive.text().endswith(b"hello\nend\n")


def test_a_password_is_not_shown(outlive, terminal):
    """What a command reads without echo is neither on the screen nor in the journal."""
    program = "import getpass; print(len(getpass.getpass('? ')), flush=True)"
    shown = python(terminal, program)
    shown.expect(b"? ")
    shown.type(b"secret\r")
    assert shown.wait() == 0
    assert b"6" in shown.shown
    assert b"secret" not in shown.shown + outlive.text()


def test_ctrl_c_is_the_commands(outlive, terminal):
    """Ctrl-C ends the command with 130; the run is cancelled, and the summary is there."""
    shown = terminal("sh", "-c", "echo ready; sleep 300")
    shown.expect(b"ready")
    shown.type(b"\x03")
    assert shown.wait() == 130
    assert b"cancelled (SIGINT)" in shown.shown
    assert outlive.record()["state"] == "cancelled"
    assert shown.modes() == shown.modes_before


def test_ctrl_c_may_mean_something_else(terminal):
    """A command that takes Ctrl-C as a key, or answers it, goes on."""
    script = "trap 'echo not yet' INT; echo ready; read a; echo got $a"
    shown = terminal("bash", "-c", script)
    shown.expect(b"ready")
    shown.type(b"\x03")
    shown.expect(b"not yet")
    shown.type(b"x\r")
    assert shown.wait() == 0


def test_ctrl_z_is_not_fatal(terminal):
    """Where nobody could continue it, the command is not stopped; Outlive neither."""
    shown = terminal("sh", "-c", "echo ready; read a; echo got $a")
    shown.expect(b"ready")
    shown.type(b"\x1a")
    shown.type(b"x\r")
    assert shown.wait() == 0
    assert b"got x" in shown.shown


def test_a_shell_in_it_has_its_jobs(outlive, terminal):
    """An interactive shell stops and continues its own jobs."""
    environment = {**outlive.environment, "PS1": "your turn> "}
    shown = terminal("bash", "--norc", "--noprofile", "-i", env=environment)
    shown.expect(b"your turn> ")
    shown.type(b"sh -c 'echo rea\"\"dy; exec sleep 300'\r")
    shown.expect(b"ready\r\n")
    shown.type(b"\x1a")
    shown.expect(b"Stopped")
    shown.type(b"kill %1; exit 4\r")
    shown.type(b"exit 4\r")
    assert shown.wait() == 4


@pytest.mark.parametrize("command", [["true"], ["false"], ["no-such-command"], ["kill", "-9", "0"]])
def test_the_terminal_is_as_it_was(terminal, command):
    """However a command ends, the terminal gets its modes back."""
    shown = terminal("sh", "-c", "stty -echo; sleep 0.1; $*", "sh", *command)
    shown.wait()
    assert shown.modes() == shown.modes_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_as_it_was_after_a_signal(outlive, terminal, number):
    """A signal to the supervisor restores the terminal, too."""
    shown = terminal("sh", "-c", "echo ready; sleep 300")
    shown.expect(b"ready")
    assert shown.is_raw()
    shown.process.send_signal(number)
    assert shown.wait() == 128 + number
    assert shown.modes() == shown.modes_before
    assert outlive.record()["state"] == "cancelled"


FULL_SCREEN = """
import curses
def main(screen):
    screen.addstr(2, 3, f"size {curses.LINES}x{curses.COLS}")
    screen.refresh()
    while (key := screen.getkey()) != "q":
        screen.addstr(3, 3, f"key {key!r}")
        screen.refresh()
curses.wrapper(main)
print("after")
"""


def test_a_full_screen_program_works(outlive, terminal):
    """It gets its size and single keys, and draws; then lines are lines again."""
    environment = {**outlive.environment, "TERM": "xterm"}
    shown = python(terminal, FULL_SCREEN, env=environment)
    shown.expect(b"size 24x80")
    shown.type(b"k")
    shown.expect(b"key 'k'")
    shown.type(b"q")
    assert shown.wait() == 0
    assert b"after\r\n" in shown.shown
    assert shown.modes() == shown.modes_before


def test_a_program_that_wants_its_newlines_raw_gets_them(terminal):
    """Where the command turns output processing off, the terminal adds nothing to a newline."""
    program = (
        "import os, tty; os.write(1, b'cooked\\nready'); input(); tty.setraw(1);"
        "os.write(1, b'raw\\nnext')"
    )
    shown = python(terminal, program)
    shown.expect(b"cooked\r\nready")
    shown.type(b"\r")
    assert shown.wait() == 0
    assert b"raw\nnext" in shown.shown
    assert shown.modes() == shown.modes_before


def test_a_terminal_that_stops_reading_holds_the_command_back(outlive, terminal):
    """What nobody sees is not produced; and it can be ended all the same."""
    shown = terminal("yes", "0123456789")
    outlive.written(b"789")
    sizes: list[int] = []

    def stands():
        sizes.append(len(outlive.text()))
        return sizes[-30:] == sizes[-1:] * 30

    eventually(stands)
    result = outlive("cancel", "last")
    assert result.stderr.startswith(b"cancelled (SIGTERM)")
    assert shown.wait_without_reading() == 143
    assert shown.modes() == shown.modes_before


def test_a_terminal_that_stops_reading_does_not_hold_signals_back(outlive, terminal):
    """SIGTERM ends command and supervisor, although the screen is full."""
    shown = terminal("yes", "0123456789")
    outlive.written(b"789")
    shown.process.terminate()
    assert shown.wait_without_reading() == 143


def test_a_job_in_the_background_is_not_stopped(outlive):
    """`outlive run … &` neither touches the terminal nor reads what is typed."""
    program = " ".join(outlive.command("run --"))
    shown = Terminal(["bash", "--norc", "--noprofile", "-i"], env=outlive.environment)
    shown.type(f"{program} sh -c 'cat; echo in the \"\"back' & wait $!; echo code $?\r".encode())
    shown.expect(b"in the back")
    shown.expect(b"code 0")
    assert b"Stopped" not in shown.shown
    shown.type(b"exit\r")
    shown.wait()
    shown.close()


@pytest.mark.parametrize("stream", ["stdout", "stdin"])
def test_a_terminal_at_one_end_only_is_left_alone(outlive, terminal, tmp_path, stream):
    """In `outlive run … | less` the keys are for less: the terminal's modes are not touched."""
    with (tmp_path / "file").open("w+b") as file:
        shown = terminal("sh", "-c", "echo; sleep 300", **{stream: file})
        outlive.written(b"\n")
        assert shown.modes() == shown.modes_before
        shown.type(b"\x03")
        assert shown.wait() == 130
    assert outlive.record()["state"] == "cancelled"


def test_input_from_the_terminal_reaches_a_command_whose_output_does_not(outlive, terminal):
    """`outlive run -- cat > file` reads what is typed."""
    shown = terminal("cat", stdout=subprocess.DEVNULL)
    outlive.written(b"")
    shown.type(b"typed\r\x04")
    assert shown.wait() == 0
    assert outlive.text() == b"typed\n"


def test_pipes_in_a_terminal_leave_it_alone(outlive, terminal):
    """With --pipe the command has the terminal's input, and Ctrl-C interrupts it."""
    shown = terminal("sh", "-c", "test -t 0 && echo ready; sleep 300", options=["--pipe"])
    shown.expect(b"ready\r\n")
    assert not shown.is_raw()
    shown.type(b"\x03")
    assert shown.wait() == 130


def test_a_closed_window_ends_the_command(outlive, terminal):
    """When the terminal goes away, the command is told so and ended."""
    shown = terminal("sh", "-c", "echo ready; sleep 300")
    shown.expect(b"ready")
    shown.hang_up()
    assert shown.process.wait(30) in (129, 143)
    assert outlive.record()["state"] == "cancelled"


def test_a_prompt_after_a_flood_is_seen(terminal):
    """The end of a flood that is no whole line is not held back."""
    program = (
        "import os, sys, time\n"
        "for size in range(65000, 70000, 37):\n"
        "    os.write(1, (b'x' * 36 + b'\\n') * (size // 37))\n"
        "    os.write(1, b'ask%d? ' % size)\n"
        "    sys.stdin.readline()\n"
    )
    shown = python(terminal, program)
    for size in range(65000, 70000, 37):
        shown.expect(b"ask%d? " % size)
        shown.shown = b""
        shown.type(b"\r")
    assert shown.wait() == 0
