"""Output and input pass through `outlive run` and `outlive pipe` as if it were not there."""

import hashlib
import os
import subprocess
import sys

import pytest

from outlive.entries import Kind
from tests.helpers import eventually

MODES = pytest.mark.parametrize("mode", [(), ("--pipe",)], ids=["terminal", "pipe"])

EVERY_BYTE = bytes(range(256))
OUTPUTS = {
    "every byte": EVERY_BYTE * 3,
    "no newline at the end": b"a\nb",
    "only newlines": b"\n" * 100_000,
    "carriage returns": b"\r\n\r\r\n10%\r20%\r",
    "characters": "žluťoučký 🐎\n".encode() * 20_000,
    "no text": b"\xff\xfe\x80\n\xf0\x9f",
    "nothing": b"",
    "one long line": b"x" * 3_000_000,
    "20 MB": b"".join(b"%d\n" % i for i in range(2_600_000)),
}


@pytest.fixture(params=OUTPUTS.values(), ids=list(OUTPUTS))
def output(request, tmp_path):
    """Give some output, and the file that it stands in."""
    path = tmp_path / "output"
    path.write_bytes(request.param)
    return request.param, path


@MODES
def test_output_passes_byte_for_byte(outlive, mode, output):
    """What a command writes is what comes out, and what the journal keeps."""
    data, path = output
    result = outlive("run", *mode, "--", "cat", str(path))
    assert (result.returncode, len(result.stdout)) == (0, len(data))
    assert result.stdout == data
    assert outlive.text(kinds=(Kind.OUT,)) == data


@MODES
def test_a_character_in_two_halves_is_one_in_the_journal(outlive, mode):
    """What arrives of a character waits for the rest of it, but not for long."""
    script = (
        "import os,time; [(os.write(1, b), time.sleep(0.005)) for b in [b'\\xc3', b'\\xa9\\n']]"
    )
    result = outlive("run", *mode, "--", sys.executable, "-c", script)
    assert result.stdout == "é\n".encode()
    script = "import os,time; os.write(1, b'\\xc3'); time.sleep(300)"
    process = outlive.start("run", *mode, "--", sys.executable, "-c", script)
    assert process.stdout.read(1) == b"\xc3"


@MODES
def test_stdin_that_is_no_terminal_reaches_the_command_untouched(outlive, mode):
    """Binary, large, to its end: not a byte of the input is taken or changed."""
    data = EVERY_BYTE * 8_000
    result = outlive("run", *mode, "--", "sha256sum", input=data)
    assert result.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    result = outlive("run", *mode, "--", "cat", input=data)
    assert result.stdout == data


def test_what_a_command_leaves_of_its_input_is_still_there(outlive):
    """A command in a pipeline reads what it wants, the next one the rest."""
    result = outlive.shell(
        "printf 'one\\ntwo\\n' | (outlive run -- bash -c 'read a; echo $a' 2>/dev/null; cat)"
    )
    assert result.stdout == b"one\ntwo\n"


def test_errors_stay_apart_through_pipes(outlive):
    """With --pipe, stderr is stderr, here and in the journal."""
    result = outlive("run", "--pipe", "--", "sh", "-c", "echo out; echo err >&2")
    assert result.stdout == b"out\n"
    assert result.stderr.splitlines()[1] == b"err"
    assert outlive.text(kinds=(Kind.OUT,)) == b"out\n"
    assert outlive.text(kinds=(Kind.ERR,)) == b"err\n"


PRINTING = """
import pathlib, sys, time
for i in range(3):
    print("line", i)
    while not pathlib.Path(sys.argv[1], str(i)).exists():
        time.sleep(0.01)
"""


@MODES
def test_a_plain_script_is_seen_line_by_line(outlive, mode, tmp_path):
    """Without flags, each printed line is out and in the journal before the script goes on."""
    (tmp_path / "script.py").write_text(PRINTING)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    process = outlive.start("run", *mode, "--", *command)
    for i in range(3):
        assert process.stdout.readline() == b"line %d\n" % i
        assert outlive.text().endswith(b"line %d\n" % i)
        assert process.poll() is None
        (tmp_path / str(i)).touch()
    assert process.wait(60) == 0


def test_the_environment_of_the_user_stands(outlive):
    """What Outlive would set for a command, the user may have set otherwise."""
    environment = outlive.environment | {"TERM": "vt100", "PYTHONUNBUFFERED": ""}
    result = outlive(
        "run", "--pipe", "--", "sh", "-c", 'echo "$TERM[$PYTHONUNBUFFERED]"', env=environment
    )
    assert result.stdout == b"vt100[]\n"


def test_a_million_lines_through_pipe_and_follow_are_those_of_seq(outlive):
    """`seq | outlive pipe` and `outlive follow` give what seq wrote."""
    result = outlive.shell(
        "seq 1000000 | sha256sum; seq 1000000 | outlive pipe 2>/dev/null | sha256sum; "
        "outlive follow last | sha256sum"
    )
    assert len(set(result.stdout.split(b"\n")[:3])) == 1


def test_pipe_passes_on_at_once_what_comes_in(outlive):
    """`outlive pipe` holds nothing back, and ends with its input."""
    process = outlive.start("pipe", stdin=subprocess.PIPE)
    for data in (b"one\n", b"two", b"\x00\xff"):
        process.stdin.write(data)
        process.stdin.flush()
        assert process.stdout.read(len(data)) == data
    process.stdin.close()
    assert process.wait(60) == 0
    assert outlive.text() == b"one\ntwo\x00\xff"
    assert outlive.record()["title"] == "standard input"
    assert outlive.record()["command"] is None


@pytest.mark.parametrize("arguments", [("pipe",), ("run", "--", "cat")], ids=["pipe", "run"])
def test_a_file_as_input_and_output_will_do(outlive, tmp_path, arguments):
    """Files need no waiting, and work as pipes do."""
    (tmp_path / "in").write_bytes(EVERY_BYTE)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        assert outlive(*arguments, stdin=source, stdout=target).returncode == 0
    assert (tmp_path / "out").read_bytes() == EVERY_BYTE


def test_a_socket_as_output_that_nobody_reads_holds_only_the_output(outlive):
    """Many programs give sockets as pipes: one that stalls does not keep a signal waiting."""
    import socket

    here, there = socket.socketpair()
    with here, there:
        process = outlive.start("run", "--pipe", "--", "yes", stdout=there)
        there.close()
        outlive.run_of(process)
        assert here.recv(2) == b"y\n"
        process.terminate()
        assert process.wait(60) == 143
        assert set(here.recv(1000)) == set(b"y\n")


def test_a_reader_that_is_slow_loses_nothing(outlive):
    """A full pipe holds the command back; then everything comes, in order."""
    process = outlive.start("run", "--", "seq", "300000", stderr=subprocess.DEVNULL)
    held = b"".join(iter(lambda: os.read(process.stdout.fileno(), 100), b""))
    assert process.wait(60) == 0
    assert held == b"".join(b"%d\n" % i for i in range(1, 300_001))


def test_a_full_pipe_holds_the_command_back(outlive):
    """What nobody takes is not piled up: the command waits, as at any full pipe."""
    process = outlive.start("run", "--", "yes", "0123456789")
    outlive.run_of(process)
    sizes = [0]

    def stands():
        sizes.append(len(outlive.text()))
        return sizes[-1] and sizes[-1] == sizes[-20:][0] and len(sizes) > 25

    eventually(stands)
    assert sizes[-1] < 5_000_000
    process.terminate()
    assert process.wait(60) == 143
