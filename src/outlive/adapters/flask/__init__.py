"""Outlive in a Flask application: views that start work, and the whole page."""

from __future__ import annotations

import contextvars
from dataclasses import replace

from ...surroundings import Around, Place, Surroundings, join
from ...web.access import PUBLIC, Access
from ...web.answers import answer
from ...web.messages import Response
from ..base import Mark, Work, check_access, make_site
from ..base import respond as respond_to
from ..environs import Environ, open_body, read_environ

try:
    import flask
    from werkzeug.exceptions import HTTPException
    from werkzeug.serving import is_running_from_reloader
except ModuleNotFoundError:
    raise ModuleNotFoundError("Flask is missing: pip install flask", name="flask") from None

from .uploads import receive

__all__ = ["PUBLIC", "Outlive", "receive", "respond"]


class _Application(Surroundings):
    """The current application: where it keeps runs, and its context for work."""

    def store(self) -> Place:
        return flask.current_app.config.get("OUTLIVE_STORE") if flask.has_app_context() else None

    def around_work(self) -> Around | None:
        if not flask.has_app_context():
            return None
        # A fresh one, and not the request's: what teardown closes is the work's own.
        application: flask.Flask = flask.current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - Flask's own way
        return application.app_context

    def is_reloaded(self) -> bool:
        return is_running_from_reloader()


join(_Application())


class Outlive:
    """The whole API and page of a store, under a prefix of an application.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs, and
    may use Flask's own `request` and `session`; PUBLIC lets everybody. The store is by default
    that of `outlive.start`: of `app.config["OUTLIVE_STORE"]`, where that is set.
    """

    def __init__(
        self, app: flask.Flask, *, access: Access, url_prefix: str = "/runs", store: Place = None
    ) -> None:
        self._access, self._store = check_access(access), store
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
        site = make_site(lambda *asked: keep(self._access, *asked), self._store, HTTPException)
        return _translate(answer(request, site), environ)


def respond(work: Work, *, store: Place = None, mark: Mark | None = None) -> flask.Response:
    r"""Answer the current request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice.

    Args:
        work: A run, a callable that returns one, as `lambda: outlive.start(job)` does, or
            `outlive.activity()`.
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
