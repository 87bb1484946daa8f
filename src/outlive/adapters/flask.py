"""Outlive in a Flask application: views that start work, and the whole page."""

from __future__ import annotations

import contextvars
from dataclasses import replace

from ..web.access import PUBLIC, Access
from ..web.answers import answer
from ..web.messages import Response
from .base import Environ, Mark, Place, Work, make_site, open_body, read_environ
from .base import respond as respond_to

try:
    import flask
except ModuleNotFoundError:
    raise ModuleNotFoundError("Flask is missing: pip install flask", name="flask") from None

__all__ = ["PUBLIC", "Outlive", "respond"]


class Outlive:
    """The whole API and page of a store, under a prefix of an application.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs, and
    may use Flask's own `request` and `session`; PUBLIC lets everybody. The store is by default
    that of `outlive.start`.
    """

    def __init__(
        self, app: flask.Flask, *, access: Access, url_prefix: str = "/runs", store: Place = None
    ) -> None:
        self._site = make_site(access, store)
        self._prefix = url_prefix.rstrip("/")
        for rule in ("", "/", "/<path:_>"):
            app.add_url_rule(
                f"{self._prefix}{rule}" or "/", "outlive", self._serve, methods=["GET", "POST"]
            )

    def _serve(self, _: str = "") -> flask.Response:
        environ = flask.request.environ
        request = read_environ(environ)
        path = request.path.removeprefix(self._prefix)
        request = replace(request, prefix=request.prefix + self._prefix, path=path)
        # What streams is still filtered when Flask has left the request.
        keep = contextvars.copy_context().run
        may = self._site.access
        site = replace(self._site, access=lambda *asked: keep(may, *asked))
        return _translate(answer(request, site), environ)


def respond(work: Work, *, store: Place = None, mark: Mark | None = None) -> flask.Response:
    r"""Answer the current request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice.

    Args:
        work: A run, or a callable that returns one, as `lambda: outlive.start(job)` does.
        store: Where the callable starts its runs; by default that of `outlive.start`.
        mark: In text, what breaks a silence, and after how many seconds: `(5, "*** Interval\n")`.
    """
    environ = flask.request.environ
    return _translate(respond_to(read_environ(environ), work, store=store, mark=mark), environ)


def _translate(response: Response, environ: Environ) -> flask.Response:
    # What passes through directly is not collected, whatever comes after the view.
    return flask.Response(
        open_body(response, environ),
        response.status,
        list(response.headers),
        direct_passthrough=True,
    )
