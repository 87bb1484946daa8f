"""uvicorn with the protocol that lets go of connections, in a thread of the test's own."""

import asyncio
import contextlib
import gc
import math
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware

from outlive import platforms
from outlive.adapters.asgi import PUBLIC, application, respond
from outlive.adapters.asgi.uvicorn import Protocol, _Recorder
from outlive.entries import End, Kind, RunRecord, State
from outlive.pumps.engine.processes import find_process
from outlive.pumps.engine.threads import stop
from outlive.runs import Run
from outlive.stores import DirectoryStore, MemoryStore, Store
from tests.adapters.serving import SERVERS, Served, read_process
from tests.helpers import eventually
from tests.standalone.servers import PATIENCE, Connection, dechunk

RUN = "a" * 20


class Serving:
    """A uvicorn in a thread, and the writer of the one run that it shows."""

    def __init__(self, store: Store | None = None, **options: Any) -> None:
        self.store = store or MemoryStore()
        self.writer = self.store.create(RunRecord(id=RUN, title="served", started_at=0))
        self.app: Any = application(access=PUBLIC, store=self.store)
        self._listener = socket.create_server(("127.0.0.1", 0))
        options = {"log_config": None, "interface": "asgi3", "http": Protocol, **options}
        self.server = uvicorn.Server(uvicorn.Config(self._call, **options))
        work = asyncio.run, (self.server.serve([self._listener]),)
        self._thread = threading.Thread(target=work[0], args=work[1])
        self._thread.start()

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def connect(self) -> Connection:
        """Open a connection."""
        return Connection(socket.create_connection(self._listener.getsockname(), PATIENCE))

    def get(self, form: str = "text", version: str = "1.1", **headers: str) -> Connection:
        """Open a stream of the run."""
        connection = self.connect()
        connection.ask(f"/runs/{RUN}?format={form}", version=version, **headers)
        return connection

    def write(self, text: bytes) -> None:
        """Append output to the run."""
        self.writer.append(Kind.OUT, text)

    def end(self) -> None:
        """End the run well."""
        self.writer.close(End(State.SUCCEEDED, 0))

    def holds(self) -> tuple[int, int]:
        """Count the connections and the tasks of uvicorn."""
        state = self.server.server_state
        return len(state.connections), len(state.tasks)

    def watchers(self) -> int:
        """Count who watches the run."""
        return len(self.writer.journal._watchers)

    def stop(self) -> None:
        """End uvicorn, which must have nothing to wait for."""
        self.server.should_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def serving(store: Store | None = None, **options: Any) -> Iterator[Serving]:
    """Serve a living run until the block is left."""
    served = Serving(store, **options)
    try:
        yield served
    finally:
        served.stop()
        stop()


def body_of(connection: Connection) -> bytes:
    """Receive all of a response, which must be complete, and give its body."""
    _, headers = connection.head()
    body = connection.to_end()
    if "transfer-encoding" not in headers:
        return body
    data, is_complete = dechunk(body)
    assert is_complete
    return data


