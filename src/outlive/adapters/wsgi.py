"""Outlive as a WSGI application, and in the views of one (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..web.access import PUBLIC, Access
from ..web.answers import answer
from .base import Mark, Place, Work, make_site
from .base import respond as respond_to
from .environs import Environ, read_environ, send

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

__all__ = ["PUBLIC", "application", "respond"]


def application(*, access: Access, store: Place = None) -> WSGIApplication:
    """Make the whole API and page of a store, to be mounted under any prefix.

    `access(request, action, run)` tells whether a request may `list`, `read` or `cancel` runs;
    PUBLIC lets everybody. The store is by default that of `outlive.start`.
    """
    site = make_site(access, store)

    def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return send(answer(read_environ(environ), site), environ, start_response)

    return serve


def respond(
    environ: Environ,
    start_response: StartResponse,
    work: Work,
    *,
    store: Place = None,
    mark: Mark | None = None,
) -> Iterable[bytes]:
    r"""Answer a request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice.

    Args:
        environ: The request.
        start_response: As the server gave it.
        work: A run, a callable that returns one, as `lambda: outlive.start(job)` does, or
            `outlive.activity()`.
        store: Where the callable starts its runs; by default that of `outlive.start`.
        mark: In text, what breaks a silence, and after how many seconds: `(5, "*** Interval\n")`.
    """
    response = respond_to(read_environ(environ), work, store=store, mark=mark)
    return send(response, environ, start_response)
