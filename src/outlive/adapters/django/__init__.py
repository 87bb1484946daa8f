"""Outlive in a Django project: views that start work; `urls` has the whole page."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ...entries import RunRecord
from ...errors import ConfigError, UploadFailed
from ...pumps.awaiting import pump
from ...pumps.engine import exchanges
from ...surroundings import Around, Place, Setup, Surroundings, join
from ...web.access import PUBLIC, Access, Action
from ...web.answers import answer
from ...web.messages import Request, Response, Seats, Stream
from .. import environs
from ..base import Mark, Work, check_access, make_site
from ..base import respond as respond_to
from ..environs import open_body

try:
    import django
    from django.apps import apps
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured, PermissionDenied
    from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
    from django.http.response import HttpResponseBase
    from django.urls import URLPattern, re_path
    from django.utils.autoreload import DJANGO_AUTORELOAD_ENV
    from django.utils.module_loading import import_string
    from django.views.decorators.csrf import csrf_exempt
except ModuleNotFoundError:
    raise ModuleNotFoundError("Django is missing: pip install django", name="django") from None

from .databases import leave_thread, own_connections, release_connections
from .uploads import receive

__all__ = ["PUBLIC", "make_urls", "receive", "respond"]

#: Decides, with Django's own request, who may do what.
May = Callable[[HttpRequest, Action, RunRecord | None], bool]


class _Project(Surroundings):
    """What the settings of the project say, and connections to databases that are the work's own."""

    def store(self) -> Place:
        place: Place = _options().get("STORE")
        return place

    def home(self) -> Path | None:
        folder = _setting("BASE_DIR")
        return None if folder is None else Path(folder)

    def around_work(self) -> Around | None:
        return None if _setting("DATABASES") is None else own_connections

    def setup(self) -> Setup | None:
        return _set_up if apps.ready else None

    def is_reloaded(self) -> bool:
        return os.environ.get(DJANGO_AUTORELOAD_ENV) == "true"


join(_Project())


def respond(request: HttpRequest, work: Work, *, mark: Mark | None = None) -> HttpResponseBase:
    r"""Answer a request with a run, or with what a callable starts.

    The callable is called only where the request names no run by its cursor, and never for HEAD:
    no reload and no reconnect starts work twice.

    Args:
        request: Django's, in views `async` or not.
        work: A run, a callable that returns one, as `lambda: outlive.start(job)` does, or
            `outlive.activity()`.
        mark: In text, what breaks a silence, and after how many seconds: `(5, "*** Interval\n")`.
    """
    asked = _read_request(request, request.META["SCRIPT_NAME"], request.path_info)
    try:
        return _translate(respond_to(asked, work, mark=mark), request)
    except UploadFailed as error:
        return HttpResponse(f"{error}\n", status=error.status, content_type="text/plain")


def make_urls() -> list[URLPattern]:
    """Make the URLs of the whole API and page, for `include("outlive.adapters.django.urls")`."""
    _find_access()
    # No form has a token: whatever changes something asks for another proof of who meant it.
    return [re_path(r"^(.*)\Z", csrf_exempt(_serve), name="outlive")]


def _serve(request: HttpRequest, rest: str) -> HttpResponseBase:
    prefix = request.path.removesuffix(rest)
    if prefix.endswith("/"):
        prefix, rest = prefix[:-1], f"/{rest}"
    may = _find_access()
    if may is _is_staff and not hasattr(request, "user"):
        raise ConfigError(
            "without AuthenticationMiddleware nobody knows who may see the runs: add it to "
            'MIDDLEWARE, or set OUTLIVE = {"ACCESS": …}'
        )
    site = make_site(_bind(may, request), None, PermissionDenied, Http404)
    return _translate(answer(_read_request(request, prefix, rest), site), request)


