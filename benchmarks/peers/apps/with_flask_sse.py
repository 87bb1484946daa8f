"""Flask-SSE: its blueprint, and Redis."""

import os

import flask
from flask_sse import sse

app = flask.Flask(__name__)
app.config["REDIS_URL"] = os.environ["REDIS"]
app.register_blueprint(sse, url_prefix="/stream")
