"""A Flask application, on its development server and on others."""

import functools

import flask

from outlive.adapters.flask import Outlive, receive, respond
from tests.adapters.apps.work import PREFIX, begin, count_watchers, measure

app = flask.Flask(__name__)


def may(request, action, run) -> bool:
    """Let everybody but strangers, who are known by Flask's own request."""
    return "Stranger" not in flask.request.headers


Outlive(app, url_prefix=f"{PREFIX}/live", access=may)


@app.route(f"{PREFIX}/<any(steps, count):kind>/<name>", methods=["GET", "POST"])
def work(kind: str, name: str) -> flask.Response:
    """Start work, and show it."""
    return respond(functools.partial(begin, kind, name), mark=(0.3, "*** Interval\n"))


@app.route(f"{PREFIX}/upload/<name>", methods=["POST", "PUT"])
def upload(name: str) -> str:
    """Receive a file, and tell what else was in the form."""
    receive(measure, title=name)
    return f"received {flask.request.form.get('after')}"


@app.get(f"{PREFIX}/watchers")
def watchers() -> str:
    """Count the streams that are open."""
    return count_watchers()


@app.get("/favicon.ico")
def icon() -> tuple[str, int]:
    """Answer browsers, which ask for one where they show text."""
    return "", 204
