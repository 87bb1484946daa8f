"""What the servers of WSGI tell by the environ of a request, and what they are answered with."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import platforms
from ..pumps.blocking import BlockingPump
from ..pumps.engine import EngineSeats
from ..pumps.engine.interposing import Interposed, can_interpose
from ..seats import OwnSeats
from ..web.messages import Request, Response, Seats, Stream
from ..work.receptions import Reception
from .base import find_host

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

__all__ = [
    "Environ",
    "LongReception",
    "Pump",
    "find_connection",
    "find_seats",
    "open_body",
    "open_stream",
    "read_environ",
    "send",
]

#: What a stream has, though its server is about to end. Where more viewers come back at once than
#: gunicorn's `--max-requests`, each new worker is about to end before it has given anybody anything.
LEAST_SECONDS = 0.5
#: Files, and what they refer to, that may be between the body of a request and its connection.
_MOST_LAYERS = 64
#: What WSGI (PEP 3333) knows of a request.
Environ = Mapping[str, Any]
#: What moves a stream into the connection; to be closed by whoever iterates over it.
Pump = BlockingPump | Interposed


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
    """Make what a WSGI server iterates over."""
    if isinstance(response.body, Stream):
        return open_stream(response.body, environ, is_ending)
    # Not a list: of that, where nobody knows a length (HEAD), frameworks tell one of 0.
    return iter((response.body,))


def open_stream(
    stream: Stream, environ: Environ, is_ending: Callable[[], bool] = lambda: False
) -> Pump:
    """Pump a stream, by the engine where it can be; else `is_ending` is asked before each wait."""
    has_left = _find_leaving(environ)
    pump = BlockingPump(*stream, lambda: has_left() or is_ending(), _find_loss(environ))
    connection, host = _find_plain(environ), find_host(stream)
    return (
        pump if connection is None or host is None else Interposed(*stream, connection, host, pump)
    )


def _find_plain(environ: Environ) -> socket.socket | None:
    """Find the connection, where the engine may take it from this server."""
    if _has_body(environ):
        return None
    connection, is_named = _find_connection(environ)
    # What was found by looking must be the client's; named ones are, whatever a proxy calls it.
    address = None if is_named else environ.get("REMOTE_ADDR", "")
    return connection if can_interpose(connection, address) else None


def _has_body(environ: Environ) -> bool:
    """Tell whether a request has a body: of one that nobody wanted, its server may read the rest."""
    return environ.get("CONTENT_LENGTH", "") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ


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
        seats=find_seats(environ),
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


def find_seats(environ: Environ, threads: int | None = None) -> Seats:
    """Find where a viewer would sit: with the engine, or in one of the threads, if it holds one."""
    threads = threads or _find_threads(environ)
    # With a thread left for all else.
    own = OwnSeats(None if threads is None else max(1, threads - 1))
    return own if _find_plain(environ) is None else EngineSeats(own)


def _find_threads(environ: Environ) -> int | None:
    """Find out how many requests this server can answer at once, if it tells."""
    worker, channel = _find_worker(), _find_channel(environ)
    if worker is not None:
        kinds = {"gthread": worker.cfg.threads, "gevent": worker.cfg.worker_connections}
        return kinds.get(worker.cfg.worker_class_str)
    threads: int | None = getattr(getattr(channel, "adj", None), "threads", None)
    return threads


def _find_worker() -> Any:  # noqa: ANN401 - gunicorn's, which is not imported here
    """Find the worker of gunicorn that this process is, if it is one."""
    # It handles signals by methods; the environ of a request does not lead to it.
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return worker if hasattr(worker, "notify") else None


def find_connection(environ: Environ) -> Any:  # noqa: ANN401 - a socket, of whatever kind
    """Find the server's end of the connection, where it lets us: something with a `fileno`."""
    return _find_connection(environ)[0]


def _find_connection(environ: Environ) -> tuple[Any, bool]:
    """Find it by its name, and tell so; or else below what the body of the request is read from."""
    for name, value in environ.items():
        # Of gunicorn and Werkzeug.
        if name.endswith(".socket") and hasattr(value, "fileno"):
            return value, True
    return _find_below(environ.get("wsgi.input")), False


def _find_below(file: object) -> socket.socket | None:
    """Find the socket that a file reads in the end, through whatever is between the two."""
    layers, known = deque([file]), {id(file)}
    while layers and len(known) < _MOST_LAYERS:
        layer = layers.popleft()
        if isinstance(layer, socket.socket):
            return layer
        for part in _parts_of(layer):
            if id(part) not in known and (isinstance(part, socket.socket) or hasattr(part, "read")):
                known.add(id(part))
                layers.append(part)
    return None


def _parts_of(file: object) -> Iterator[object]:
    """Give what a file refers to; that of Django's own server keeps methods of another one."""
    yield getattr(file, "raw", None)
    for part in list(getattr(file, "__dict__", {}).values()):
        yield getattr(part, "__self__", part)


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