@pytest.mark.parametrize("form", ["text", "sse", "html", "ndjson"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_leaves_its_server_and_goes_on(form, version):
    """No task and no connection of uvicorn stay, and every line arrives, once, up to the end."""
    with serving() as served, served.get(form, version) as viewer:
        served.write(b"first\n")
        viewer.until(b"first")
        eventually(lambda: served.holds() == (0, 0))
        served.write(b"second\n")
        viewer.until(b"second")
        served.end()
        body = body_of(viewer)
        assert body.count(b"first") == body.count(b"second") == 1


def test_what_has_a_length_stays():
    """Only streams leave; a connection that is kept alive serves the next request."""
    with serving() as served, served.connect() as client:
        for _ in range(2):
            client.ask(f"/runs/{RUN}?format=json")
            _, headers = client.head()
            while len(client.received) < int(headers["content-length"]):
                client.more()
            client.received.clear()
            eventually(lambda: served.holds() == (1, 0))


async def _add(send: Any, message: Any) -> None:
    """Change the body."""
    if message["type"] == "http.response.body":
        message = {**message, "body": message.get("body", b"").upper() + b"+"}
    await send(message)


async def _name(send: Any, message: Any) -> None:
    """Say that the body is encoded."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"content-encoding", b"x")]
    await send(message)


@pytest.mark.parametrize("change", [_add, _name])
def test_what_middleware_changes_stays(change):
    """It is asked for each part of the body, as if there were no engine."""
    with serving() as served:
        inner = served.app

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            await inner(scope, receive, lambda message: change(send, message))

        served.app = outer
        with served.get("sse", Connection="close") as viewer:
            served.write(b"first\n")
            viewer.until(b"FIRST" if change is _add else b"first")
            assert served.holds() == (1, 1)
            served.end()
            body_of(viewer)


def test_middleware_that_passes_all_on_is_left_behind():
    """Starlette's, which runs what it is around in a task of its own."""

    async def pass_on(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["seen"] = "yes"
        return response

    with serving() as served:
        served.app = BaseHTTPMiddleware(served.app, pass_on)
        with served.get("sse") as viewer:
            served.write(b"first\n")
            viewer.until(b"first")
            eventually(lambda: served.holds() == (0, 0))
            assert viewer.head()[1]["seen"] == "yes"


def test_what_is_to_be_done_behind_a_response_is_done_behind_its_end():
    """A stream with tasks for the background stays with its server."""
    done = threading.Event()
    with serving() as served:
        app = FastAPI()

        @app.get("/runs/{run}")
        async def show(request: Request, run: str, tasks: BackgroundTasks) -> Any:
            tasks.add_task(done.set)
            return respond(request, Run(served.store, run), store=served.store)

        served.app = app
        with served.get("sse", Connection="close") as viewer:
            served.write(b"first\n")
            viewer.until(b"first")
            assert not done.is_set()
            served.end()
            body_of(viewer)
            assert done.wait(PATIENCE)


def test_a_second_request_does_not_get_into_the_first_response():
    """Sent before that ended, it is left unanswered, as RFC 9112, section 9.3.2, foresees."""
    with serving() as served, served.get() as viewer:
        viewer.ask(f"/runs/{RUN}?format=json")
        served.write(b"first\n")
        viewer.until(b"first\n")
        viewer.ask(f"/runs/{RUN}?format=json")
        served.end()
        assert body_of(viewer) == b"first\n"


def test_viewers_do_not_count_as_connections():
    """They leave room for others, where uvicorn limits them."""
    with serving(limit_concurrency=2) as served, contextlib.ExitStack() as stack:
        served.write(b"first\n")
        for _ in range(5):
            stack.enter_context(served.get()).until(b"first\n")
            eventually(lambda: served.holds() == (0, 0))


def list_recorded() -> list[bytes]:
    """List what is remembered of responses."""
    gc.collect()
    return [each.written for each in gc.get_objects() if type(each) is _Recorder]


def test_where_there_is_no_engine_the_server_goes_on(tmp_path, monkeypatch):
    """What opens a stream was sent already, and is not sent again; nothing behind it is kept."""
    monkeypatch.setenv("OUTLIVE_ENGINE", "process")
    store = DirectoryStore(tmp_path / "store")
    # One that could not be had is not asked for again at once.
    find_process(store.path)._retry_at = math.inf
    with serving(store) as served, served.get("sse", Connection="close") as viewer:
        served.write(b"first\n")
        viewer.until(b"first")
        assert served.holds() == (1, 1)
        assert not any(b"first" in recorded for recorded in list_recorded())
        served.end()
        body = body_of(viewer)
        assert body.count(b"event: start") == body.count(b"first") == 1


def test_a_client_that_leaves_is_noticed():
    """By the engine; nobody watches any more."""
    with serving() as served:
        served.write(b"first\n")
        with served.get() as viewer:
            viewer.until(b"first\n")
            assert served.watchers() == 1
        eventually(lambda: served.watchers() == 0)


def workers(served: Served) -> set[int]:
    """List the processes that uvicorn started to serve."""
    found = platforms.list_processes().values()
    children = {process.pid for process in found if process.parent == served.process.pid}
    return {pid for pid in children if b"spawn_main" in read_process(pid, "cmdline")}


def test_workers_that_are_killed_take_no_viewer_along(tmp_path):
    """Connections are the engine's, which is a process of its own; others come in their place."""
    kind = SERVERS["FastAPI on uvicorn with our protocol"]
    with (
        Served(kind._replace(options=f"{kind.options} --workers 2"), tmp_path) as served,
        contextlib.ExitStack() as stack,
    ):
        writer = served.store.create(RunRecord(id=RUN, title="served", started_at=0))
        path = f"/live/runs/{RUN}?format=sse"
        viewers = [stack.enter_context(served.ask(path)) for _ in range(6)]
        writer.append(Kind.OUT, b"first\n")
        for viewer in viewers:
            viewer.until(b"first")
        assert served.handed_over() == 6
        eventually(lambda: len(workers(served)) == 2)
        old = workers(served)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(workers(served) - old) == 2)
        writer.append(Kind.OUT, b"second\n")
        writer.close(End(State.SUCCEEDED, 0))
        for viewer in viewers:
            body = viewer.to_end()
            assert body.count(b"first") == body.count(b"second") == 1
            assert b"event: end" in body


def _make_context(*_: Any) -> ssl.SSLContext:
    """Make the one kind of TLS that needs no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


def test_what_is_encrypted_stays():
    """The engine knows plain sockets only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    with serving(ssl_context_factory=_make_context) as served:
        plain = served.connect()
        with Connection(context.wrap_socket(plain.sock)) as viewer:
            viewer.ask(f"/runs/{RUN}?format=text", Connection="close")
            served.write(b"first\n")
            viewer.until(b"first\n")
            assert served.holds() == (1, 1)
            served.end()
            assert body_of(viewer) == b"first\n"
