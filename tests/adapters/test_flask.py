"""What is Flask's own: contexts, errors, sessions."""

import io
import sqlite3
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient

import outlive
from outlive.adapters.flask import PUBLIC, Outlive, receive, respond
from outlive.errors import ConfigError
from outlive.stores import DirectoryStore, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Make a store."""
    return DirectoryStore(tmp_path)


def print_contexts() -> None:
    """Tell what is there of Flask."""
    print(flask.has_request_context(), flask.current_app.name, "user" in flask.g)
    flask.g.user = "work"


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_work_has_the_application_but_nothing_of_the_request(store, kind):
    """It goes on when that is long over; what it opened is closed when it is."""
    app, closed = flask.Flask("shop"), []

    async def print_in_task() -> None:
        print_contexts()

    @app.get("/")
    def view() -> flask.Response:
        flask.g.user = "view"
        work = print_contexts if kind == "thread" else print_in_task
        return respond(lambda: outlive.start(work, store=store), store=store)

    @app.teardown_appcontext
    def close(_: object) -> None:
        closed.append(flask.g.user)

    assert app.test_client().get("/").data == b"False shop False\n"
    assert sorted(closed) == ["view", "work"]


@pytest.mark.parametrize("way", ["start", "receive", "fail"])
def test_a_database_that_work_opens_is_closed_before_its_end(store, way):
    """As Flask's own documentation keeps one: in `flask.g`, closed by a teardown."""
    app, opened = flask.Flask("shop"), []

    def work(*_: object) -> None:
        flask.g.database = sqlite3.connect(":memory:", check_same_thread=False)
        opened.append(flask.g.database)
        assert flask.url_for("view", _external=False)
        assert way != "fail"

    @app.teardown_appcontext
    def close(_: object) -> None:
        if "database" in flask.g:
            flask.g.database.close()

    @app.post("/")
    def view() -> str:
        run = receive(work, store=store) if way == "receive" else outlive.start(work, store=store)
        return run.wait(30)

    app.config["SERVER_NAME"] = "localhost"
    state = "failed" if way == "fail" else "succeeded"
    assert app.test_client().post("/", data=b"x").text == state
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("select 1")


def receiving(store: Store, **options) -> FlaskClient:
    """Make an application whose one view receives a file."""
    app = flask.Flask(__name__)

    @app.post("/")
    def view() -> dict:
        if "early" in flask.request.args:
            assert flask.request.form["by"]
        run = receive(lambda file: print(file.name, file.read()), store=store, **options)
        run.wait(30)
        form = flask.request.form.to_dict()
        return {"text": run.text(), "form": form, "files": list(flask.request.files)}

    return app.test_client()


def form(**more) -> dict:
    """Fill in a form with two files."""
    files = {"a": (io.BytesIO(b"first"), "a.txt"), "b": (io.BytesIO(b"second"), "b.txt")}
    return {"none": (io.BytesIO(b""), ""), **files, "by": "me", **more}


@pytest.mark.parametrize("url", ["/", "/?early=1"])
@pytest.mark.parametrize(
    ("field", "text"), [(None, "a.txt b'first'\n"), ("b", "b.txt b'second'\n")]
)
def test_a_view_receives_one_file_of_a_form(store, url, field, text):
    """The first, or that of a field; also where the form was looked at before, then at once."""
    answer = receiving(store, field=field).post(url, data=form()).get_json()
    assert answer["text"] == text
    assert answer["form"] == {"by": "me"}
    assert {"a", "b"} <= set(answer["files"])


@pytest.mark.parametrize("url", ["/", "/?early=1"])
def test_a_form_without_the_file_is_refused(store, url):
    """It is named."""
    answer = receiving(store, field="c").post(url, data=form())
    assert (answer.status_code, "file in its field 'c'" in answer.text) == (400, True)
    assert store.records() == []


def test_a_file_that_is_too_large_is_refused(store):
    """By Flask's own limit on a request, before anything begins, and by that of the view."""
    client = receiving(store, limit=3)
    answer = client.post("/", data={"a": (io.BytesIO(b"long"), "a.txt")})
    assert (answer.status_code, answer.text) == (413, "the upload is larger than 3 bytes\n")
    assert [record.end.error for record in store.records()] == [answer.text.strip()]
    client.application.config["MAX_CONTENT_LENGTH"] = 3
    assert client.post("/", data=form()).status_code == 413
    assert len(store.records()) == 1


