"""Several processes notice at once that a writer is gone, and one of them takes its place."""

import contextlib
import os
from pathlib import Path

from outlive import platforms
from outlive.entries import Kind, State
from outlive.journals.disk import DiskJournal
from outlive.journals.disk.writing import LOCK, TAKING
from tests.journals.conftest import make_record


def make_dead_run(root: Path) -> Path:
    """Make a run whose writer is gone without an end; returns its folder."""
    writer = DiskJournal.create(root, make_record())
    writer.append(Kind.OUT, b"last words\n")
    writer.forget()
    folder = writer.folder
    witness = platforms.describe_process(os.getpid()) | {"started": 1}
    (folder / LOCK).write_text(str(witness).replace("'", '"').ljust(512))
    return folder


def test_who_is_just_taking_over_is_waited_for(tmp_path):
    """The lock is taken and its witness still the dead writer's: nobody makes up an end then."""
    folder = make_dead_run(tmp_path)
    journal = DiskJournal(folder)
    fd = os.open(folder / LOCK, os.O_RDWR)
    with contextlib.closing(os.fdopen(fd, "r+b")):
        assert platforms.take_lock(fd, TAKING)
        journal.settle()
        assert journal.end() is None
        assert platforms.take_lock(fd)
        journal.settle()
        assert journal.end() is None
    journal.settle()
    end = journal.end()
    assert end is not None
    assert end.data["state"] == State.LOST
    assert end.after.offset - end.offset > 1, "it is stored"


def test_a_lock_that_an_orphan_holds_hides_no_death(tmp_path):
    """A forked child of the dead writer keeps the lock: who may not take it tells the end."""
    folder = make_dead_run(tmp_path)
    journal = DiskJournal(folder)
    fd = os.open(folder / LOCK, os.O_RDWR)
    with contextlib.closing(os.fdopen(fd, "r+b")):
        assert platforms.take_lock(fd)
        journal.settle()
        end = journal.end()
        assert end is not None
        assert end.data["state"] == State.LOST
