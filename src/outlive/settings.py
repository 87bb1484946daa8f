"""The options that more than one part understands: one table."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError
from .stores import Store, is_store, open_store

__all__ = ["HOST", "PORT", "SERVE_PORT", "STORE", "Option", "application_store", "default_store"]


class Option(NamedTuple):
    """An option: its name, the environment variable that sets it, its default and its help."""

    name: str
    variable: str
    default: str
    help: str

    def value(self) -> str:
        """Get what the environment says, or else the default."""
        return os.environ.get(self.variable) or self.default


def default_store() -> str:
    """Name the directory of the user's own store (XDG Base Directory Specification 0.8)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification tells to ignore a relative path.
    if state.startswith("/"):
        return str(Path(state) / "outlive")
    try:
        return str(Path.home() / ".local" / "state" / "outlive")
    except RuntimeError:
        raise ConfigError(
            f"there is no home directory to keep runs in: set {STORE.variable}, or give --store"
        ) from None


def application_store(place: Store | str | os.PathLike[str] | None) -> Store:
    """Open the store where an application keeps its runs: one object per place and process.

    That is the one given, by itself, its URL or its directory; otherwise that of `OUTLIVE_STORE`;
    otherwise `.outlive` in the current directory, and never the user's own store.
    """
    if isinstance(place, Store):
        return place
    url = os.fspath(place) if place else STORE.value() or _APPLICATION_STORE
    name = url if url == "memory:" else str(Path(url).absolute())
    with _stores_lock:
        # One whose directory was taken away meanwhile cannot be written.
        if name not in _stores or not is_store(url):
            _stores[name] = open_store(url)
        return _stores[name]


_APPLICATION_STORE = ".outlive"
_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()

STORE = Option("store", "OUTLIVE_STORE", "", "where runs are kept: a directory")
HOST = Option("host", "OUTLIVE_HOST", "127.0.0.1", "the address to listen on")
PORT = Option("port", "OUTLIVE_PORT", "0", "the port to listen on; 0 for any free one")
SERVE_PORT = PORT._replace(default="8765")
