"""Outlive in a CherryPy application: page handlers that start work, and the whole page."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from ..errors import ConfigError, UploadFailed
from ..runs import Run
from ..surroundings import Around, Place, Surroundings, join
from ..web.access import PUBLIC, Access
from ..web.answers import answer
from ..web.messages import Request, Response, Stream
from ..work.receptions import ReceiveOptions, Reception, no_file
from .base import (
    Environ,
    Mark,
    Work,
    check_access,
    find_connection,
    make_site,
    open_body,
    read_environ,
    send,
)
from .base import respond as respond_to

try:
    import cherrypy
    from cherrypy._cpreqbody import Part
    from cherrypy.lib.encoding import ResponseEncoder
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "CherryPy is missing: pip install cherrypy", name="cherrypy"
    ) from None

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

__all__ = ["PUBLIC", "application", "receive", "respond"]

#: Bytes that are received at a time.
CHUNK_SIZE = 64 * 1024
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
    environ = cherrypy.serving.request.wsgi_environ
    response = respond_to(_read_request(environ), work, store=store, mark=mark)
    cherrypy.serving.response.status = response.status
    for name, value in response.headers:
        cherrypy.serving.response.headers[name] = value
    # Of what has no length, not even one of zero is told for HEAD.
    cherrypy.serving.response.stream = "Content-Length" not in dict(response.headers)
    return _stream(response, environ) if isinstance(response.body, Stream) else [response.body]


def _read_request(environ: Environ) -> Request:
    """Translate a request; of the threads of CherryPy's own server, one is left for all else."""
    request = read_environ(environ)
    if not cherrypy.server.running:
        return request
    return replace(request, capacity=max(1, cherrypy.server.thread_pool - 1))


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


def _stream(response: Response, environ: Environ) -> Iterable[bytes]:
    """Open a stream, and keep it from tools that want a body as a whole."""
    request = cherrypy.serving.request
    request.hooks.attach("before_finalize", _release_session, priority=_BEFORE_SAVING)
    # `tools.gzip` compresses nothing twice, `tools.etags` makes no second tag.
    request.cached, cherrypy.serving.response.ETag = True, None
    if isinstance(request.handler, ResponseEncoder):
        # `tools.encode` would call UTF-8 whatever a client prefers.
        request.handler.add_charset = False
    return _cut_quietly(open_body(response, environ, _is_ending), environ)


def _release_session() -> bool:
    """Save the session now, and let its other requests go on; tells whether it was locked.

    A stream would keep them waiting until its end.
    """
    session = getattr(cherrypy.serving, "session", None)
    if session is None:
        return False
    was_locked: bool = session.locked
    session.save()
    # Or it would be saved once more at the end, over what others have put into it meanwhile.
    session.loaded = False
    return was_locked


def _cut_quietly(pump: Iterable[bytes], environ: Environ) -> Iterator[bytes]:
    """End a stream that is cut short without an error, which CherryPy would log at length."""
    try:
        yield from pump
    except ConnectionResetError:
        connection = find_connection(environ)
        if connection is None:
            raise
        # The server now cannot write the end of a complete response.
        with socket.socket(fileno=os.dup(connection.fileno())) as end, contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _is_ending() -> bool:
    """Tell whether the engine was asked to stop: it would wait for streams."""
    states = cherrypy.engine.states
    return cherrypy.engine.state in (states.STOPPING, states.EXITING)


def receive(
    function: Callable[..., object],
    *args: object,
    field: str | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Receive the file that the current request brings, and start a function with it, as one run.

    All who watch the run or the activity see the bytes arrive, where the page handler is configured
    with `request.process_request_body` False; otherwise CherryPy calls it when all are there. The
    rest of a form is afterwards in `cherrypy.request.params`. What does not arrive whole is
    answered with an error, and starts nothing. See `outlive.receive`.

    Args:
        function: What to do with the file.
        args: What else to call it with.
        field: Which file of a form; by default the first. Of a request without a form, the body is
            the file, as `curl -T` sends it.
        options: Those of `outlive.receive`; `server.max_request_body_size` is a limit, too.
    """
    was_locked = _release_session()
    try:
        return _receive_body(field, partial(Reception, function, *args, **options))
    except UploadFailed as error:
        raise _Refusal(error.status, str(error)) from None
    finally:
        if was_locked:
            cherrypy.serving.session.acquire_lock()


def _receive_body(field: str | None, begin: Callable[..., Reception]) -> Run:
    request, kind = cherrypy.serving.request, cherrypy.serving.request.body.content_type.value
    has_body = not {"Content-Length", "Transfer-Encoding"}.isdisjoint(request.headers)
    if not has_body or kind == "application/x-www-form-urlencoded":
        raise no_file(field)
    if kind != "multipart/form-data":
        with begin(name="upload", size=request.body.length) as reception:
            return reception.read(request.body.fp)
    if request.process_request_body:
        return _receive_parsed(field, begin)
    return _receive_form(field, partial(begin, size=request.body.length))


def _receive_parsed(field: str | None, begin: Callable[..., Reception]) -> Run:
    for name, values in cherrypy.serving.request.body.params.items():
        for part in values if isinstance(values, list) else [values]:
            if isinstance(part, Part) and part.filename and field in (None, name):
                with begin(name=_name_of(part)) as reception:
                    return reception.read(part.file)
    raise no_file(field)


def _receive_form(field: str | None, begin: Callable[..., Reception]) -> Run:
    """Have CherryPy parse the form, but one file of it is received by a run."""
    body = cherrypy.serving.request.body
    with contextlib.ExitStack() as stack:
        receptions: list[Reception] = []

        class ReceivedPart(Part):  # type: ignore[misc]
            def make_file(self) -> Any:  # noqa: ANN401 - as CherryPy has it
                if receptions or not self.filename or field not in (None, self.name):
                    return super().make_file()
                receptions.append(stack.enter_context(begin(name=_name_of(self))))
                return _Received(receptions[0])

        body.part_class = ReceivedPart
        try:
            body.process()
        except (EOFError, TimeoutError, ValueError) as error:
            raise UploadFailed(f"the form is damaged: {error}") from None
        if not receptions:
            raise no_file(field)
        return receptions[0].finish()


def _name_of(part: Any) -> str:  # noqa: ANN401 - CherryPy has no types
    """Get a file's name: browsers write it as UTF-8, which CherryPy takes for Latin-1."""
    name: str = part.filename
    with contextlib.suppress(UnicodeError):
        return name.encode("latin-1").decode()
    return name


class _Received:
    """Stands for the file where parts of the form have one: its bytes are the run's."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        # CherryPy gives line by line.
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, line: bytes) -> None:
        """Take some."""
        self._waiting.append(line)
        self._size += len(line)
        if self._size >= CHUNK_SIZE:
            self._flush()

    def _flush(self) -> None:
        self._reception.write(b"".join(self._waiting))
        self._waiting, self._size = [], 0

    def seek(self, place: int) -> None:  # noqa: ARG002 - as a file has it
        """Take the rest: where CherryPy has written all, it goes back to the beginning."""
        self._flush()


class _Refusal(cherrypy.HTTPError):  # type: ignore[misc]
    """Tells in one line why nothing was received."""

    def set_response(self) -> None:
        """Answer."""
        super().set_response()
        response = cherrypy.serving.response
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        response.body = f"{self.args[1]}\n".encode()
        response.headers.pop("Content-Length", None)
