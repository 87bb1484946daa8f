"""What the environ of a request leads to, whatever its server is called."""

import io
import socket
from wsgiref.validate import InputWrapper

import pytest
from django.core.handlers.wsgi import LimitedStream

from outlive.adapters.environs import find_connection


class Wrapper:
    """A file around a file, as middleware makes them; it refers to itself, too."""

    def __init__(self, file) -> None:
        self.inner = file
        self.me = self

    def read(self, size):
        """Read from the file within."""
        return self.inner.read(size)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda file: file,
        InputWrapper,
        lambda file: LimitedStream(file, 0),
        lambda file: Wrapper(LimitedStream(InputWrapper(file), 0)),
    ],
    ids=["wsgiref", "validator", "runserver", "middleware"],
)
def test_the_connection_is_what_the_body_is_read_from(wrap):
    """Behind whatever wraps it."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as file:
        assert find_connection({"wsgi.input": wrap(file)}) is ours


def test_a_server_may_name_the_connection():
    """As gunicorn and Werkzeug do: then nothing else is looked at."""
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as file:
        assert find_connection({"x.socket": ours, "wsgi.input": file}) is ours
        assert find_connection({"x.socket": "/run/x", "wsgi.input": file}) is theirs


@pytest.mark.parametrize("file", [None, io.BytesIO(), Wrapper(io.BytesIO()), Wrapper(None)])
def test_a_body_that_is_kept_elsewhere_leads_nowhere(file):
    """A test's client has no connection, and waitress keeps bodies in files."""
    assert find_connection({"wsgi.input": file}) is None
