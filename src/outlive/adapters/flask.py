"""Outlive in a Flask application: views that start work, and the whole page."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import IO, Any, Unpack, cast

from ..errors import UploadFailed
from ..runs import Run
from ..surroundings import Around, Place, Surroundings, join
from ..web.access import PUBLIC, Access
from ..web.answers import answer
from ..web.messages import Response
from ..work.receptions import ReceiveOptions, Reception, no_file
from .base import (
    Environ,
    LongReception,
    Mark,
    Work,
    check_access,
    make_site,
    open_body,
    read_environ,
)
from .base import respond as respond_to

try:
    import flask
    from werkzeug.formparser import FormDataParser, MultiPartParser
    from werkzeug.sansio.multipart import File
    from werkzeug.serving import is_running_from_reloader
except ModuleNotFoundError:
    raise ModuleNotFoundError("Flask is missing: pip install flask", name="flask") from None

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
        site = make_site(lambda *asked: keep(self._access, *asked), self._store)
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


def receive(
    function: Callable[..., object],
    *args: object,
    field: str | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Receive the file that the current request brings, and start a function with it, as one run.

    All who watch the run or the activity see the bytes arrive. The rest of a form is afterwards
    where it always is, in `request.form` and `request.files`. What does not arrive whole is
    answered with an error, and starts nothing. See `outlive.receive`.

    Args:
        function: What to do with the file.
        args: What else to call it with.
        field: Which file of a form; by default the first. Of a request without a form, the body is
            the file, as `curl -T` sends it.
        options: Those of `outlive.receive`; Flask's MAX_CONTENT_LENGTH is a limit, too.
    """
    try:
        if flask.request.mimetype == "multipart/form-data":
            return _receive_form(field, partial(LongReception, function, *args, **options))
        if flask.request.mimetype == "application/x-www-form-urlencoded" or not _has_body():
            raise no_file(field)
        size = flask.request.content_length
        with LongReception(function, *args, name="upload", size=size, **options) as reception:
            return reception.read(flask.request.stream)
    except UploadFailed as error:
        flask.abort(flask.Response(f"{error}\n", error.status, mimetype="text/plain"))


def _has_body() -> bool:
    return flask.request.content_length is not None or "Transfer-Encoding" in flask.request.headers


def _receive_form(field: str | None, begin: Callable[..., Reception]) -> Run:
    """Parse the form; where that was done before, a check against forgery for example, read the file."""
    if "files" in vars(flask.request):
        return _receive_parsed(field, begin)
    with ExitStack() as stack:
        parts = _Parts(field, lambda **facts: stack.enter_context(begin(**facts)))
        flask.request.make_form_data_parser = lambda: _Form(parts)  # type: ignore[method-assign]
        try:
            flask.request.files  # noqa: B018 - parsed now, once, for everybody
        except ValueError as error:
            raise UploadFailed(f"the form is damaged: {error}") from None
        if parts.reception is None:
            raise no_file(field)
        return parts.reception.finish()


def _receive_parsed(field: str | None, begin: Callable[..., Reception]) -> Run:
    for name, file in flask.request.files.items(multi=True):
        if file.filename and field in (None, name):
            with begin(name=file.filename) as reception:
                return reception.read(file.stream)
    raise no_file(field)


class _Parts(MultiPartParser):
    """Parses a form as any request does, but one file of it is received by a run."""

    def __init__(self, field: str | None, begin: Callable[..., Reception]) -> None:
        usual = flask.request.make_form_data_parser()
        super().__init__(
            usual.stream_factory,
            usual.max_form_memory_size,
            usual.cls,
            max_form_parts=usual.max_form_parts,
        )
        self.reception: Reception | None = None
        self._field, self._begin = field, begin

    def start_file_streaming(self, event: File, total_content_length: int | None) -> IO[bytes]:
        if self.reception or not event.filename or self._field not in (None, event.name):
            return super().start_file_streaming(event, total_content_length)
        self.reception = self._begin(name=event.filename, size=total_content_length)
        return cast("IO[bytes]", _Received(self.reception))


class _Form(FormDataParser):
    """Does what a request asks of its parser, and lets damage be heard of."""

    def __init__(self, parts: _Parts) -> None:
        super().__init__()
        self._parts = parts

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002 - known
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - as requests want it: the stream, the fields, the files
        boundary = (options or {}).get("boundary", "").encode("ascii")
        return stream, *self._parts.parse(stream, boundary, content_length)


class _Received:
    """Stands for the file where files of the request are: its bytes are the run's."""

    def __init__(self, reception: Reception) -> None:
        self.write = reception.write

    def seek(self, place: int) -> None:
        """Do nothing: where the parser has written all, it goes back to the beginning."""

    def close(self) -> None:
        """Do nothing: that is for the run."""
