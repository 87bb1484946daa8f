"""A web server in a thread: uvicorn over our ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import select
import socket
import threading
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..adapters.asgi import Application
from ..errors import ConfigError
from ..settings import ENGINE
from ..stores import Store
from ..web.access import PUBLIC, Guard
from ..web.answers import Site
from .streams import OpenStreams

if TYPE_CHECKING:
    from .serving import HttpServer

__all__ = ["BACKLOG", "Server", "is_loopback"]

#: A viewer that takes nothing for so long when the server stops is dropped.
STALL_SECONDS = 2.0
#: An EventSource reconnects 0.1 s after the end (`retry`), to be told to stop.
GOODBYE_SECONDS = 1.0
#: Between two looks while the last viewers are served.
_TICK = 0.02
#: How long a viewer may be out of reach before its connection is given up.
PEER_MILLISECONDS = 120_000
#: Connections that wait to be accepted; one beyond them waits for its next attempt, a second later.
BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address or a name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class Server:
    """Serves the runs of a store; `url` is taken as soon as it is made."""

    def __init__(self, store: Store, *, host: str, port: int, auth: bool) -> None:
        token = store.token() if auth else None
        self._socket = _listen(host, port)
        address = self._socket.getsockname()
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        self.url = f"http://[{name}]" if ":" in name else f"http://{name}"
        self.url += f":{address[1]}/"
        self._query = f"?token={token}" if token else ""
        # Cookies do not tell ports apart: the name must.
        guard = Guard(token=token, cookie=f"outlive-{store.id}", host=host)
        self._streams = OpenStreams()
        site = Site(store=store, access=PUBLIC, guard=guard, on_goodbye=self._streams.say_goodbye)
        self._application = Application(site, self._streams.send)
        self._has_engine = False
        self._http: HttpServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._start_lock = threading.Lock()
        self._abandoned = False
        self._leave_in, self._leave_out = os.pipe()
        self._thread = threading.Thread(target=self._work, name="outlive-server", daemon=True)

    def show_only(self, run: str) -> None:
        """Show one run and no other; to be called before the start."""
        self._application.site = replace(self._application.site, only=run)

    def use_engine(self) -> None:
        """Leave streams to an engine, until this process ends; to be called before the start."""
        # In a thread: this process does nothing else.
        os.environ.setdefault(ENGINE.variable, "thread")
        self._has_engine = True

    def page(self, run: str = "") -> str:
        """Give the URL of a page, with the token that opens it."""
        return f"{self.url}{'runs/' + run if run else ''}{self._query}"

    def start(self) -> None:
        """Begin to serve, in a thread."""
        self._thread.start()

    def _work(self) -> None:
        try:
            # The work that is watched does not wait for its watchers: what serves them is
            # imported for the first one (0.1 s, in which a flood would hardly be read).
            visitors, *_ = select.select([self._socket.fileno(), self._leave_in], [], [])
            if self._leave_in in visitors:
                return
            from .serving import make_http_server

            server = make_http_server(
                self._application,
                shutdown_seconds=STALL_SECONDS,
                has_engine=self._has_engine,
            )
            asyncio.run(self._main(server))
        finally:
            # Where it could not even begin, `stop` must not wait for that.
            self._started.set()
            os.close(self._leave_in)

    async def _main(self, server: HttpServer) -> None:
        self._http = server
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_report)
        with self._start_lock:
            if self._abandoned:
                return
            self._started.set()
        # Signals stay with the main thread: outside it, uvicorn takes none.
        await server.serve(sockets=[self._socket])
        # Those who did not take the last bytes of an answer in time.
        for protocol in list(server.server_state.connections):
            protocol.transport.abort()

    def stop(self, enough: threading.Event) -> None:
        """End all streams and stop, once; until `enough`, viewers first receive what there is."""
        with self._start_lock:
            # Short work is over before its server is there: nobody waits for that.
            self._abandoned = not self._started.is_set() and not _has_visitors(self._socket)
        if self._abandoned:
            os.close(self._leave_out)
            if self._thread.is_alive():
                # It waits for a visitor, on the socket that is closed next.
                self._thread.join()
            self._socket.close()
            return
        self._started.wait()
        os.close(self._leave_out)
        if self._loop is not None:
            finishing = asyncio.run_coroutine_threadsafe(self._finish(enough), self._loop)
            if finishing.result():
                self._thread.join()

    async def _finish(self, enough: threading.Event) -> bool:
        """Let the server end by itself; tells whether somebody is connected to wait for."""
        await self._drain(enough)
        self._streams.close()
        if self._http is None:
            return False
        self._http.should_exit = True
        return bool(self._http.server_state.connections)

    async def _drain(self, enough: threading.Event) -> None:
        """Let viewers receive the end, and the clients that reconnect hear that it was one."""
        quiet, began = 0.0, monotonic()
        # One task alone waits here, twice a run: not worth an event at each send.
        while (quiet < 2 * _TICK or self._streams.ending) and not enough.is_set():
            patience_began = monotonic() - STALL_SECONDS
            if patience_began > began:
                self._streams.cut_stalled(patience_began)
            is_quiet = patience_began > began or not self._has_visitors()
            quiet = quiet + _TICK if is_quiet else 0.0
            await asyncio.sleep(_TICK)
        deadline = monotonic() + GOODBYE_SECONDS
        while self._streams.awaited > 0 and monotonic() < deadline and not enough.is_set():
            await asyncio.sleep(_TICK)

    def _has_visitors(self) -> bool:
        """Tell whether somebody connected just now, and is not answered yet."""
        requests = 0 if self._http is None else len(self._http.server_state.tasks)
        return requests > self._streams.count() or _has_visitors(self._socket)


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        with contextlib.ExitStack() as undo:
            undo.callback(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _notice_lost_peers(listener)
            listener.bind(address)
            listener.listen(BACKLOG)
            undo.pop_all()
    except OSError as error:
        hint = " (--port 0 takes any free port)" if error.errno == errno.EADDRINUSE else ""
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"cannot listen on {host} port {port}: {why}{hint}") from None
    return listener


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what went wrong in the loop, but not that no more connections can be taken now."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


def _notice_lost_peers(listener: socket.socket) -> None:
    """Have the kernel end connections whose peer is gone without a word; they inherit this."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with contextlib.suppress(OSError, AttributeError):
        # tcp(7): so long may what was sent, a heartbeat for example, stay unacknowledged.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_MILLISECONDS)


def _has_visitors(listener: socket.socket) -> bool:
    """Tell whether somebody connected whom nobody accepted yet."""
    return bool(select.select([listener], [], [], 0)[0])
