"""Outlive on Flask: runs of other processes below /live, and a command that viewers share."""

import os
import sys
from pathlib import Path

import flask
from computing import compute

import outlive
from outlive.adapters.flask import PUBLIC, Outlive, respond

app = flask.Flask(__name__)
Outlive(app, url_prefix="/live", access=PUBLIC)
WORK = str(Path(__file__).parents[2] / "programs" / "work.py")
compute()


@app.get("/")
def greet() -> str:
    """Answer an ordinary request."""
    return "hello"


@app.get("/command")
def command() -> flask.Response:
    """Show the command: the first who comes starts it."""
    settings = (os.environ[name] for name in ("GO", "RATE", "LINES"))
    argv = [sys.executable, "-u", WORK, *settings]
    return respond(lambda: outlive.start_command(argv, key="command"))
