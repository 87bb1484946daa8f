"""The options that more than one part understands: one table."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

from . import surroundings
from .errors import ConfigError
from .stores import Store, is_store, open_store
from .surroundings import Place

__all__ = [
    "ENGINE",
    "HOST",
    "PORT",
    "QUOTA",
    "SERVE_PORT",
    "STORE",
    "VIEWERS",
    "VIEWERS_PER_ADDRESS",
    "VIEWERS_PER_RUN",
    "Option",
    "application_store",
    "default_store",
    "parse_size",
    "store_quota",
]


class Option(NamedTuple):
    """An option: its name, the environment variable that sets it, its default and its help."""

    name: str
    variable: str
    default: str
    help: str

    def value(self) -> str:
        """Get what the environment says, or else the default."""
        return os.environ.get(self.variable) or self.default

    def number(self) -> int | None:
        """Get the value as a number, if there is one; raises ConfigError."""
        text = self.value()
        if not text:
            return None
        if not (text.isascii() and text.isdigit()):
            raise ConfigError(f"{self.variable}: give a number, not {text[:40]!r}")
        return int(text)


def parse_size(text: str) -> int:
    """Read a number of bytes: 500MB, 2GiB, 4096; raises ConfigError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"give a size as in 500MB or 2GiB, not {text[:40]!r}")
    number, unit, binary = match.groups()
    power = " kmgt".index((unit or " ").lower())
    return int(float(number) * (1024 if binary else 1000) ** power)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)


def store_quota() -> int | None:
    """Get the bytes that the ended runs of a store may take, where that is limited."""
    text = QUOTA.value()
    try:
        return parse_size(text) if text else None
    except ConfigError as error:
        raise ConfigError(f"{QUOTA.variable}: {error}") from None


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


def application_store(place: Place) -> Store:
    """Open the store where an application keeps its runs: one object per place and process.

    That is the one given, by itself, its URL or its directory; otherwise what the settings of the
    application say, or `OUTLIVE_STORE`; otherwise `.outlive` in the application's directory, or in
    the current one, and never the user's own store.
    """
    place = place or surroundings.store() or STORE.value() or surroundings.home() / ".outlive"
    if isinstance(place, Store):
        return place
    url = os.fspath(place)
    name = url if url == "memory:" else str(Path(url).absolute())
    with _stores_lock:
        # One whose directory was taken away meanwhile cannot be written.
        if name not in _stores or not is_store(url):
            _stores[name] = open_store(url, quota=store_quota())
        return _stores[name]


_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()


def _renew_lock() -> None:
    global _stores_lock  # noqa: PLW0603 - another thread of the parent may have held it
    _stores_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)

STORE = Option("store", "OUTLIVE_STORE", "", "where runs are kept: a directory")
QUOTA = Option("quota", "OUTLIVE_QUOTA", "", "how much the ended runs of a store may take: 10GB")
VIEWERS = Option("viewers", "OUTLIVE_VIEWERS", "", "how many may watch at once, in all")
VIEWERS_PER_RUN = Option(
    "viewers-per-run", "OUTLIVE_VIEWERS_PER_RUN", "", "how many may watch one run at once"
)
VIEWERS_PER_ADDRESS = Option(
    "viewers-per-address", "OUTLIVE_VIEWERS_PER_ADDRESS", "", "how many may watch from one address"
)
ENGINE = Option(
    "engine", "OUTLIVE_ENGINE", "process", "what sends to sockets: a process, a thread, or off"
)
HOST = Option("host", "OUTLIVE_HOST", "127.0.0.1", "the address to listen on")
PORT = Option("port", "OUTLIVE_PORT", "0", "the port to listen on; 0 for any free one")
SERVE_PORT = PORT._replace(default="8765")
