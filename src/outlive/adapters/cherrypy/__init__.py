"""Outlive in a CherryPy application: page handlers that start work, and the whole page."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import ConfigError
from ...surroundings import Around, Place, Surroundings, join
from ...web.access import PUBLIC, Access
from ...web.answers import answer
from ...web.messages import Request, Stream
from ..base import Mark, Work, check_access, make_site
from ..base import respond as respond_to
from ..environs import Environ, Pump, find_connection, find_seats, open_stream, read_environ, send

try:
    import cherrypy
    from cherrypy.lib.encoding import ResponseEncoder
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "CherryPy is missing: pip install cherrypy", name="cherrypy"
    ) from None

from .requests import current_request
from .sessions import save_session
from .uploads import receive

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

__all__ = ["PUBLIC", "application", "receive", "respond"]

#: Just before `tools.sessions` saves.
_BEFORE_SAVING = 49


class _Application(Surroundings):
    """The current application: where it keeps runs, and what CherryPy gives to each thread."""

    def store(self) -> Place:
        config = cherrypy.serving.request.config or cherrypy.config
        found: Place = config.get("outlive.store")
        return found

    def around_work(self) -> Around | None:
        return _join_threads


@contextlib.contextmanager
def _join_threads() -> Iterator[None]:
    """Be a thread of CherryPy's, so that those who wait for one, with a connection, hear of it."""
    cherrypy.engine.publish("acquire_thread")
    try:
        yield
    finally:
        cherrypy.engine.publish("release_thread")


join(_Application())
# Or it warns of a setting that nobody knows.
cherrypy.checker.extra_config_namespaces.append("outlive")


def application(*, access: Access, store: Place = None) -> WSGIApplication:
    """Make the whole API and page of a store: `cherrypy.tree.graft(application(access=…), "/live")`.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs;
    PUBLIC lets everybody. The store is by default that of `outlive.start`: of the setting
    `outlive.store`, where there is one.
    """
    check_access(access)

    def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # Not before: the settings may come after what is mounted.
        response = answer(_read_request(environ), make_site(access, store))
        return send(response, environ, start_response, _is_ending)

    return serve


def respond(work: Work, *, store: Place = None, mark: Mark | None = None) -> Iterable[bytes]:
    r"""Answer the current request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice. The page handler then takes what the URL of its
    run says: `def show(self, **_)`.

    Args:
        work: A run, a callable that returns one, as `lambda: outlive.start(job)` does, or
            `outlive.activity()`.
        store: Where the callable starts its runs; by default that of `outlive.start`.
        mark: In text, what breaks a silence, and after how many seconds: `(5, "*** Interval\n")`.
    """
    if callable(work):
        _check_handler(cherrypy.serving.request.handler)
    environ = current_request().wsgi_environ
    response = respond_to(_read_request(environ), work, store=store, mark=mark)
    cherrypy.serving.response.status = response.status
    for name, value in response.headers:
        cherrypy.serving.response.headers[name] = value
    # Of what has no length, not even one of zero is told for HEAD.
    cherrypy.serving.response.stream = "Content-Length" not in dict(response.headers)
    return _stream(response.body, environ) if isinstance(response.body, Stream) else [response.body]


def _read_request(environ: Environ) -> Request:
    """Translate a request; of the threads of CherryPy's own server, one is left for all else."""
    threads = cherrypy.server.thread_pool if cherrypy.server.running else None
    return replace(read_environ(environ), seats=find_seats(environ, threads))


def _check_handler(handler: object) -> None:
    """Refuse a page handler that CherryPy would not call with the cursor in the URL of its run."""
    while isinstance(handler, ResponseEncoder):
        handler = handler.oldhandler
    view = getattr(handler, "callable", None)
    if view is not None and inspect.getfullargspec(view).varkw is None:
        name = getattr(view, "__name__", "it")
        raise ConfigError(
            f"a page handler that starts work takes what its run's URL says, as in {name}(self, **_)"
        )


def _stream(stream: Stream, environ: Environ) -> Iterable[bytes]:
    """Open a stream, and keep it from tools that want a body as a whole."""
    request = cherrypy.serving.request
    request.hooks.attach("before_finalize", save_session, priority=_BEFORE_SAVING)
    # `tools.gzip` compresses nothing twice, `tools.etags` makes no second tag.
    request.cached, cherrypy.serving.response.ETag = True, None
    if isinstance(request.handler, ResponseEncoder):
        # `tools.encode` would call UTF-8 whatever a client prefers.
        request.handler.add_charset = False
    return _cut_quietly(open_stream(stream, environ, _is_ending), environ)


def _cut_quietly(pump: Pump, environ: Environ) -> Iterator[bytes]:
    """End a stream that is cut short without an error, which CherryPy would log at length."""
    try:
        yield from pump
        # Not a `finally`: what is left before its end is closed by `yield from`.
        if hasattr(pump, "close"):
            pump.close()
    except ConnectionResetError:
        connection = find_connection(environ)
        if connection is None:
            raise
        # The server now cannot write the end of a complete response.
        with socket.socket(fileno=os.dup(connection.fileno())) as end, contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    finally:
        pump.close()


def _is_ending() -> bool:
    """Tell whether the engine was asked to stop: it would wait for streams."""
    states = cherrypy.engine.states
    return cherrypy.engine.state in (states.STOPPING, states.EXITING)
