"""A store in a directory of this machine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import platforms
from ..entries import Kind, RunRecord
from ..errors import ConfigError, JournalError, JournalUnavailable, OutliveError, RunNotFound
from ..journals.base import Journal, JournalWriter
from ..journals.disk import DiskJournal, SharedJournal
from .base import Claim, Store
from .keys import claim_key, forget_key
from .records import RecordDatabase, Row

__all__ = ["DirectoryStore", "find_home"]

#: Of the layout of a directory; a store with a higher number is refused.
FORMAT = 1

#: Of a run; it is also the name of its folder, and the beginning of its cursors.
_ID = re.compile(r"[0-9a-f]{20}")


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
            with contextlib.suppress(OSError):
                # In an older store that may only be read.
                _make_folder(self.path / "activity")
            facts = json.loads(self._create_once("store.json", self._facts))
            if facts["format"] != FORMAT:
                raise ConfigError(
                    f"the store {path} has format {facts['format']}, this Outlive knows {FORMAT}: "
                    "use a newer Outlive, or another directory (--store)"
                )
            self.id = str(facts["id"])
            self._database = RecordDatabase(self.path / "records.sqlite")
        except (LookupError, TypeError, ValueError):
            raise ConfigError(f"the store {path} is damaged: see {path / 'store.json'}") from None
        except OSError as error:
            raise ConfigError(f"cannot use the store {path}: {_reason(error)}") from None

    def _begin(self) -> None:
        super()._begin()
        self._activity: SharedJournal | None = None

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

    def _create(self, record: RunRecord) -> JournalWriter:
        try:
            return DiskJournal.create(self._runs, record)
        except OSError as error:
            raise ConfigError(f"cannot write to the store {self.path}: {_reason(error)}") from None

    def ids(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._runs) if _ID.fullmatch(name)]  # noqa: PTH208 - of many
        except OSError as error:
            raise ConfigError(f"cannot read the store {self.path}: {_reason(error)}") from None

    def _open(self, run: str) -> DiskJournal:
        if not (_ID.fullmatch(run) and (self._runs / run).is_dir()):
            raise RunNotFound(run)
        return DiskJournal(self._runs / run)

    def _finish(self, record: RunRecord) -> None:
        # In this order: it counts among those that the quota is about.
        self._database.add([self._row(record)])
        super()._finish(record)

    def _ended_rows(self) -> list[Row]:
        others, found = self._list(None, "")
        rows = {row.place: row for row in found}
        rows |= {each.place: self._row(each) for each in others if each.ended_at is not None}
        return [rows[place] for place in sorted(rows)]

    def _ended_size(self) -> int:
        return self._database.size()

    def _remove(self, rows: list[Row]) -> list[Row]:
        removed = self.path / "removed"
        _make_folder(removed)
        gone = []
        for row in rows:
            # At once for whoever looks; of two who do it, one succeeds.
            with contextlib.suppress(FileNotFoundError):
                (self._runs / row.run).rename(removed / f"{row.run}-{secrets.token_hex(4)}")
                gone.append(row)
        self._database.remove([row.place for row in rows])
        self._forget_keys(gone)
        # Also what a process that was killed had left to do.
        for path in removed.iterdir():
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        return gone

    def _forget_keys(self, rows: list[Row]) -> None:
        for row in rows:
            with contextlib.suppress(LookupError, TypeError, ValueError, OutliveError):
                record = row.read()
                if record.key is not None:
                    forget_key(self.path / "keys", record.key, record.id)

    def _resized(self, row: Row) -> None:
        self._database.add([row])

    def _row(self, record: RunRecord) -> Row:
        return Row.of(record, self._open(record.id).size())

    def records(self, *, count: int | None = None, before: str = "") -> list[RunRecord]:
        others, rows = self._list(count, before)
        records = {record.place: record for record in others}
        for row in rows:
            if row.place not in records:
                with contextlib.suppress(OutliveError):
                    records[row.place] = self._read(row)
        return [records[place] for place in sorted(records, reverse=True)][:count]

    def documents(self) -> list[str]:
        others, rows = self._list(None, "")
        documents = {row.place: row.record for row in rows}
        documents |= {record.place: json.dumps(record.as_json()) for record in others}
        return [documents[place] for place in sorted(documents, reverse=True)]

    def _read(self, row: Row) -> RunRecord:
        try:
            return row.read()
        except (LookupError, TypeError, ValueError, OutliveError):
            # Damaged, and not noticed by the database.
            return self.record(row.run)

    def _list(self, count: int | None, before: str) -> tuple[list[RunRecord], list[Row]]:
        """Get the records of runs without a row, and the rows of others, both behind `before`."""
        runs = set(self.ids())
        rows = self._database.newest(-1, before) if count is None and not before else []
        places = [row.place for row in rows] or self._database.places()
        rowed = {place[16:]: place for place in places}
        gone = [rowed[run] for run in rowed.keys() - runs]
        if gone:
            self._database.remove(gone)
        for run in self._ended.keys() - (runs - rowed.keys()):
            self._ended.pop(run, None)
        others = self._catch_up(runs - rowed.keys())
        # Some may be gone, and their rows could not be removed.
        rows = rows or self._database.newest(-1 if count is None else count + len(gone), before)
        return (
            [record for record in others if not before or record.place < before],
            [row for row in rows if row.run in runs],
        )

    def _catch_up(self, runs: set[str]) -> list[RunRecord]:
        """Read the records of runs that have no row, and give one to those that have ended."""
        records: list[RunRecord] = []
        rows: list[Row] = []
        for run in runs:
            # It may be removed meanwhile, or be damaged beyond recognition.
            with contextlib.suppress(OutliveError, OSError):
                record = self.record(run)
                records.append(record)
                if record.ended_at is not None:
                    rows.append(self._row(record))
            if len(rows) >= 1000:
                # A store of very many runs may be left before all are read.
                self._database.add(rows)
                rows = []
        if rows:
            self._database.add(rows)
        return records

    def activity(self) -> SharedJournal:
        with self._journals_lock:
            if self._activity is None:
                record = self._activity_record()
                self._activity = SharedJournal(self.path / "activity", record)
            return self._activity

    def announce(self, kind: Kind, payload: bytes) -> None:
        # A full disk, or no permission: who looks at the runs themselves misses nothing.
        with contextlib.suppress(OSError, JournalError):
            self.activity().append(kind, payload)

    @contextlib.contextmanager
    def _claiming(self, key: str) -> Iterator[Claim]:
        keys = self.path / "keys"
        try:
            _make_folder(keys)
            with claim_key(keys, key) as claim:
                yield claim
        except OSError as error:
            raise ConfigError(f"cannot write to the store {self.path}: {_reason(error)}") from None

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


def find_home(journal: Journal) -> Path | None:
    """Find the directory of the store that a journal is in; None for one in memory."""
    if isinstance(journal, SharedJournal):
        return journal.folder.parent
    return journal.folder.parents[1] if isinstance(journal, DiskJournal) else None


def _make_folder(path: Path) -> None:
    """Make a folder, and those above that are missing, for nobody but its user."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
