"""The runs of one store: their records and journals, and the servers that show them."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from .base import Store
from .directory import DirectoryStore, find_home
from .memory import MemoryStore
from .retention import Bounds, Pruned

__all__ = [
    "Bounds",
    "DirectoryStore",
    "MemoryStore",
    "Pruned",
    "Store",
    "find_home",
    "is_store",
    "open_store",
]


def is_store(url: str) -> bool:
    """Tell whether there is anything where a URL says that a store is."""
    try:
        return url == "memory:" or _directory(url).exists()
    except OSError as error:
        raise ConfigError(f"cannot use the store {url}: {error.strerror}") from None


def open_store(url: str, *, quota: int | None = None) -> Store:
    """Open the store that a URL or a directory names, and make it where there is none.

    With a `quota`, in bytes, the oldest ended runs go where all of them take more.
    """
    store = MemoryStore() if url == "memory:" else DirectoryStore(_directory(url))
    store.quota = quota
    return store


def _directory(url: str) -> Path:
    scheme, separator, _ = url.partition("://")
    if separator and scheme != "file":
        raise ConfigError(f"no store is named like {url!r}: give a directory, or memory:")
    try:
        return Path(url.removeprefix("file://")).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        # A user who does not exist, or links that lead nowhere.
        raise ConfigError(f"cannot use the store {url}: {error}") from None
