"""What is CherryPy's own: its tools, its settings and threads, its engine."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cherrypy
import pytest
from cheroot.wsgi import Server as CherootServer

import outlive
from outlive.adapters.cherrypy import PUBLIC, application, receive, respond
from outlive.entries import Kind, RunRecord
from outlive.errors import ConfigError
from outlive.runs import find_run
from outlive.stores import DirectoryStore, MemoryStore
from tests.adapters.serving import SERVERS, Served, body_of
from tests.helpers import eventually
from tests.standalone.servers import PATIENCE, RUN, SUCCEEDED, Connection

ALL_TOOLS = {
    "tools.gzip.on": True,
    "tools.encode.on": True,
    "tools.encode.encoding": "utf-8",
    "tools.etags.on": True,
    "tools.etags.autotags": True,
    "tools.caching.on": True,
    "tools.sessions.on": True,
    "tools.expires.on": True,
    "tools.response_headers.on": True,
    "tools.response_headers.headers": [("X-Marked", "yes")],
}


class Root:
    """An application that shows a run which the test writes."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.writer = self.store.create(RunRecord(id=RUN, title="x", started_at=1))
        self.writer.append(Kind.OUT, "één\n".encode())
        self.started = 0

    @cherrypy.expose
    def show(self, **_: str):
        """Show the run, and count in the session."""
        if hasattr(cherrypy.serving, "session"):
            cherrypy.session["shown"] = cherrypy.session.get("shown", 0) + 1
        return respond(find_run(self.store, RUN))

    @cherrypy.expose
    def start(self, **_: str):
        """Start work."""
        self.started += 1
        return respond(lambda: outlive.start(print, "one", store=self.store), store=self.store)

    @cherrypy.expose
    def rigid(self):
        """Start work that nobody could reload."""
        return respond(lambda: outlive.start(print, store=self.store), store=self.store)

    @cherrypy.expose
    def refuse(self, **_: str):
        """Refuse to start work."""

        def fail() -> outlive.Run:
            raise cherrypy.HTTPError(418)

        return respond(fail, store=self.store)

    @cherrypy.expose
    def add(self) -> bytes:
        """Change the session, and tell what is in it."""
        cherrypy.session["added"] = cherrypy.session.get("added", 0) + 1
        return repr(sorted(cherrypy.session.items())).encode()

    def _receive(self, **options: Any) -> bytes:
        run = receive(lambda file: print(file.name, file.read()), store=self.store, **options)
        run.wait(PATIENCE)
        return run.text().encode()

    @cherrypy.expose
    def parsed(self, field: str | None = None, **_: Any) -> bytes:
        """Receive a file of the form that CherryPy has parsed."""
        return self._receive(field=field)

    @cherrypy.expose
    @cherrypy.config(**{"request.process_request_body": False})
    def arriving(self, field: str | None = None, limit: str = "1000000") -> bytes:
        """Receive a file of the form as it comes, and tell what else there is."""
        if hasattr(cherrypy.serving, "session"):
            cherrypy.session["before"] = 1
        said = self._receive(field=field, limit=int(limit))
        if hasattr(cherrypy.serving, "session"):
            cherrypy.session["after"] = 1
        return said + cherrypy.request.params["by"].encode()

    def watchers(self) -> int:
        """Count the streams that are open."""
        return len(self.writer.journal._watchers)

    def end(self) -> None:
        """Write a last line, and end."""
        self.writer.append(Kind.OUT, b"two\n")
        self.writer.close(SUCCEEDED)


def close_parts() -> None:
    """Close the files of a form, which CherryPy leaves to the garbage."""
    for part in cherrypy.request.body.params.values():
        if hasattr(part, "file") and hasattr(part.file, "close"):
            part.file.close()


