"""The iterator for WSGI: how it ends, and what it leaves."""

import logging
import threading

import pytest

from outlive.entries import Kind
from outlive.journals.memory import MemoryJournal
from outlive.pumps.blocking import BlockingPump
from tests.formats.logs import make_journal
from tests.pumps.pumpings import add, make_viewer


def make_pump(journal: MemoryJournal, **more) -> BlockingPump:
    """Make a pump of a journal, from its beginning."""
    return BlockingPump(make_viewer(journal), **more)


def test_a_pump_that_nobody_asks_watches_nothing():
    """A server may forget to close what it never began to send."""
    journal = make_journal([], end=None)
    make_pump(journal)
    assert not journal._watchers


def test_a_pump_is_over_when_it_is_told_so():
    """Whether there are bytes or not: the response is cut, and does not look complete."""
    journal = make_journal([(Kind.OUT, b"one\n")], end=None)
    over = threading.Event()
    pump = make_pump(journal, is_over=over.is_set)
    assert next(pump) == b"one\n"
    over.set()
    add(journal, b"two\n")
    with pytest.raises(ConnectionResetError):
        next(pump)
    assert not journal._watchers


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(5, "of the disk")])
def test_a_mistake_of_ours_cuts_the_stream_and_is_reported(error, caplog, monkeypatch):
    """The client sees that something is missing, whoever runs this sees what went wrong."""
    journal = make_journal([(Kind.OUT, b"one\n")], end=None)
    pump = make_pump(journal)
    next(pump)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(journal, "scan", fail)
    with caplog.at_level(logging.ERROR, "outlive"), pytest.raises(ConnectionResetError):
        next(pump)
    assert "a stream was cut short" in caplog.text
    assert not journal._watchers


def test_an_end_stays_an_end():
    """Who asks again gets nothing, and no error."""
    pump = make_pump(make_journal([(Kind.OUT, b"one\n")]))
    assert [*pump, *pump] == [b"one\n"]
