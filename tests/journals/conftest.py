"""The alternatives that the contract of journals runs over."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlive.entries import RunRecord
from outlive.journals.base import JournalWriter
from outlive.journals.disk import DiskJournal, writing
from outlive.journals.memory import MemoryJournal, MemoryWriter

Create = Callable[[], JournalWriter]


def make_record() -> RunRecord:
    """Make the record of a run that nobody else has."""
    return RunRecord(id=secrets.token_hex(10), title="a run", started_at=1)


@pytest.fixture(params=["memory", "disk", "small segments"])
def create(request, tmp_path_factory, monkeypatch) -> Iterator[Create]:
    """Make new journals of one kind; they are closed afterwards."""
    root: Path = tmp_path_factory.mktemp("runs")
    if request.param == "small segments":
        monkeypatch.setattr(writing, "SEGMENT_SIZE", 900)
    writers: list[JournalWriter] = []

    def make() -> JournalWriter:
        record = make_record()
        if request.param == "memory":
            writers.append(MemoryWriter(MemoryJournal(record)))
        else:
            writers.append(DiskJournal.create(root, record))
        return writers[-1]

    yield make
    for writer in writers:
        if isinstance(writer, writing.DiskWriter):
            writer.release()


@pytest.fixture
def unsynced(monkeypatch) -> None:
    """Do without what makes thousands of runs survive a loss of power."""
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
