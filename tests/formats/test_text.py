"""Marks for silence in text: there when one asks for them, and never in a line."""

import pytest

from outlive.entries import Gap, Kind
from outlive.errors import FormatError
from outlive.formats.text import TextFormat
from outlive.viewers import HEARTBEAT
from tests.formats.logs import RUN, make_journal, make_viewer, read

MARK = "*** Interval\n"


class Marked:
    """A living run and a viewer of it that begins at time 0."""

    def __init__(self, mark=(5, MARK)):
        self.journal = make_journal([], end=None)
        self.viewer = make_viewer(self.journal, TextFormat(RUN, mark))

    def add(self, text, now, kind=Kind.OUT):
        """Append, and get what the viewer is sent."""
        self.journal.add(kind, text, 0)
        return read(self.viewer, now)

    def tick(self, now):
        """Get what the viewer is sent by then."""
        return b"".join(self.viewer.tick(now))


def test_a_mark_comes_after_each_silence():
    """It counts from what was sent last, a mark included."""
    marked = Marked()
    assert marked.viewer.deadline() == 5
    assert marked.tick(4.9) == b""
    assert marked.tick(5.0) == MARK.encode()
    assert marked.viewer.deadline() == 10
    assert marked.add(b"line\n", 8.0) == b"line\n"
    assert marked.tick(12.9) == b""
    assert marked.tick(13.0) == MARK.encode()


def test_a_mark_waits_while_a_line_is_unfinished():
    """Who takes the lines of marks out of the text has the output, byte by byte."""
    marked = Marked()
    marked.add(b"50%", 0.0)
    for now in (5.0, 10.0, 15.0):
        assert marked.tick(now) == b""
    marked.add(b"\n", 16.0)
    assert marked.tick(21.0) == MARK.encode()


def test_a_gap_ends_a_line():
    """Behind it there is room for a mark."""
    marked = Marked()
    marked.add(b"50%", 0.0)
    marked.add(Gap(1, 1, 0, "lost").encode(), 1.0, Kind.GAP)
    assert marked.tick(6.0) == MARK.encode()


def test_there_is_no_mark_unless_one_asked_for_it():
    """Text has nothing added."""
    plain = Marked(None)
    assert plain.viewer.deadline() == HEARTBEAT
    assert plain.tick(3600.0) == b""


def test_marks_of_one_viewer_are_not_those_of_another():
    """They belong to a response, not to the format."""
    marked = Marked((1, "x"))
    other = make_viewer(marked.journal, TextFormat(RUN))
    assert other.tick(100.0) == ()
    assert marked.tick(100.0) == b"x"


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_mark_without_a_silence_is_refused(seconds):
    """It would be sent without end."""
    with pytest.raises(FormatError):
        TextFormat(RUN, (seconds, MARK))