class Serving:
    """A server of CherryPy's, without its engine."""

    def __init__(self, root: object, config: dict[str, Any]) -> None:
        config = {"hooks.on_end_request": close_parts, **config}
        application = cherrypy.Application(root, "/app", {"/": config})
        self.server = CherootServer(("127.0.0.1", 0), application)
        self.server.prepare()
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> Connection:
        """Ask for a path of the application."""
        connection = Connection(socket.create_connection(self.server.bind_addr, PATIENCE))
        connection.ask(f"/app{path}", method, Connection="close", **headers)
        return connection

    def stop(self) -> None:
        """End it, and have CherryPy forget its threads, as its engine does."""
        self.server.stop()
        self._thread.join(PATIENCE)
        cherrypy.engine.thread_manager.stop()


@contextlib.contextmanager
def serving(root: object, **config: Any) -> Iterator[Serving]:
    """Serve an application until the block is left."""
    served = Serving(root, {name.replace("__", "."): value for name, value in config.items()})
    try:
        yield served
    finally:
        served.stop()


def cookie_of(headers: dict[str, str]) -> str:
    """Get the cookie that a response sets."""
    return headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "text/event-stream"])
def test_tools_leave_a_stream_as_it_is(accept):
    """Each line comes before the next is written, as it was written, and not once more later."""
    root = Root()
    asked = {"Accept": accept, "Accept_Encoding": "gzip", "Accept_Charset": "iso-8859-1"}
    with serving(root, **ALL_TOOLS) as served, contextlib.ExitStack() as stack:
        for _ in range(2):
            viewer = stack.enter_context(served.ask("/show", **asked))
            _, headers = viewer.head()
            viewer.until("één".encode())
            assert "content-encoding" not in headers or headers["content-encoding"] == "identity"
            assert headers["content-type"] == f"{accept}; charset=utf-8"
            assert headers["x-marked"] == "yes"
            assert "etag" not in headers
        root.end()
        assert b"two" in viewer.to_end()


def test_a_viewer_who_leaves_is_forgotten_whatever_tools_wrapped(capfd, caplog):
    """The pump is closed, though a tool keeps it."""
    root = Root()
    with serving(root, **ALL_TOOLS) as served:
        for _ in range(2):
            with served.ask("/show") as viewer:
                viewer.until("één".encode())
        eventually(lambda: root.watchers() == 0)
    assert "Traceback" not in capfd.readouterr().err + caplog.text


@pytest.mark.parametrize("storage", ["ram", "file"])
def test_a_stream_locks_no_session(storage, tmp_path, caplog):
    """What was written before it is there, and what others write while it lasts remains."""
    root = Root()
    config = {"tools.sessions.on": True, "tools.sessions.storage_type": storage}
    with serving(root, **config, **{"tools.sessions.storage_path": str(tmp_path)}) as served:
        with served.ask("/add") as visitor:
            cookie = cookie_of(visitor.head()[1])
        with served.ask("/show", Cookie=cookie) as viewer:
            viewer.until("één".encode())
            with served.ask("/add", Cookie=cookie) as visitor:
                assert body_of(visitor) == b"[('added', 2), ('shown', 1)]"
            root.end()
            viewer.to_end()
        with served.ask("/add", Cookie=cookie) as visitor:
            assert body_of(visitor) == b"[('added', 3), ('shown', 1)]"
    assert "Traceback" not in caplog.text


def test_head_has_no_length_and_starts_nothing():
    """As the stream would have none."""
    root = Root()
    with serving(root, **ALL_TOOLS) as served, served.ask("/start", "HEAD") as viewer:
        status, headers = viewer.head()
        assert (status, viewer.to_end()) == (200, b"")
    assert "content-length" not in headers
    assert len(root.store.records()) == 1


def test_a_view_must_take_what_its_runs_url_says():
    """CherryPy gives it to the page handler; the first visit tells, and not the first reload."""
    root = Root()
    for tools in ({}, ALL_TOOLS):
        with serving(root, **tools) as served, served.ask("/rigid") as viewer:
            assert "as in rigid(self, **_)" in body_of(viewer).decode()
    assert len(root.store.records()) == 1


