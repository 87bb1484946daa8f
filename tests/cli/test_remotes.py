"""`outlive follow URL`: a run on any server, through whatever happens to the network and to it."""

import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from outlive.cli import main, remotes
from outlive.entries import End, Gap, Kind, State
from outlive.errors import JournalUnavailable
from tests.helpers import eventually
from tests.standalone.servers import RUN, serving

SCRIPT = r"seq 3; printf '\377\0\r\033[1mx'; exit 9"
WRONG = (
    "a token is missing or wrong: use the whole URL that was printed, or send "
    "'Authorization: Bearer TOKEN'"
)
OUTPUT = b"1\n2\n3\n\xff\0\r\x1b[1mx"


def serve(outlive, port: str = "0") -> tuple[subprocess.Popen, str]:
    """Start a server; returns its process and its URL."""
    process = outlive.start("serve", "--port", port)
    return process, outlive.url_of(process)


def page_of(url: str, run: str) -> str:
    """Make the URL of a run of that of its server."""
    before, query, token = url.partition("?")
    return f"{before}runs/{run}{query}{token}"


def wait_for(path: Path, text: bytes) -> None:
    """Wait until a file holds a text."""
    eventually(lambda: text in path.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], OUTPUT), (["--tail", "2"], OUTPUT[4:]), (["--tail", "0"], b"")],
)
def test_a_run_elsewhere_is_followed_as_one_here(outlive, arguments, expected):
    """The same bytes, the same exit code; the token is in the URL."""
    outlive("run", "--pipe", "--", "sh", "-c", SCRIPT)
    _, url = serve(outlive)
    result = outlive("follow", *arguments, page_of(url, outlive.record()["id"]))
    assert (result.stdout, result.stderr, result.returncode) == (expected, b"", 9)


def test_no_line_is_lost_or_repeated_while_servers_die(outlive, tmp_path):
    """It goes on behind what it got last, as soon as there is a server again."""
    # A hundred lines for each step that it is told.
    script = "i=0; while read go; do j=$i; i=$((i+100)); seq $((j+1)) $i; done; exit 3"
    run = outlive.start("run", "--pipe", "--", "sh", "-c", script, stdin=subprocess.PIPE)
    name = outlive.run_of(run)
    server, url = serve(outlive)
    port = str(urlsplit(url).port)
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        follower = outlive.start("follow", page_of(url, name), stdout=file)
    for step in range(1, 7):
        if step % 2 == 0:
            server.kill()
            server.wait()
        run.stdin.write(b"go\n")
        run.stdin.flush()
        outlive.written(b"\n%d\n" % (step * 100), name)
        if step % 2 == 0:
            server, _ = serve(outlive, port)
        wait_for(printed, b"\n%d\n" % (step * 100))
    run.stdin.close()
    assert follower.wait(60) == 3
    assert printed.read_bytes() == b"".join(b"%d\n" % line for line in range(1, 601))
    assert follower.stderr.read() == b""


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"runs/{RUN}", "http://HERE/runs/RUN: WRONG"),
        (f"runs/{RUN}?token=x", "http://HERE/runs/RUN: WRONG"),
        ("runs/f?token=TOKEN", "no such run: f: http://HERE/runs/f"),
        ("walks/f?token=TOKEN", "there is nothing here: http://HERE/walks/f"),
        (f"runs/{RUN}?line=x&token=TOKEN", "http://HERE/runs/RUN: line must be a number, not 'x'"),
    ],
)
def test_what_is_refused_is_one_clear_line(capfd, url, told):
    """Whose fault it is, and no secret."""
    with serving(auth=True) as served:
        token = served.server.page().partition("?token=")[2]
        assert main(["follow", served.server.url + url.replace("TOKEN", token)]) == 1
        printed = capfd.readouterr()
    here = served.server.url.removeprefix("http://").rstrip("/")
    expected = told.replace("WRONG", WRONG).replace("HERE", here).replace("RUN", RUN)
    assert (printed.out, printed.err) == ("", f"outlive: {expected}\n")


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("http://127.0.0.1:1/runs/x", 1, "cannot reach 127.0.0.1:1: connection refused"),
        ("http://[::1/", 2, "not a URL: http://[::1/"),
        ("http:///runs/x", 2, "not a URL: http:///runs/x"),
        ("http://a:b/", 2, "not a URL: http://a:b/"),
        ("http://a/ü", 2, "not a URL: http://a/ü"),
    ],
)
def test_what_cannot_be_reached_is_one_clear_line(capfd, url, code, told):
    """At once: there is nothing to come back to."""
    assert main(["follow", url]) == code
    assert capfd.readouterr() == ("", f"outlive: {told}\n")


