"""Many viewers of a real command, who lose their connections at random."""

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.standalone.viewers import watch_all

VIEWERS, LINES = 50, 100_000
NUMBERS = "for number in range({}): print(number)"


def test_many_may_come_at_once(outlive):
    """Nobody has to try again a second later: they wait, even for a server that does nothing."""
    process = outlive.start("serve", "--no-auth", "--port", "0")
    whole = outlive.url_of(process)
    url = urlsplit(whole)
    with urlopen(whole):
        # It serves now.
        process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        stack.callback(process.send_signal, signal.SIGCONT)
        for _ in range(200):
            stack.enter_context(socket.create_connection((url.hostname, url.port), 5))


@pytest.mark.timeout(600)
def test_viewers_who_cut_and_resume_get_every_line_once(outlive):
    """In every format that has cursors, while the command writes as fast as it can."""
    command = [sys.executable, "-c", NUMBERS.format(LINES)]
    process = outlive.start("run", "--no-auth", "--linger", "600", "--", *command, stdout=-3)
    url = outlive.url_of(process)
    reported: list[bytes] = []
    reading = threading.Thread(target=lambda: reported.extend(process.stderr))
    reading.start()
    expected = b"".join(b"%d\n" % number for number in range(LINES))
    seen = asyncio.run(watch_all(url, VIEWERS, cuts=10, seed=1))
    for viewer in seen:
        # The terminal of the command ends lines as it likes.
        text = viewer.text.replace(b"\r\n", b"\n")
        assert text == expected, f"{viewer.form} after {viewer.connects} connections"
    assert max(viewer.connects for viewer in seen) > 5
    process.send_signal(signal.SIGINT)
    reading.join()
    lingers, summary = reported
    assert b"the page stays up" in lingers, "what viewers do is not reported on the terminal"
    assert b"succeeded" in summary