def test_cherrypys_own_errors_are_answered_by_cherrypy():
    """A view may refuse while it starts."""
    with serving(Root()) as served, served.ask("/refuse") as viewer:
        assert viewer.head()[0] == 418


def test_settings_name_the_store(tmp_path, monkeypatch):
    """Of the application whose request it is, or of all, also for what is mounted before."""
    live = application(access=PUBLIC)
    monkeypatch.setitem(cherrypy.config, "outlive.store", str(tmp_path / "all"))

    class Starting:
        @cherrypy.expose
        def index(self, **_: str):
            """Start work where the settings say."""
            return respond(lambda: outlive.start(print, title="ours"))

    for config, folder in (({}, "all"), ({"outlive.store": str(tmp_path / "own")}, "own")):
        with serving(Starting(), **config) as served, served.ask("/") as viewer:
            viewer.to_end()
        assert [run.title for run in DirectoryStore(tmp_path / folder).records()] == ["ours"]
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_ACCEPT": "application/json"}
    body = b"".join(live(environ, lambda *_: print))
    assert body.count(b'"ours"') == 1


def test_work_is_a_thread_of_cherrypys():
    """Whoever opens a connection for each thread does so for work, too, and closes it."""
    heard: list[str] = []

    def begin(_: int) -> None:
        cherrypy.thread_data.connection = "open"
        heard.append("start")

    def end(_: int) -> None:
        heard.append("stop")

    cherrypy.engine.subscribe("start_thread", begin)
    cherrypy.engine.subscribe("stop_thread", end)
    try:
        run = outlive.start(lambda: print(cherrypy.thread_data.connection), store=MemoryStore())
        run.wait(PATIENCE)
    finally:
        cherrypy.engine.unsubscribe("start_thread", begin)
        cherrypy.engine.unsubscribe("stop_thread", end)
    assert run.text() == "open\n"
    assert heard == ["start", "stop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_request_to_end_is_enough(number, tmp_path):
    """Streams of views and of the page are cut, and can be seen to be; the work is waited for."""
    kind = SERVERS["CherryPy on its own server"]._replace(version="1.1")
    with (
        Served(kind, tmp_path) as served,
        served.ask("/steps/x") as view,
        served.ask("/live/activity?format=sse") as activity,
    ):
        served.step("x", 1)
        view.until(b"line 1\n")
        activity.until(b"event: start")
        served.process.send_signal(number)
        for viewer in (view, activity):
            assert not viewer.to_end().endswith(b"0\r\n\r\n")
        served.step("x", "end")
        served.process.wait(PATIENCE)
    assert "Traceback" not in "".join(served.said)
    [record] = served.store.records()
    assert record.as_json()["state"] == "succeeded"


def test_a_reload_waits_for_no_stream(tmp_path):
    """CherryPy starts itself anew when a file has changed, on the same address."""
    module = tmp_path / "changing.py"
    module.touch()
    root = Path(__file__).parents[2]
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "import cherrypy, changing\n"
        "from outlive.adapters.cherrypy import PUBLIC, application\n"
        "cherrypy.config.update({'server.socket_port': int(sys.argv[2]),"
        " 'engine.autoreload.frequency': 0.1})\n"
        "cherrypy.tree.graft(application(access=PUBLIC, store='memory:'), '')\n"
        "cherrypy.engine.signals.subscribe(); cherrypy.engine.start(); cherrypy.engine.block()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(program), str(root), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "Bus STARTED" in line:
                break
        with Connection(socket.create_connection(("127.0.0.1", port), PATIENCE)) as viewer:
            viewer.ask("/activity?format=sse", version="1.0")
            viewer.until(b"event: start")
            module.write_text("changed = True\n")
            viewer.to_end()
        said = []
        for line in process.stdout:
            said.append(line)
            if "Bus STARTED" in line:
                break
        assert any("Re-spawning" in line for line in said)
        assert "Traceback" not in "".join(said)
    finally:
        # CherryPy would lose a signal that comes amid its line of log.
        process.kill()
        process.communicate(timeout=PATIENCE)


def form(*parts: tuple[str, str]) -> bytes:
    """Fill in a form: fields, and files of what is more than a name."""
    filled = [
        f'--limit\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{name} said\r\n'
        for name, more in parts
    ]
    return "".join([*filled, "--limit--\r\n"]).encode()


FORM = form(
    ("none", '; filename=""'), ("a", '; filename="ä.txt"'), ("b", '; filename="b"'), ("by", "")
)


def post(served: Serving, path: str, body: bytes = FORM, **headers: str) -> Connection:
    """Begin to send a form."""
    media, size = "multipart/form-data; boundary=limit", str(len(body))
    return served.ask(path, "POST", Content_Type=media, Content_Length=size, **headers)


@pytest.mark.parametrize(("view", "more"), [("parsed", b""), ("arriving", b"by said")])
@pytest.mark.parametrize(
    ("query", "text"), [("", "ä.txt b'a said'\n"), ("?field=b", "b b'b said'\n")]
)
def test_a_view_receives_one_file_of_a_form(view, more, query, text):
    """The first, or that of a field; also where CherryPy has parsed the form, then at once."""
    with serving(Root()) as served, post(served, f"/{view}{query}") as client:
        client.sock.sendall(FORM)
        assert body_of(client) == text.encode() + more


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/arriving?limit=3", 413, "the upload is larger than 3 bytes\n"),
        ("/arriving?field=c", 400, "no file came: send a form (multipart/form-data) with a file"),
        ("/parsed?field=c", 400, "no file came: send a form (multipart/form-data) with a file"),
    ],
)
def test_what_is_not_received_is_refused_in_one_line(path, status, message):
    """Whatever the view's own errors look like."""
    with serving(Root()) as served, post(served, path) as client:
        client.sock.sendall(FORM)
        answer = client.head()
        assert answer[0] == status
        assert answer[1]["content-type"].startswith("text/plain")
        assert client.to_end().decode().startswith(message)
        assert client.received.count(b"\n") == 1


