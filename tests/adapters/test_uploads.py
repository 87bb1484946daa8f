"""What holds of uploads in every framework that receives them, on every server, over real sockets."""

import functools
import socket
import struct
import time
from hashlib import sha256

import pytest

from outlive.entries import State
from outlive.runs import Run
from tests.adapters.serving import SERVERS, Served
from tests.adapters.test_servers import new_name
from tests.helpers import eventually
from tests.standalone.servers import Connection

#: How the rows of those begin whose applications have a view that receives.
RECEIVE = (
    "CherryPy",
    "Django",
    "FastAPI",
    "Flask",
)
EVENTS = {"Accept": "text/event-stream"}
CONTENT = bytes(range(256)) * 4000


ROWS = [name for name in SERVERS if name.startswith(RECEIVE)]
STREAMING = [name for name in ROWS if SERVERS[name].uploads]


@pytest.fixture(params=ROWS)
def served(request, serve) -> Served:
    """Give each server in turn."""
    return serve(request.param)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    """Write a part of a form (RFC 7578)."""
    more = f'; filename="{filename}"\r\nContent-Type: text/csv' if filename is not None else ""
    head = f'--limit\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


FORM = b"".join(
    [
        part("before", b"1"),
        part("empty", b"", ""),
        part("file", CONTENT, "a/Gr\u00f6\u00dfe.csv"),
        part("second", b"xyz", "second.txt"),
        part("after", b"2"),
        b"--limit--\r\n",
    ]
)


def post(served: Served, name: str, size: int = len(FORM)) -> Connection:
    """Begin to send the form to the view that receives."""
    media = "multipart/form-data; boundary=limit"
    return served.ask(f"/upload/{name}", "POST", Content_Type=media, Content_Length=str(size))


def find(served: Served, name: str) -> Run:
    """Wait for a run by its title."""
    records = eventually(lambda: [each for each in served.store.records() if each.title == name])
    return Run(served.store, records[0].id)


# To watch the activity is to ask the access hook, by its own process: the one `sync` worker.
@pytest.mark.parametrize(
    "server", [name.replace("sync", "sync, without the engine") for name in STREAMING]
)
def test_everybody_sees_the_bytes_come(serve, server):
    """Before the last one is sent."""
    served, name = serve(server), new_name()
    with served.ask("/live/activity", **EVENTS) as viewer, post(served, name) as client:
        viewer.until(b"event: start")
        half = len(FORM) // 2
        client.sock.sendall(FORM[:half])
        viewer.until(f"data: {name}: received 0/{len(FORM)} bytes\n".encode())
        viewer.until(f"data: {name}: received ".encode())
        eventually(
            lambda: viewer.more() and viewer.received.count(f"{name}: received".encode()) > 1
        )
        assert b" done" not in viewer.received
        client.sock.sendall(FORM[half:])
        assert client.head()[0] == 200
        viewer.until(f"data: {name}: received {len(CONTENT)}/{len(CONTENT)} bytes done\n".encode())


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("server", STREAMING)
def test_a_client_that_leaves_amid_an_upload_starts_nothing(serve, server, is_reset):
    """The run tells how far it came, and nothing of it is left: on the disk, nor in the log."""
    served, name = serve(server), new_name()
    said = len(served.said)
    with post(served, name) as client:
        client.sock.sendall(FORM[: len(FORM) // 2])
        run = find(served, name)
        if is_reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
    assert run.wait(30) is State.FAILED
    served.watchers()
    assert "Traceback" not in "".join(served.said[said:])
    assert run.text().startswith("the upload ended after ")
    assert run.text().endswith(" of 1 MB\n")
    assert list(served.folder.rglob("upload*")) == []


def test_a_form_is_received(served):
    """The run has its file, whose name has no path; the view has the other fields."""
    name = new_name()
    with post(served, name) as client:
        client.sock.sendall(FORM)
        assert client.head()[0] == 200
        assert client.to_end() == b"received 2"
    run = find(served, name)
    assert run.wait(30) is State.SUCCEEDED
    assert run.text() == f"Gr\u00f6\u00dfe.csv {len(CONTENT)} {sha256(CONTENT).hexdigest()}\n"


def test_a_form_that_stops_within_its_file_starts_nothing(served):
    """All that was promised has come, but a boundary has not."""
    name, size = new_name(), len(FORM) // 2
    with post(served, name, size) as client:
        client.sock.sendall(FORM[:size])
        assert client.head()[0] == 400
    for record in served.store.records():
        assert record.title != name or record.end.state is State.FAILED
    assert list(served.folder.rglob("upload*")) == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_body_that_is_no_form_is_the_file(serve, server):
    """As `curl -T` sends it; it is seen as it comes, where it comes so."""
    served, name, half = serve(server), new_name(), len(CONTENT) // 2
    with served.ask(f"/upload/{name}", "PUT", Content_Length=str(len(CONTENT))) as client:
        client.sock.sendall(CONTENT[:half])
        if SERVERS[server].uploads:
            assert find(served, name).state is State.RUNNING
        client.sock.sendall(CONTENT[half:])
        assert client.head()[0] == 200
    run = find(served, name)
    assert run.wait(30) is State.SUCCEEDED
    assert f" {len(CONTENT)} {sha256(CONTENT).hexdigest()}\n" in run.text()


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("multipart/form-data; boundary=limit", part("file", b"", "") + b"--limit--\r\n"),
        ("multipart/form-data; boundary=limit", b"nothing of the kind"),
        ("application/x-www-form-urlencoded", b"file=x.csv"),
    ],
)
def test_a_request_without_a_file_starts_nothing(served, media, body):
    """It is told in one line what it lacks."""
    name = new_name()
    path, size = f"/upload/{name}", str(len(body))
    with served.ask(path, "POST", Content_Type=media, Content_Length=size) as client:
        client.sock.sendall(body)
        status, headers = client.head()
        assert status == 400
        # Not to the end: Werkzeug waits for the client's where a body came late, and nobody read it.
        length = int(headers.get("content-length", 1_000_000))
        while len(client.received) < length and client.more():
            pass
        assert client.received.count(b"\n") <= 1
    assert name not in [record.title for record in served.store.records()]


def is_later(moment: float) -> bool:
    """Tell whether a moment has passed."""
    return time.monotonic() > moment


def test_a_slow_upload_is_not_killed(serve):
    """What gunicorn limits, here to two seconds, are requests that hang."""
    served, name = serve("Flask on gunicorn sync"), new_name()
    with post(served, name) as client:
        for place in range(0, len(FORM), 100_000):
            client.sock.sendall(FORM[place : place + 100_000])
            eventually(functools.partial(is_later, time.monotonic() + 0.45))
        assert client.head()[0] == 200
    assert find(served, name).wait(30) is State.SUCCEEDED