def test_whoever_uploads_is_sent_to_the_run(store):
    """And may reload it; who only goes there has nothing to upload."""
    app = flask.Flask(__name__)

    @app.route("/", methods=["GET", "POST"])
    def view() -> flask.Response:
        return respond(lambda: receive(lambda file: print(file.read()), store=store), store=store)

    client = app.test_client()
    assert client.get("/").status_code == 400
    answer = client.post("/", data={"a": (io.BytesIO(b"abc"), "a.txt")})
    assert answer.status_code == 303
    for _ in range(2):
        assert client.get(f"/{answer.location}").data == b"b'abc'\n"
    assert len(store.records()) == 1


def test_a_form_that_is_cut_short_starts_nothing(store):
    """Even where the server does not notice."""
    body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.txt"\r\n\r\nabc'
    answer = receiving(store).post(
        "/", input_stream=io.BytesIO(body), content_type="multipart/form-data; boundary=x"
    )
    assert answer.status_code == 400
    assert answer.text.startswith("the form is damaged: ")
    [record] = store.records()
    assert record.end.error == f"the upload ended after 3 of {len(body)} bytes"


def test_the_setting_of_an_application_names_its_store(tmp_path, monkeypatch):
    """Whichever application it is, and wherever it starts work."""
    monkeypatch.chdir(tmp_path)
    apps = {name: flask.Flask(name) for name in "ab"}
    for name, app in apps.items():
        Outlive(app, access=PUBLIC, url_prefix="/live")
        app.add_url_rule("/", "view", lambda: respond(lambda: outlive.start(print_contexts)))
        app.config["OUTLIVE_STORE"] = tmp_path / name
        assert app.test_client().get("/").data == f"False {name} False\n".encode()
    for app in apps.values():
        answer = app.test_client().get("/live/", headers={"Accept": "application/json"})
        assert len(answer.get_json()["runs"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_flasks_own_errors_are_answered_by_flask(store):
    """A view may refuse while it starts."""
    app = flask.Flask(__name__)

    @app.get("/")
    def view() -> flask.Response:
        return respond(lambda: flask.abort(418), store=store)

    assert app.test_client().get("/").status_code == 418


def test_no_length_is_told_of_what_a_head_would_bring(store):
    """Nobody knows it, and it must not be another one than that of GET (RFC 9110, section 8.6)."""
    app = flask.Flask("shop")
    app.add_url_rule("/", "view", lambda: respond(lambda: outlive.start(print), store=store))
    Outlive(app, url_prefix="/live", access=PUBLIC, store=store)
    client = app.test_client()
    assert "Content-Length" not in client.head("/").headers
    assert "Content-Length" not in client.head("/live/activity").headers
    assert client.get("/live/static/page.css").content_length > 0


def test_what_comes_after_a_view_is_heard(store):
    """A session, a header: the framework answers, not we."""
    app = flask.Flask(__name__)
    app.secret_key = "x"
    Outlive(app, access=PUBLIC, url_prefix="/live/", store=store)

    @app.after_request
    def mark(response: flask.Response) -> flask.Response:
        flask.session["seen"] = True
        return response

    response = app.test_client().get("/live/activity?time=2030-01-01T00:00:00Z&format=x")
    assert response.status_code == 400
    assert "session" in response.headers["Set-Cookie"]


def test_the_page_may_be_all_there_is(store):
    """Without a prefix."""
    app = flask.Flask(__name__, static_folder=None)
    Outlive(app, access=PUBLIC, url_prefix="/", store=store)
    client = app.test_client()
    assert client.get("/", headers={"Accept": "text/html"}).status_code == 200
    assert client.get("/static/page.css").status_code == 200
    assert client.delete("/").status_code == 405


def test_access_may_refuse_as_a_view_does(store):
    """With an answer of Flask's: to log in first, for example."""
    app = flask.Flask(__name__)
    Outlive(app, access=lambda *_: flask.abort(flask.redirect("/login")), store=store)
    answer = app.test_client().get("/runs/")
    assert (answer.status_code, answer.location) == (302, "/login")


def test_access_must_be_given(store):
    """Nothing is open by mistake."""
    with pytest.raises(TypeError, match="access"):
        Outlive(flask.Flask(__name__), store=store)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="access"):
        Outlive(flask.Flask(__name__), access=True, store=store)  # type: ignore[arg-type]