def test_a_list_of_runs_is_no_run(outlive):
    """It is told what it is instead."""
    _, url = serve(outlive)
    result = outlive("follow", url)
    assert result.returncode == 1
    assert b"the list of runs is" in result.stderr


def test_what_answers_with_a_page_is_no_run(outlive, capfd):
    """Any other server may be behind a URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        follower = outlive.start("follow", f"http://{place}/x")
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")
            assert follower.wait(60) == 2
    told = follower.stderr.read().decode()
    assert told == f"outlive: http://{place}/x is no run: it answers with text/html\n"


def test_a_server_that_is_gone_for_good_is_told_of(capfdbinary, monkeypatch):
    """Once it has been out of reach for a while, and once more before giving up."""
    monkeypatch.setattr(remotes, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(remotes, "QUIET_SECONDS", 0.2)
    with serving() as served:
        served.write(b"line\n")
        url = f"{served.server.url}runs/{RUN}"
        entries = remotes.RemoteRun(url).entries()
        assert next(entries)["kind"] == "start"
        assert next(entries)["text"] == "line\n"
        served.stop(drain=False)
        with pytest.raises(JournalUnavailable, match=r"been out of reach for 0\.5 s"):
            next(entries)
    told = capfdbinary.readouterr().err.decode()
    assert told.count("\n") == 1
    assert "is out of reach (connection refused): trying for" in told


def test_gaps_are_visible_and_a_run_that_was_read_to_its_end_is_over(capfdbinary):
    """A gap is a line of its own; behind the end there is the exit code."""
    with serving() as served:
        served.write(b"a")
        served.writer.append(Kind.GAP, Gap(2, 0, 0, "lost").encode())
        served.writer.append(Kind.LOG, b'{"level": "INFO", "logger": "x"}\nlogged\n')
        served.writer.append(Kind.EVENT, b'{"name": "x", "data": 1}')
        served.writer.close(End(State.FAILED, 7))
        url = f"{served.server.url}runs/{RUN}"
        assert main(["follow", url]) == 7
        gap = b"[outlive: something missing here: lost]\n"
        assert capfdbinary.readouterr().out == b"a\n" + gap + b"logged\n"
        *_, last = remotes.RemoteRun(url).entries()
        assert main(["follow", f"{url}?from={last['id']}"]) == 7


def test_it_dies_of_the_pipe_and_of_an_interrupt(outlive):
    """`outlive follow URL | head -1` is silent, as is Ctrl-C."""
    outlive("run", "--pipe", "--", "seq", "200000")
    _, url = serve(outlive)
    page = page_of(url, outlive.record()["id"])
    result = outlive.shell(f"outlive follow '{page}' | head -1; echo ${{PIPESTATUS[0]}}")
    assert (result.stdout, result.stderr) == (b"1\n141\n", b"")
    run = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    follower = outlive.start("follow", page_of(url, outlive.run_of(run)))
    assert follower.stdout.readline() == b"on\n"
    follower.send_signal(signal.SIGINT)
    assert follower.wait(60) == 130
    assert follower.stderr.read() == b""
