"""A store in the memory of one process."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator

from ..entries import Kind, RunRecord
from ..errors import RunNotFound
from ..journals.base import Journal, JournalWriter
from ..journals.memory import MemoryJournal, MemoryWriter
from .base import Claim, Store
from .records import Row

__all__ = ["MemoryStore"]

#: Bytes of activity that are kept.
ACTIVITY_SIZE = 16 * 1024 * 1024


class _MemoryClaim(Claim):
    def __init__(self, keys: dict[str, str], key: str) -> None:
        self._keys, self._key = keys, key

    def read(self) -> str:
        return self._keys.get(self._key, "")

    def write(self, run: str) -> None:
        self._keys[self._key] = run


class MemoryStore(Store):
    """Runs that only this process sees, and that end with it."""

    def __init__(self) -> None:
        super().__init__()
        self.id = secrets.token_hex(4)
        self._kept: dict[str, MemoryJournal] = {}
        self._keys: dict[str, str] = {}
        self._keys_lock = threading.Lock()
        self._token = secrets.token_urlsafe(24)
        self._activity = MemoryJournal(self._activity_record(), ACTIVITY_SIZE)

    def _create(self, record: RunRecord) -> JournalWriter:
        journal = self._kept[record.id] = MemoryJournal(record)
        return MemoryWriter(journal)

    def ids(self) -> list[str]:
        return list(self._kept)

    def _open(self, run: str) -> Journal:
        try:
            return self._kept[run]
        except KeyError:
            raise RunNotFound(run) from None

    def _ended_rows(self) -> list[Row]:
        records = [record for record in reversed(self.records()) if record.ended_at is not None]
        return [Row.of(record, self._kept[record.id].size()) for record in records]

    def _ended_size(self) -> int:
        return sum(row.bytes for row in self._ended_rows())

    def _remove(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if self._kept.pop(row.run, None) is not None]

    def _resized(self, row: Row) -> None:
        """Do nothing: sizes are not kept."""

    def activity(self) -> Journal:
        return self._activity

    def announce(self, kind: Kind, payload: bytes) -> None:
        self._activity.add(kind, payload, 0)
        self._activity.notify()

    @contextlib.contextmanager
    def _claiming(self, key: str) -> Iterator[Claim]:
        with self._keys_lock:
            yield _MemoryClaim(self._keys, key)

    def token(self) -> str:
        return self._token

    def register_server(self, url: str) -> Callable[[], None]:  # noqa: ARG002 - nobody else looks
        return lambda: None

    def server_url(self) -> str | None:
        return None
