"""A writer that is killed while others watch."""

import random
import signal
import socket
import sys
import threading
from urllib.parse import urlsplit

import pytest

from tests.standalone.servers import PATIENCE, Connection, dechunk
from tests.standalone.viewers import Watching

ENDLESS = "import itertools\nfor n in itertools.count(): print(n, flush=True)"


def open_stream(url: str, form: str) -> Connection:
    """Connect to the page of a run, and ask for a stream instead."""
    parts = urlsplit(url)
    connection = Connection(socket.create_connection((parts.hostname, parts.port), PATIENCE))
    connection.ask(f"{parts.path}?format={form}", connection="close")
    return connection


@pytest.mark.parametrize("times", [2, pytest.param(50, marks=pytest.mark.torture)])
def test_what_a_viewer_saw_outlives_the_writer(outlive, times):
    """After `kill -9`: all lines are in the log, the run is lost, every viewer gets the end."""
    choice = random.Random(times)
    serve = outlive.start("serve", "--no-auth", "--port", "0")
    outlive.url_of(serve)
    for _ in range(times):
        run = outlive.start("run", "--", sys.executable, "-c", ENDLESS, stdout=-3)
        url = outlive.url_of(run)
        viewers = {form: open_stream(url, form) for form in ("text", "sse", "entries", "ndjson")}
        threads = [threading.Thread(target=viewer.to_end) for viewer in viewers.values()]
        for viewer in viewers.values():
            viewer.until(b"100")
        threading.Event().wait(choice.random() / 5)  # a random moment
        for thread in threads:
            thread.start()
        run.send_signal(signal.SIGKILL)
        run.wait()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        name = url.rpartition("/")[2]
        assert outlive.record(name)["state"] == "lost"
        kept = outlive.text(name)
        for form, viewer in viewers.items():
            viewer.head()
            body, is_complete = dechunk(viewer.received)
            assert is_complete
            assert text_of(form, body).splitlines() == kept.splitlines()
            viewer.sock.close()


def text_of(form: str, body: bytes) -> bytes:
    """Get the text that a stream has brought."""
    if form == "text":
        return body
    reader = Watching("", form, random.Random(), 0)
    assert reader._take(body) == b""
    assert reader.ended
    return bytes(reader.text)