def test_a_form_that_is_cut_short_starts_nothing():
    """Though it is sent as if it were whole."""
    root, body = Root(), FORM[: FORM.index(b"a said") + 3]
    with serving(root) as served, post(served, "/arriving", body) as client:
        client.sock.sendall(body)
        assert client.head()[0] == 400
        assert client.to_end().startswith(b"the form is damaged: ")
    [record] = [record for record in root.store.records() if record.id != RUN]
    assert record.as_json()["state"] == "failed"


def test_an_upload_locks_no_session():
    """Whoever sends it can watch it meanwhile; the view has the session before and after it."""
    with serving(Root(), tools__sessions__on=True) as served:
        with served.ask("/add") as visitor:
            cookie = cookie_of(visitor.head()[1])
        with post(served, "/arriving", Cookie=cookie) as client:
            client.sock.sendall(FORM[:100])
            # The view may not be there yet.
            eventually(lambda: b"before" in read_session(served, cookie))
            client.sock.sendall(FORM[100:])
            assert client.head()[0] == 200
            client.to_end()
        assert b"('after', 1), ('before', 1)" in read_session(served, cookie)


def read_session(served: Serving, cookie: str) -> bytes:
    """Ask what is in a session."""
    with served.ask("/add", Cookie=cookie) as visitor:
        return body_of(visitor)


def test_access_must_be_given():
    """Nothing is open by mistake."""
    with pytest.raises(ConfigError, match="access"):
        application(access=None)  # type: ignore[arg-type]


def test_outside_of_a_page_handler_there_is_no_request():
    """The error says so."""
    for work in (lambda: respond(no_work), lambda: receive(no_work)):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="there is no request here"):
            work()


def no_work() -> None:
    """Do nothing."""
