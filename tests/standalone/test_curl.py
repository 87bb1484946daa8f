"""The real curl, as people use it."""

import json
import subprocess
import sys

import pytest

from tests.event_streams import parse_events

WORK = "import sys; print('one', flush=True); sys.stdin.readline(); print('two')"


@pytest.fixture
def living(outlive):
    """Give the URL and the token of a run that waits."""
    command = [sys.executable, "-c", WORK]
    # A pipe that stays open: the command waits for a line that comes only when a test sends it.
    run = outlive.start("run", "--pipe", "--linger", "600", "--", *command, stdin=subprocess.PIPE)
    url, _, token = outlive.url_of(run).partition("?token=")
    yield run, url, token
    run.kill()


def curl(*arguments: str) -> bytes:
    """Run curl to its end."""
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def go_on(run: subprocess.Popen[bytes]) -> None:
    """Let the command write its last line."""
    assert run.stdin is not None
    run.stdin.write(b"\n")
    run.stdin.close()


def test_curl_shows_lines_as_they_are_printed(living):
    """Plain text by default; -N, or it would wait for more by itself."""
    run, url, token = living
    command = ["curl", "-sN", "-H", f"Authorization: Bearer {token}", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as viewer:
        assert viewer.stdout is not None
        assert viewer.stdout.readline() == b"one\n"
        go_on(run)
        assert viewer.stdout.read() == b"two\n"
        assert viewer.wait(30) == 0


def test_curl_gets_every_format(living):
    """By `Accept` and by `?format=`, with the token in the URL or in a header."""
    run, url, token = living
    go_on(run)
    bearer = ("-H", f"Authorization: Bearer {token}")
    assert curl(*bearer, url) == b"one\ntwo\n"
    events = parse_events(curl("-H", "Accept: text/event-stream", f"{url}?token={token}"))
    assert [event.data for event in events if event.name == "message"] == ["one", "two"]
    last = curl(*bearer, f"{url}?format=ndjson").splitlines()[-1]
    assert json.loads(last)["state"] == "succeeded"
    assert json.loads(curl(*bearer, "-H", "Accept: application/json", url))["exit_code"] == 0
    resumed = (
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        f"Last-Event-ID: {events[-1].last_id}",
    )
    assert curl(*bearer, *resumed, f"{url}?format=sse") == b"204"


def test_curl_asks_for_the_head_alone(living):
    """-I does not wait for the run."""
    _, url, token = living
    head = curl("-I", f"{url}?token={token}").decode().lower()
    assert head.startswith("http/1.1 200")
    assert "content-type: text/plain; charset=utf-8" in head
    assert "set-cookie" not in head


def test_curl_cancels_with_the_token_in_a_header_alone(living):
    """In the URL it would be no proof that this was meant."""
    _, url, token = living
    status = ("-o", "/dev/null", "-w", "%{http_code}", "-X", "POST")
    assert curl(*status, f"{url}/cancel") == b"403"
    assert curl(*status, f"{url}/cancel?token={token}") == b"403"
    bearer = ("-H", f"Authorization: Bearer {token}")
    assert curl(*bearer, *status, f"{url}/cancel") == b"202"
    assert b'"state":"cancelled"' in curl(*bearer, f"{url}?format=ndjson")
    assert curl(*bearer, *status, f"{url}/cancel") == b"409"
