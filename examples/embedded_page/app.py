"""A page of one's own that shows a run: by our page in a frame, and by a few lines of script."""

import os
import time

import flask
from werkzeug import Response

import outlive
from outlive.adapters.flask import PUBLIC, Outlive

SECONDS = float(os.environ.get("SECONDS", "0.1"))
PARTS = {"Compile": 60, "Test": 100, "Pack": 30}

app = flask.Flask(__name__, template_folder=".")
Outlive(app, url_prefix="/live", access=PUBLIC)


def build() -> None:
    """Do what takes long, in stages."""
    for name, count in PARTS.items():
        for number in outlive.track(range(1, count + 1), stage=name, total=count, unit="files"):
            time.sleep(SECONDS)
            print(f"{name}: file {number:3} of {count}")
    print("\033[32mThe build is <good>.\033[0m")


@app.get("/")
def index() -> str:
    """Show a button."""
    return flask.render_template("page.html", run=None)


@app.post("/builds")
def start() -> Response:
    """Start a build, unless one goes on, and go to its page."""
    run = outlive.start(build, title="Build", key="build")
    return flask.redirect(flask.url_for("show", run=run.id), 303)


@app.get("/builds/<run>")
def show(run: str) -> str:
    """Show a build."""
    return flask.render_template("page.html", run=run)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
