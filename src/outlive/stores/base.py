"""What a store is, and all policy that its alternatives share."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256

from ..entries import Kind, RunRecord
from ..errors import OutliveError, RunNotFound
from ..journals.base import Journal, JournalWriter
from .announcing import StageAnnouncer
from .records import Row
from .retention import Bounds, Pruned

__all__ = ["Claim", "Store"]


class Claim(ABC):
    """The right to decide, alone, which run has a key."""

    @abstractmethod
    def read(self) -> str:
        """Get the run that had the key last; empty where there was none."""

    @abstractmethod
    def write(self, run: str) -> None:
        """Give the key to a run."""


class Store(ABC):
    """Where runs and their journals live. `id` names it for as long as it exists."""

    id: str
    #: Bytes that the journals of ended runs may take; None: no limit.
    quota: int | None = None

    def __init__(self) -> None:
        self._begin()
        _stores.add(self)

    def _begin(self) -> None:
        """Begin without any run; a forked child does, too: the parent's locks may be taken."""
        self._journals: weakref.WeakValueDictionary[str, Journal] = weakref.WeakValueDictionary()
        self._journals_lock = threading.Lock()
        self._ended: dict[str, RunRecord] = {}
        self._announcers: dict[str, StageAnnouncer] = {}

    @abstractmethod
    def _create(self, record: RunRecord) -> JournalWriter:
        """Make the journal of a new run."""

    @abstractmethod
    def ids(self) -> list[str]:
        """List the ids of all runs, in no order."""

    @abstractmethod
    def _open(self, run: str) -> Journal:
        """Open a journal; raises RunNotFound."""

    @abstractmethod
    def _ended_rows(self) -> list[Row]:
        """Get the rows of all ended runs, the oldest run first."""

    @abstractmethod
    def _ended_size(self) -> int:
        """Get the bytes of all ended runs, quickly."""

    @abstractmethod
    def _remove(self, rows: list[Row]) -> list[Row]:
        """Remove ended runs; returns those that nobody else removed before."""

    @abstractmethod
    def _resized(self, row: Row) -> None:
        """Take notice that the journal of an ended run has another size."""

    @abstractmethod
    def activity(self) -> Journal:
        """Get the journal of what happens to all runs, to be read; it has no `end`."""

    @abstractmethod
    def announce(self, kind: Kind, payload: bytes) -> None:
        """Append to the activity, where that is possible: no work fails for want of it."""

    @abstractmethod
    def _claiming(self, key: str) -> AbstractContextManager[Claim]:
        """Keep everybody else from claiming a key meanwhile, in all processes and threads."""

    @abstractmethod
    def token(self) -> str:
        """Get the secret that opens the servers of this store."""

    @abstractmethod
    def register_server(self, url: str) -> Callable[[], None]:
        """Announce a server of all runs of this store; returns how to take that back."""

    @abstractmethod
    def server_url(self) -> str | None:
        """Get the URL of a living server of this store, if there is one."""

    def create(self, record: RunRecord) -> JournalWriter:
        """Make the journal of a new run; the caller is its writer."""
        writer = self._begin_run(record)
        self._keep_quota()
        return writer

    def _begin_run(self, record: RunRecord) -> JournalWriter:
        writer = self._create(record)
        journal = writer.journal
        with self._journals_lock:
            self._journals[record.id] = journal
        self._listen(journal)
        self._announce_state(record)
        return writer

    def claim(self, record: RunRecord) -> JournalWriter | RunRecord:
        """Make the journal of a new run, unless a living run has its key: then get that record.

        Of all who claim a key at once, in whatever process, one gets the writer.
        """
        if record.key is None:
            return self.create(record)
        with self._claiming(record.key) as claim:
            living = self._living(claim.read())
            if living is not None:
                return living
            # In this order: a key of a run that is not there (yet, or never) is free.
            claim.write(record.id)
            writer = self._begin_run(record)
        # Others wait for the key, and need not wait for large runs to be removed.
        self._keep_quota()
        return writer

    def _living(self, run: str) -> RunRecord | None:
        with contextlib.suppress(RunNotFound):
            journal = self.journal(run)
            journal.settle()
            if journal.end() is None:
                return RunRecord.of(journal.start())
        return None

    def _forget(self, runs: list[str]) -> None:
        with self._journals_lock:
            for run in runs:
                self._ended.pop(run, None)
                self._journals.pop(run, None)

    def journal(self, run: str) -> Journal:
        """Get the journal of a run: one object per run and process, which its readers share."""
        with self._journals_lock:
            journal = self._journals.get(run)
            if journal is None:
                journal = self._journals[run] = self._open(run)
                self._listen(journal)
            return journal

    def _listen(self, journal: Journal) -> None:
        # Not by the journal itself: it would keep itself, and its files, open.
        journal.on_news = functools.partial(self._hear, journal.run)

    def _hear(self, run: str, kind: Kind, payload: bytes) -> None:
        """Take notice of what this process appended to a run's journal."""
        # It may be removed at once, and what cannot be noted is no trouble of the work's.
        with contextlib.suppress(OutliveError, OSError):
            if kind is Kind.STAGE:
                self._announcer(run).add(payload)
                return
            announcer = self._announcers.pop(run, None)
            if announcer is not None:
                announcer.flush()
            journal = self.journal(run)
            self._finish(RunRecord.of(journal.start(), journal.end()))

    def _announcer(self, run: str) -> StageAnnouncer:
        announcer = self._announcers.get(run)
        if announcer is None:
            announcer = StageAnnouncer(RunRecord.of(self.journal(run).start()), self.announce)
        # Of two threads that made one, one has it.
        return self._announcers.setdefault(run, announcer)

    def _finish(self, record: RunRecord) -> None:
        """Take notice that a run has ended; one process does, that which recorded it."""
        self._announce_state(record)
        self._keep_quota()

    def _keep_quota(self) -> None:
        if self.quota is not None and self._ended_size() > self.quota:
            # What cannot be removed now is tried again with the next run.
            with contextlib.suppress(OutliveError, OSError):
                self.prune(Bounds(max_size=self.quota))

    def prune(self, bounds: Bounds, *, dry_run: bool = False) -> Pruned:
        """Remove ended runs, the oldest first, whatever of them is out of bounds.

        With `dry_run`, only tell what would go.
        """
        rows, cut = bounds.choose(self._ended_rows(), time.time_ns())
        if not dry_run:
            rows = self._remove(rows)
            self._forget([row.run for row in rows])
            for row in rows:
                # A damaged row is no reason to keep the others' news back.
                with contextlib.suppress(LookupError, TypeError, ValueError, OutliveError):
                    self._announce_state(row.read(), "removed")
        runs, size = len(rows), sum(row.bytes for row in rows)
        if cut is None or bounds.max_size is None or dry_run:
            return Pruned(runs, size, cut.bytes - (bounds.max_size or 0) if cut else 0)
        journal = self.journal(cut.run)
        journal.remove_oldest(bounds.max_size)
        left = journal.size()
        self._resized(cut._replace(bytes=left))
        return Pruned(runs, size, cut.bytes - left)

    def _announce_state(self, record: RunRecord, name: str = "run") -> None:
        self.announce(Kind.EVENT, json.dumps({"name": name, "data": record.as_json()}).encode())

    def _activity_record(self) -> RunRecord:
        # An id of its own: cursors begin with it, and what is in its files is salted with it.
        run = sha256(f"activity {self.id}".encode()).hexdigest()[:20]
        return RunRecord(id=run, title="activity", started_at=0)

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

    def records(self, *, count: int | None = None, before: str = "") -> list[RunRecord]:
        """Get the records of runs, the newest first: all, or `count` of them.

        With `before`, the place of a record, only those that are listed behind it.
        """
        records, runs = [], self.ids()
        for gone in self._ended.keys() - set(runs):
            del self._ended[gone]
        for run in runs:
            # It may be removed meanwhile, or be damaged beyond recognition.
            with contextlib.suppress(OutliveError):
                record = self.record(run)
                if not before or record.place < before:
                    records.append(record)
        return sorted(records, key=_place, reverse=True)[:count]

    def documents(self) -> list[str]:
        """Get the records of all runs as programs see them, each a line of JSON, the newest first."""
        return [json.dumps(record.as_json()) for record in self.records()]

    def find(self, name: str) -> str:
        """Find the id of a run by its id, a unique prefix of it, or `last`; raises RunNotFound."""
        if name == "last":
            records = self.records(count=1)
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


def _place(record: RunRecord) -> str:
    return record.place


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _begin_anew() -> None:
    for store in list(_stores):
        store._begin()  # noqa: SLF001 - of this module


os.register_at_fork(after_in_child=_begin_anew)
