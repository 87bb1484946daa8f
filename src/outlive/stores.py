"""The runs of one store: their records and journals, and the servers that show them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from . import platforms
from .entries import RunRecord
from .errors import ConfigError, JournalUnavailable, OutliveError, RunNotFound
from .journals.base import Journal, JournalWriter
from .journals.disk import DiskJournal
from .journals.memory import MemoryJournal, MemoryWriter

__all__ = ["DirectoryStore", "MemoryStore", "Store", "is_store", "open_store"]

#: Of the layout of a directory; a store with a higher number is refused.
FORMAT = 1

#: Of a run; it is also the name of its folder, and the beginning of its cursors.
_ID = re.compile(r"[0-9a-f]{20}")


class Store(ABC):
    """Where runs and their journals live. `id` names it for as long as it exists."""

    id: str

    def __init__(self) -> None:
        self._journals: weakref.WeakValueDictionary[str, Journal] = weakref.WeakValueDictionary()
        self._journals_lock = threading.Lock()
        self._ended: dict[str, RunRecord] = {}

    @abstractmethod
    def create(self, record: RunRecord) -> JournalWriter:
        """Make the journal of a new run; the caller is its writer."""

    @abstractmethod
    def ids(self) -> list[str]:
        """List the ids of all runs, in no order."""

    @abstractmethod
    def _open(self, run: str) -> Journal:
        """Open a journal; raises RunNotFound."""

    @abstractmethod
    def token(self) -> str:
        """Get the secret that opens the servers of this store."""

    @abstractmethod
    def register_server(self, url: str) -> Callable[[], None]:
        """Announce a server of all runs of this store; returns how to take that back."""

    @abstractmethod
    def server_url(self) -> str | None:
        """Get the URL of a living server of this store, if there is one."""

    def journal(self, run: str) -> Journal:
        """Get the journal of a run: one object per run and process, which its readers share."""
        with self._journals_lock:
            journal = self._journals.get(run)
            if journal is None:
                journal = self._journals[run] = self._open(run)
            return journal

    def record(self, run: str) -> RunRecord:
        """Get what is known of a run; one whose writer is gone gets its end first."""
        journal = self.journal(run)
        if run in self._ended:
            return self._ended[run]
        journal.settle()
        record = RunRecord.of(journal.start(), journal.end())
        if record.ended_at is not None:
            self._ended[run] = record
        return record

    def records(self) -> list[RunRecord]:
        """Get the records of all runs, the newest first."""
        records, runs = [], self.ids()
        for gone in self._ended.keys() - set(runs):
            del self._ended[gone]
        for run in runs:
            # It may be removed meanwhile, or be damaged beyond recognition.
            with contextlib.suppress(OutliveError):
                records.append(self.record(run))
        return sorted(records, key=lambda record: record.started_at, reverse=True)

    def find(self, name: str) -> str:
        """Find the id of a run by its id, a unique prefix of it, or `last`; raises RunNotFound."""
        if name == "last":
            records = self.records()
            if not records:
                raise RunNotFound(name, "there are no runs yet")
            return records[0].id
        found = [run for run in self.ids() if run.startswith(name)] if name else []
        if name in found:
            return name
        if len(found) > 1:
            raise RunNotFound(name, f"{len(found)} runs begin like this, give more of the id")
        if not found:
            raise RunNotFound(name)
        return found[0]


class MemoryStore(Store):
    """Runs that only this process sees, and that end with it."""

    def __init__(self) -> None:
        super().__init__()
        self.id = secrets.token_hex(4)
        self._kept: dict[str, MemoryJournal] = {}
        self._token = secrets.token_urlsafe(24)

    def create(self, record: RunRecord) -> JournalWriter:
        journal = self._kept[record.id] = MemoryJournal(record)
        return MemoryWriter(journal)

    def ids(self) -> list[str]:
        return list(self._kept)

    def _open(self, run: str) -> Journal:
        try:
            return self._kept[run]
        except KeyError:
            raise RunNotFound(run) from None

    def token(self) -> str:
        return self._token

    def register_server(self, url: str) -> Callable[[], None]:  # noqa: ARG002 - nobody else looks
        return lambda: None

    def server_url(self) -> str | None:
        return None


class DirectoryStore(Store):
    """Runs in a directory of this machine, for all processes of one user."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._runs = path / "runs"
        kind = platforms.network_filesystem(path)
        if kind is not None:
            raise ConfigError(
                f"the store {path} is on a network file system ({kind}), where locks and "
                "notification cannot be relied on: choose a local directory (--store)"
            )
        try:
            _make_folder(self._runs)
            facts = json.loads(self._create_once("store.json", self._facts))
            if facts["format"] != FORMAT:
                raise ConfigError(
                    f"the store {path} has format {facts['format']}, this Outlive knows {FORMAT}: "
                    "use a newer Outlive, or another directory (--store)"
                )
            self.id = str(facts["id"])
        except (LookupError, TypeError, ValueError):
            raise ConfigError(f"the store {path} is damaged: see {path / 'store.json'}") from None
        except OSError as error:
            raise ConfigError(f"cannot use the store {path}: {_reason(error)}") from None

    @staticmethod
    def _facts() -> str:
        return json.dumps({"format": FORMAT, "id": secrets.token_hex(4)})

    def _create_once(self, name: str, content: Callable[[], str]) -> str:
        """Read a small file; make it where there is none, one process of several."""
        path = self.path / name
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        draft = self.path / f".{name}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content())
            file.flush()
            os.fsync(file.fileno())
        try:
            # Unlike a rename, a link fails where another process was first.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return path.read_text()

    def create(self, record: RunRecord) -> JournalWriter:
        try:
            writer = DiskJournal.create(self._runs, record)
        except OSError as error:
            raise ConfigError(f"cannot write to the store {self.path}: {_reason(error)}") from None
        with self._journals_lock:
            self._journals[record.id] = writer.journal
        return writer

    def ids(self) -> list[str]:
        try:
            return [path.name for path in self._runs.iterdir() if _ID.fullmatch(path.name)]
        except OSError as error:
            raise ConfigError(f"cannot read the store {self.path}: {_reason(error)}") from None

    def _open(self, run: str) -> Journal:
        if not (_ID.fullmatch(run) and (self._runs / run).is_dir()):
            raise RunNotFound(run)
        return DiskJournal(self._runs / run)

    def token(self) -> str:
        try:
            token = self._create_once("token", lambda: secrets.token_urlsafe(24)).strip()
        except (OSError, UnicodeDecodeError) as error:
            why = _reason(error) if isinstance(error, OSError) else "it is damaged"
            raise JournalUnavailable(f"no token in {self.path}: {why}") from None
        if not token:
            # Left by a loss of power, it would let everybody in.
            raise ConfigError(f"the token is empty: remove {self.path / 'token'} for a new one")
        return token

    def register_server(self, url: str) -> Callable[[], None]:
        servers = self.path / "servers"
        _make_folder(servers)
        path = servers / secrets.token_hex(4)
        draft = servers / f".{path.name}"
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Whoever looks believes the lock, not the file: a killed server leaves only a file. So
        # there is no file to be seen before it is locked.
        platforms.take_lock(fd)
        os.write(fd, url.encode())
        draft.rename(path)

        def withdraw() -> None:
            path.unlink(missing_ok=True)
            os.close(fd)

        return withdraw

    def server_url(self) -> str | None:
        for path in sorted((self.path / "servers").glob("[!.]*")):
            with contextlib.suppress(OSError), path.open("rb") as file:
                if platforms.is_locked(file.fileno()):
                    return file.read(1000).decode()
                path.unlink()
        return None


def is_store(url: str) -> bool:
    """Tell whether there is anything where a URL says that a store is."""
    return url == "memory:" or _directory(url).exists()


def open_store(url: str) -> Store:
    """Open the store that a URL or a directory names, and make it where there is none."""
    return MemoryStore() if url == "memory:" else DirectoryStore(_directory(url))


def _directory(url: str) -> Path:
    scheme, separator, _ = url.partition("://")
    if separator and scheme != "file":
        raise ConfigError(f"no store is named like {url!r}: give a directory, or memory:")
    try:
        return Path(url.removeprefix("file://")).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        # A user who does not exist, or links that lead nowhere.
        raise ConfigError(f"cannot use the store {url}: {error}") from None


def _make_folder(path: Path) -> None:
    """Make a folder, and those above that are missing, for nobody but its user."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
