"""The output of a command, live: as text for `curl`, as events for a page."""

import os
import shlex

import flask

import outlive
from outlive.adapters.flask import respond

LOOP = "for ((i=0;i<100;i=i+1)); do echo $i; sleep 1; done"
COMMAND = shlex.split(os.environ.get("COMMAND", "")) or ["bash", "-c", LOOP]
TIMEOUT = float(os.environ.get("TIMEOUT", "3600"))
INTERVAL = float(os.environ.get("INTERVAL", "5"))

app = flask.Flask(__name__)


def start() -> outlive.Run:
    """Start the command; who comes while it goes on gets the same run."""
    return outlive.start_command(COMMAND, key="command", timeout=TIMEOUT)


@app.get("/stream")
def stream() -> flask.Response:
    """Show what the command writes, and in text its silences."""
    return respond(start, mark=(INTERVAL, "*** Interval\n"))


@app.get("/page")
def page() -> flask.Response:
    """Show a page that listens to it."""
    return flask.send_file("page.html")


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
