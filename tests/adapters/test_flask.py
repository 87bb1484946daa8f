"""What is Flask's own: contexts, errors, sessions."""

import subprocess
import sys
from pathlib import Path

import flask
import pytest

import outlive
from outlive.adapters.flask import PUBLIC, Outlive, respond
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


def test_access_must_be_given(store):
    """Nothing is open by mistake."""
    with pytest.raises(TypeError, match="access"):
        Outlive(flask.Flask(__name__), store=store)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="access"):
        Outlive(flask.Flask(__name__), access=True, store=store)  # type: ignore[arg-type]


def test_where_flask_is_missing_the_error_tells_what_to_do():
    """In one line."""
    code = "import sys; sys.modules['flask'] = None; import outlive.adapters.flask"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.endswith("ModuleNotFoundError: Flask is missing: pip install flask\n")
