"""What the servers of WSGI tell by the environ of a request, and what they are answered with."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import platforms
from ..pumps.blocking import BlockingPump
from ..pumps.engine.interposing import Interposed, can_interpose
from ..seats import OwnSeats
from ..web.messages import Request, Response, Stream
from ..work.receptions import Reception

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

__all__ = [
    "Environ",
    "LongReception",
    "find_capacity",
    "find_connection",
    "open_body",
    "read_environ",
    "send",
]

#: What a stream has, though its server is about to end. Where more viewers come back at once than
#: gunicorn's `--max-requests`, each new worker is about to end before it has given anybody anything.
LEAST_SECONDS = 0.5
#: What WSGI (PEP 3333) knows of a request.
Environ = Mapping[str, Any]


def send(
    response: Response,
    environ: Environ,
    start_response: StartResponse,
    is_ending: Callable[[], bool] = lambda: False,
) -> Iterable[bytes]:
    """Answer a WSGI server; `is_ending` tells what else may end a stream."""
    status = HTTPStatus(response.status)
    start_response(f"{status.value} {status.phrase}", list(response.headers))
    return open_body(response, environ, is_ending)


def open_body(
    response: Response, environ: Environ, is_ending: Callable[[], bool] = lambda: False
) -> Iterable[bytes]:
    """Make what a WSGI server iterates over; of a stream, `is_ending` is asked before each wait."""
    if not isinstance(response.body, Stream):
        # Not a list: of that, where nobody knows a length (HEAD), frameworks tell one of 0.
        return iter((response.body,))
    has_left = _find_leaving(environ)
    pump = BlockingPump(*response.body, lambda: has_left() or is_ending(), _find_loss(environ))
    connection = find_connection(environ) if _has_engine(environ) else None
    if connection is None or not can_interpose(connection):
        return pump
    return Interposed(*response.body, connection, pump)


def _has_engine(environ: Environ) -> bool:
    """Tell whether this stream may leave its thread to the engine: a study, off by default."""
    return bool(os.environ.get("OUTLIVE_ENGINE")) and environ["REQUEST_METHOD"] != "HEAD"


def read_environ(environ: Environ) -> Request:
    """Translate a request of WSGI."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return Request(
        method=environ["REQUEST_METHOD"],
        path=_decode(environ.get("PATH_INFO", "")),
        prefix=_decode(environ.get("SCRIPT_NAME", "")),
        query_string=environ.get("QUERY_STRING", ""),
        headers=headers,
        native=environ,
        address=environ.get("REMOTE_ADDR", ""),
        seats=OwnSeats(find_capacity(environ)),
    )


def _decode(path: str) -> str:
    # PEP 3333: what the bytes were, as if they were Latin-1.
    return path.encode("latin-1").decode(errors="replace")


def _find_leaving(environ: Environ) -> Callable[[], bool]:
    """Find out how this server tells that a client has gone, or that it is about to end."""
    connection, channel = find_connection(environ), _find_channel(environ)
    has_left = environ.get("waitress.client_disconnected", lambda: False)
    least = monotonic() + LEAST_SECONDS

    def is_over() -> bool:
        worker = _find_worker()
        _tell_alive(worker)
        gone = connection is not None and platforms.is_left(connection.fileno())
        # Both would wait for streams: gunicorn's worker, and then kill; waitress for five seconds.
        is_ending = worker is not None and not worker.alive
        is_ending = is_ending or (channel is not None and channel.server.task_dispatcher.stop_count)
        return gone or has_left() or (is_ending and monotonic() > least)

    return is_over


def _find_loss(environ: Environ) -> type[Exception]:
    """Find what tells this server that the connection is lost; of others, waitress logs a traceback."""
    channel = _find_channel(environ)
    library = None if channel is None else sys.modules.get(type(channel).__module__)
    return getattr(library, "ClientDisconnected", ConnectionResetError)


def _find_channel(environ: Environ) -> Any:  # noqa: ANN401 - waitress's, which is not imported here
    """Find the one whose client this is, in waitress."""
    return getattr(environ.get("waitress.client_disconnected"), "__self__", None)


def find_capacity(environ: Environ) -> int | None:
    """Find out how many streams this server can hold, with a thread left for all else."""
    if _has_engine(environ):
        # Each has a descriptor, and no thread.
        return 1 << 20
    worker, channel = _find_worker(), _find_channel(environ)
    if worker is not None:
        kinds = {"gthread": worker.cfg.threads, "gevent": worker.cfg.worker_connections}
        threads = kinds.get(worker.cfg.worker_class_str)
    else:
        threads = getattr(getattr(channel, "adj", None), "threads", None)
    return None if threads is None else max(1, threads - 1)


def _find_worker() -> Any:  # noqa: ANN401 - gunicorn's, which is not imported here
    """Find the worker of gunicorn that this process is, if it is one."""
    # It handles signals by methods; the environ of a request does not lead to it.
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return worker if hasattr(worker, "notify") else None


def find_connection(environ: Environ) -> Any:  # noqa: ANN401 - a socket, or a file that reads one
    """Find the server's end of the connection, where it lets us: something with a `fileno`."""
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if environ.get(name) is not None:
            return environ[name]
    # cheroot's file of a body reads that of the connection.
    return getattr(environ.get("wsgi.input"), "rfile", None)


def _tell_alive(worker: Any) -> None:  # noqa: ANN401 - as above
    """Tell gunicorn that its worker lives, where this holds the thread in which that does.

    A `sync` worker would be killed after 30 seconds, and with it what runs beside.
    """
    if worker is not None and threading.current_thread() is threading.main_thread():
        worker.notify()


class LongReception(Reception):
    """An upload that may take longer than gunicorn lets a `sync` worker be silent, as a stream may."""

    def write(self, chunk: bytes) -> None:
        _tell_alive(_find_worker())
        super().write(chunk)
