"""Serve the page and the API over all runs of the store."""

from __future__ import annotations

import argparse
import signal
import threading

from ..settings import SERVE_PORT
from ..stores import DirectoryStore
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
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: enough.set())
    server.start()
    withdraw = store.register_server(server.page()) if isinstance(store, DirectoryStore) else None
    say(f"outlive: {server.page()}")
    try:
        enough.wait()
    finally:
        if withdraw is not None:
            withdraw()
        server.stop(enough)
    return 0
