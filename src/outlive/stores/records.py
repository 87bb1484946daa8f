"""The records of ended runs in a database beside the journals, so that lists are quick.

It is a cache and nothing else: the folders of the runs say which there are, and their journals what
they are. What ended never changes, so a row is never wrong; what has no row is read from its
journal, and gets one. Hence nothing fails with the database, or waits for it longer than a second,
and one that is damaged is thrown away.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..entries import RunRecord

if TYPE_CHECKING:
    import sqlite3

__all__ = ["RecordDatabase", "Row"]

_T = TypeVar("_T")
# `json.loads` looks for its options first, a hundred thousand times.
_decode = json.JSONDecoder().raw_decode

#: Of the tables; a database of another one is made anew.
VERSION = 1
#: How long somebody else's change is waited for; after that it goes on without the database.
BUSY_SECONDS = 1.0

_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    place TEXT PRIMARY KEY,   -- when it was started, and its id: the order of lists
    bytes INTEGER NOT NULL,   -- of its journal
    record TEXT NOT NULL      -- as programs see it
)"""
#: So that all sizes are added up without a look at the rest of the rows.
_INDEX = "CREATE INDEX IF NOT EXISTS sizes ON runs (bytes)"


class Row(NamedTuple):
    """What the database knows of an ended run; `place` ends with its id."""

    place: str
    bytes: int
    record: str

    @property
    def run(self) -> str:
        """The run's id."""
        return self.place[16:]

    @classmethod
    def of(cls, record: RunRecord, size: int) -> Row:
        """Make the row of a run that has ended."""
        return cls(record.place, size, json.dumps(record.as_json()))

    def read(self) -> RunRecord:
        """Get the record."""
        data, _ = _decode(self.record)
        return RunRecord.from_json(data, int(self.place[:16], 16))


class RecordDatabase:
    """Rows of ended runs. Safe to use from several threads, processes and forked children."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        # Reentrant: a fork in a signal handler must not wait for what it interrupted.
        self._lock = threading.RLock()
        _databases.add(self)

    def __del__(self) -> None:
        self.close()

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, or replace them."""
        kept = list(rows)

        def insert(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", kept)

        self._use(insert, None)

    def remove(self, places: Iterable[str]) -> None:
        """Remove rows."""
        gone = [(place,) for place in places]

        def delete(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("DELETE FROM runs WHERE place = ?", gone)

        self._use(delete, None)

    def places(self) -> list[str]:
        """Get the places of all runs that have a row."""
        return [place for (place,) in self._select("SELECT place FROM runs")]

    def newest(self, count: int, before: str = "") -> list[Row]:
        """Get the rows of the newest runs, or of those behind a place; all for a count of -1."""
        where = "WHERE place < ?" if before else "WHERE ? = ''"
        query = f"SELECT * FROM runs {where} ORDER BY place DESC LIMIT ?"  # noqa: S608 - of constants
        return [Row(*row) for row in self._select(query, before, count)]

    def size(self) -> int:
        """Get the bytes of all runs that have a row."""
        ((size,),) = self._select("SELECT sum(bytes) FROM runs") or [(0,)]
        return int(size or 0)

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._use(lambda connection: connection.execute(query, values).fetchall(), [])

    def _use(self, use: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Do something with the database; where that cannot be done, it is as if it were empty."""
        with self._lock:
            for _ in range(2):
                try:
                    import sqlite3
                except ImportError:
                    # Python may be built without it.
                    return otherwise
                try:
                    return use(self._connect())
                except (sqlite3.OperationalError, OSError):
                    # Locked, read-only, or on a full disk.
                    self.close()
                    return otherwise
                except (sqlite3.Error, ValueError):
                    self._throw_away()
        return otherwise

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        if self._connection is None:
            with contextlib.suppress(FileExistsError):
                # Its other files get the mode of this one.
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            # After a loss of power the last rows may be missing, and are made again.
            connection.execute("PRAGMA synchronous = NORMAL")
            ((version,),) = connection.execute("PRAGMA user_version").fetchall()
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError("another version")
            connection.execute(_TABLE)
            connection.execute(_INDEX)
            if not version:
                connection.execute(f"PRAGMA user_version = {VERSION}")
        return self._connection

    def _throw_away(self) -> None:
        self.close()
        import logging

        log = logging.getLogger("outlive")
        log.warning("%s cannot be used: it is made anew from the journals", self._path)
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()

    def close(self) -> None:
        """Close the connection; the next use opens one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # What cannot even be closed was not to be used any more anyway.
            with contextlib.suppress(Exception):
                connection.close()


_databases: weakref.WeakSet[RecordDatabase] = weakref.WeakSet()
_held: list[RecordDatabase] = []
_forking = threading.RLock()


def _before_fork() -> None:
    """Leave no connection to the child: neither process could use it (sqlite.org/howtocorrupt)."""
    _forking.acquire()
    _held[:] = list(_databases)
    for database in _held:
        database._lock.acquire()  # noqa: SLF001 - of this module
        database.close()


def _after_fork() -> None:
    for database in _held:
        database._lock.release()  # noqa: SLF001 - of this module
    _held.clear()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
