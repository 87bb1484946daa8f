"""Flask and shelljob: a process for each visit, its lines as events.

Written anew from what the seed says it does; gevent's own server of gunicorn patches what eventlet
had to be asked to, and lines are bytes since Python 3.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import flask
from shelljob import proc

app = flask.Flask(__name__)
WORK = str(Path(__file__).parents[2] / "programs" / "work.py")


@app.get("/stream")
def stream() -> flask.Response:
    """Start the command, and show what it writes."""
    group = proc.Group()
    settings = (os.environ[name] for name in ("GO", "RATE", "LINES"))
    group.run([sys.executable, "-u", WORK, *settings])

    def read() -> Iterator[bytes]:
        while group.is_pending():
            for _, line in group.readlines():
                yield b"data:" + line + b"\n\n"

    return flask.Response(read(), mimetype="text/event-stream")
