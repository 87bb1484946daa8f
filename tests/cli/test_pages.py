"""`run`, `pipe` and `serve` give pages: at the URL they print, for as long as they should."""

import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.helpers import eventually
from tests.programs import last_line


def get(url, *, path="", **options):
    """Get a URL that was printed, or one below it, with its token."""
    base, _, token = url.partition("?token=")
    return httpx.get(base + path, headers={"Authorization": f"Bearer {token}"}, **options)


def watch(url, lines, statuses, *, seconds=60.0):
    """Read a run as `EventSource` does, until 204; collects lines and the answers' statuses."""
    base, _, token = url.partition("?token=")
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    name = ""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with httpx.stream("GET", base, headers=headers, timeout=seconds) as answer:
            statuses.append(answer.status_code)
            if answer.status_code == 204:
                break
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    headers["Last-Event-ID"] = value
                elif field == "event":
                    name = value
                elif field == "data" and not name:
                    lines.append(value)
                elif not line:
                    name = ""


@pytest.mark.parametrize("stdout", [subprocess.PIPE, subprocess.DEVNULL])
def test_the_first_url_on_stderr_is_the_page(outlive, stdout):
    """Token included: it can be opened as it is, in a terminal or not."""
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300", stdout=stdout)
    url = outlive.url_of(process)
    assert "/runs/" in url
    assert "?token=" in url
    outlive.written(b"on\n")
    answer = httpx.get(url, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert httpx.get(url.partition("?")[0]).status_code in (401, 403)
    assert get(url, params={"format": "json"}).json()["state"] == "running"


def test_a_server_of_a_run_shows_no_other(outlive):
    """Who was given one run's page can see that run only."""
    outlive("run", "--title", "other", "--", "true")
    other = outlive.record()["id"]
    process = outlive.start("run", "--", "sleep", "300")
    url = outlive.url_of(process)
    base = url.partition("runs/")[0]
    token = url.partition("?")[2]
    assert httpx.get(f"{base}runs/{other}?{token}").status_code == 404
    listed = httpx.get(f"{base}?{token}", headers={"Accept": "application/json"}).json()["runs"]
    assert [run["title"] for run in listed] == ["sleep 300"]


def test_no_auth_needs_no_token(outlive):
    """On a loopback address one may go without."""
    process = outlive.start("run", "--no-auth", "--host", "localhost", "--", "sleep", "300")
    url = outlive.url_of(process)
    assert "token" not in url
    assert httpx.get(url, headers={"Accept": "text/html"}).status_code == 200


def test_cancel_from_the_page_ends_the_run(outlive):
    """POST …/cancel is answered at once, and the command ends."""
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    url, _, token = outlive.url_of(process).partition("?token=")
    outlive.written(b"on\n")
    answer = httpx.post(f"{url}/cancel", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 202
    assert process.wait(60) == 143
    assert outlive.record()["state"] == "cancelled"


def test_serve_shows_all_runs_and_run_refers_to_it(outlive):
    """Where `outlive serve` is there, others print URLs of it and open no port."""
    server = outlive.start("serve", "--port", "0")
    base = outlive.url_of(server)
    result = outlive("run", "--title", "one", "--", "echo", "hi")
    url = result.stderr.decode().split()[1]
    assert url.startswith(base.partition("?")[0] + "runs/")
    assert get(url).text == "hi\n"
    piped = outlive("pipe", input=b"piped\n")
    assert get(piped.stderr.decode().split()[1]).text == "piped\n"
    listed = httpx.get(base, headers={"Accept": "application/json"}).json()["runs"]
    assert [run["title"] for run in listed] == ["standard input", "one"]
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0
    assert server.stderr.read() == b""
    alone = outlive("run", "--", "true").stderr.decode().split()[1]
    assert not alone.startswith(base.partition("?")[0])


@pytest.mark.parametrize(
    "options", [("--port", "0"), ("--host", "127.0.0.1"), ("--no-auth",)], ids=" ".join
)
def test_a_server_of_ones_own_may_be_asked_for(outlive, options):
    """--host, --port and --no-auth are about a server here, and get one."""
    base = outlive.url_of(outlive.start("serve", "--port", "0")).partition("?")[0]
    url = outlive("run", *options, "--", "true").stderr.decode().split()[1]
    assert not url.startswith(base)


def test_a_killed_serve_is_not_referred_to(outlive):
    """Only a server that lives is one."""
    server = outlive.start("serve", "--port", "0")
    base = outlive.url_of(server).partition("?")[0]
    server.kill()
    server.wait(60)
    assert not outlive("run", "--", "true").stderr.decode().split()[1].startswith(base)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_ends_at_a_signal_with_viewers_connected(outlive, number):
    """One signal is enough, and streams do not hold it up."""
    server = outlive.start("serve", "--port", "0")
    base, _, token = outlive.url_of(server).partition("?")
    process = outlive.start("run", "--", "sh", "-c", "echo on; sleep 300")
    run = outlive.run_of(process)
    url = f"{base}runs/{run}?{token}&format=text"
    with httpx.stream("GET", url, timeout=60) as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"on\n"
        server.send_signal(number)
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)
    assert server.wait(60) == 0


@pytest.mark.parametrize("program", [("run", "--", "cat"), ("pipe",)], ids=["run", "pipe"])
def test_a_lingering_page_stays_until_a_signal(outlive, program):
    """--linger keeps the page up after the end; Ctrl-C then ends it, and nothing else."""
    process = outlive.start(program[0], "--linger", "600", *program[1:], stdin=subprocess.PIPE)
    url = outlive.url_of(process)
    process.stdin.write(b"hi\n")
    process.stdin.close()
    assert b"the page stays up for 10m 0s" in process.stderr.readline()
    assert get(url).text == "hi\n"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    summary = process.stderr.read().decode()
    assert summary.startswith("succeeded · ")
    assert summary.count("\n") == 1


def test_an_interrupt_of_the_command_does_not_end_the_page(outlive):
    """Only what comes after the end is meant for the page."""
    script = "trap 'exit 5' INT; echo on; while :; do sleep 0.05; done"
    process = outlive.start("run", "--linger", "600", "--", "sh", "-c", script)
    url = outlive.url_of(process)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert b"the page stays up" in process.stderr.readline()
    assert get(url).text == "on\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 5


def test_who_is_told_to_go_does_not_linger(outlive):
    """SIGTERM means the program, not only its command: nothing stays up for ten minutes."""
    process = outlive.start("run", "--linger", "600", "--", "sh", "-c", "echo up; exec sleep 600")
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM


def test_a_lingering_page_goes_by_itself(outlive):
    """The time that was asked for is the time that it stays."""
    result = outlive("run", "--linger", "0.2", "--", "sh", "-c", "exit 3")
    assert result.returncode == 3
    assert last_line(result).startswith("failed (3) · ")


@pytest.mark.parametrize("mode", [(), ("--pipe",)], ids=["terminal", "pipe"])
def test_viewers_receive_the_end_although_nothing_lingers(outlive, mode):
    """A connected EventSource gets every line, the end, and the 204 that makes it stop."""
    process = outlive.start(
        "run", *mode, "--", "cat", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    url = outlive.url_of(process)
    lines: list[str] = []
    statuses: list[int] = []
    viewer = threading.Thread(target=watch, args=(url, lines, statuses))
    viewer.start()
    process.stdin.write(b"one\n")
    process.stdin.flush()
    eventually(lambda: lines == ["one"])
    # Few enough to be read in no time: whoever does not come back within a second is not waited for.
    process.stdin.write(b"".join(b"%d\n" % i for i in range(5000)))
    process.stdin.close()
    viewer.join(60)
    assert statuses == [200, 204]
    assert lines == ["one", *map(str, range(5000))]
    assert process.wait(60) == 0


def test_the_command_starts_before_the_web_server(outlive):
    """Nothing of the web server is imported before the work is on its way."""
    program = (
        "import sys, outlive.cli, outlive.sources.command as c\n"
        "old = c.CommandSource.__init__\n"
        "def new(*a, **k):\n"
        "    print([m for m in sys.modules if m.split('.')[0] in ('uvicorn', 'h11')])\n"
        "    old(*a, **k)\n"
        "c.CommandSource.__init__ = new\n"
        "sys.exit(outlive.cli.main(['run', '--', 'true']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], env=outlive.environment, capture_output=True, check=True
    )
    assert result.stdout == b"[]\n"
