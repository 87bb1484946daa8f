"""Serve the page and the API over all runs of the store."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable

from ..settings import SERVE_PORT
from ..standalone.server import Server
from ..stores import Store
from .arguments import add_server, add_store, store_of
from .console import say
from .live import make_server

__all__ = ["act", "add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive serve`."""
    add_store(parser)
    add_server(parser, SERVE_PORT)


def act(arguments: argparse.Namespace) -> int:
    """Serve until a signal says that it is enough."""
    store = store_of(arguments)
    server = make_server(arguments, store)
    server.use_engine()
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: enough.set())
    server.start()
    withdraw = _register(store, server)
    say(f"outlive: {server.page()}")
    try:
        enough.wait()
    finally:
        withdraw()
        server.stop(enough)
    return 0


def _register(store: Store, server: Server) -> Callable[[], None]:
    """Let `run` and `pipe` find this server, where the store can be written; returns the undo."""
    try:
        return store.register_server(server.page())
    except OSError as error:
        say(f"outlive: run and pipe will not find this server: {error.strerror}")
        return lambda: None