def _bind(may: May, request: HttpRequest) -> Access:
    """Make what asks `may` about a request, also of the activity, long after the view returned."""
    # Not by its number, which another one has once it is gone.
    home = threading.current_thread()

    def decide(_: Request, action: Action, run: RunRecord | None) -> bool:
        try:
            return may(request, action, run)
        finally:
            # What it opens in another thread than the view's, nobody would close.
            if threading.current_thread() is not home:
                release_connections()

    return decide


def _find_access() -> May:
    may = _options().get("ACCESS")
    if may is not None:
        return check_access(_import(may) if isinstance(may, str) else may)
    if not apps.is_installed("django.contrib.auth"):
        raise ConfigError(
            "without django.contrib.auth nobody knows who may see the runs: set "
            'OUTLIVE = {"ACCESS": …} to a function of request, action and run, or to PUBLIC'
        )
    return _is_staff


def _import(path: str) -> Any:  # noqa: ANN401 - whatever is there
    try:
        return import_string(path)
    except ImportError as error:
        raise ConfigError(f'OUTLIVE["ACCESS"] in the settings leads nowhere: {error}') from error


def _is_staff(request: HttpRequest, action: Action, run: RunRecord | None) -> bool:  # noqa: ARG001
    return bool(request.user.is_active and request.user.is_staff)


def _options() -> Mapping[str, Any]:
    options = _setting("OUTLIVE") or {}
    if not isinstance(options, Mapping):
        raise ConfigError(
            f'OUTLIVE in the settings is as {{"STORE": …, "ACCESS": …}}, not {options!r:.100}'
        )
    unknown = options.keys() - {"STORE", "ACCESS"}
    if unknown:
        raise ConfigError(f"OUTLIVE in the settings has STORE and ACCESS, not {min(unknown)!r}")
    return options


def _setting(name: str) -> Any:  # noqa: ANN401 - whatever a project says
    try:
        return getattr(settings, name, None)
    except ImproperlyConfigured:
        # There are none: this is no project's process.
        return None


def _read_request(request: HttpRequest, prefix: str, path: str) -> Request:
    return Request(
        method=request.method,
        path=path,
        prefix=prefix,
        query_string=request.META.get("QUERY_STRING", ""),
        headers={name.lower(): value for name, value in request.headers.items()},
        native=request,
        address=request.META.get("REMOTE_ADDR", ""),
        seats=_find_seats(request),
    )


def _find_seats(request: HttpRequest) -> Seats:
    if hasattr(request, "scope"):
        return exchanges.find_seats(request.scope)
    return environs.find_seats(request.META)


def _translate(response: Response, request: HttpRequest) -> HttpResponseBase:
    headers = dict(response.headers)
    if "Content-Length" in headers:
        return HttpResponse(response.body, status=response.status, headers=headers)
    # Django would gather up a whole stream of the other kind before it sends any of it.
    make = _await_stream if hasattr(request, "scope") else _wait_for_stream
    # Also of nothing: of what does not stream, middleware tells the length.
    return StreamingHttpResponse(make(response, request), status=response.status, headers=headers)


def _wait_for_stream(response: Response, request: HttpRequest) -> Iterable[bytes]:
    def is_ending() -> bool:
        # Asked before each wait: a stream that is open for an hour must not hold a connection.
        release_connections()
        return False

    return open_body(response, request.META, is_ending)


async def _await_stream(response: Response, request: HttpRequest) -> AsyncIterator[bytes]:
    if not isinstance(response.body, Stream):
        return
    # As above; and Django keeps a thread for what a request does without await.
    leave_thread()
    (viewer,) = response.body
    transfer = exchanges.find_transfer(request.scope, viewer)
    if transfer is not None:
        yield (opening := viewer.open())
        if await transfer.take(opening):
            return
    async with aclosing(pump(viewer)) as chunks:
        async for data in chunks:
            yield data


def _set_up() -> None:
    """Make models importable, unless the settings come with the module of the work."""
    if _setting("DATABASES") is not None:
        django.setup()
