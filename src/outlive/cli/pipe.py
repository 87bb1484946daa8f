"""Show what comes in on standard input live on a page, and pass it through."""

from __future__ import annotations

import argparse

from ..settings import PORT
from ..sources.stream import StreamSource
from .arguments import add_labels, add_linger, add_server, add_store
from .console import TerminalConsole
from .live import show_live

__all__ = ["act", "add_arguments"]

_TITLE = "standard input"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive pipe`."""
    add_store(parser)
    add_labels(parser, _TITLE)
    add_server(parser, PORT)
    add_linger(parser)


def act(arguments: argparse.Namespace) -> int:
    """Pass standard input through to its end."""
    return show_live(
        arguments,
        title=_TITLE,
        command=None,
        console=TerminalConsole(),
        begin=lambda: StreamSource(0),
    )
