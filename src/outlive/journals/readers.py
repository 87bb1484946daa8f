"""A reader of a journal, whichever: each entry once, in order, and a gap where some miss."""

from __future__ import annotations

from typing import NamedTuple

from ..entries import BEGINNING, TEXT_KINDS, Entry, Gap, Kind, Position
from .base import READ_SIZE, Journal

__all__ = ["Reader", "Reading"]


class Reading(NamedTuple):
    """Where a reader is: all that decides what it gives out next."""

    position: Position
    offset: int
    #: Sequence and text before of the entry that follows; None where only the line is known.
    expected: tuple[int, int] | None
    skipped: int = 0
    broken: str = ""
    ended: bool = False


class Reader:
    """A cursor in a journal: gives out each entry once, in order, and a gap where some miss.

    `position` is the place behind what was given out; `ended` tells that nothing will follow.
    """

    def __init__(self, journal: Journal, position: Position = BEGINNING) -> None:
        self.journal = journal
        # From anywhere but the beginning, only the line number is known for sure.
        expected = (0, 0) if position == BEGINNING else None
        self.place = Reading(position, position.offset, expected)

    @property
    def place(self) -> Reading:
        """Where it is; given back, it goes on from there."""
        return Reading(
            self.position, self._offset, self._expected, self._skipped, self._broken, self.ended
        )

    @place.setter
    def place(self, place: Reading) -> None:
        # `_skipped`: bytes of a line without beginning that were left out and not yet told of.
        (
            self.position, self._offset, self._expected, self._skipped, self._broken, self.ended
        ) = place  # fmt: skip

    def read(self, size: int = READ_SIZE, stop: int | None = None) -> list[Entry]:
        """Get the next entries, about `size` bytes of them; none where there is nothing new.

        None are at or behind the offset `stop`, if some are before it.
        """
        found: list[Entry] = []
        while not found and not self.ended:
            scan = self.journal.scan(self._offset, size)
            if stop is not None:
                scan = scan.before(stop)
            self._broken = self._broken or scan.broken
            self._offset = scan.offset
            for entry in scan.entries:
                if self._follows(entry):
                    self.position = entry.after
                    self._expected = entry.sequence + 1, entry.text_before + entry.text_size
                    found.append(entry)
                else:
                    self._admit(entry, found)
            if not scan.entries:
                break
        return found

    def _follows(self, entry: Entry) -> bool:
        """Tell whether this is text right behind what was given out last: nearly all is."""
        return (
            (entry.sequence, entry.text_before) == self._expected
            and entry.line == self.position.line
            and entry.kind in TEXT_KINDS
            and entry.text_size > 0
            and not self._skipped
            and not self._broken
        )

    def _admit(self, entry: Entry, found: list[Entry]) -> None:
        """Give out an entry, and before it what is missing.

        A line whose beginning is missing is missing as a whole, and counted as soon as that is
        known: its rest would look like a line that nobody wrote.
        """
        gap = self._missing_before(entry)
        after = entry.after
        if self.position.offset == entry.offset and self.position.byte and _has_text(entry):
            entry = entry.from_byte(min(self.position.byte, entry.text_size))
        cut = entry.line < self.position.line or bool(gap and gap.cuts_line and entry.opens)
        if cut and _has_text(entry):
            size = entry.text.find(b"\n") + 1 or entry.text_size
            self._skipped += size
            entry = entry.from_byte(size)
        told = entry.line + (cut and entry.opens)
        given = entry.text_size > 0 or entry.kind not in TEXT_KINDS
        if gap or (self._skipped and (given or not entry.opens)):
            found.append(self._tell(gap or Gap(0, 0, 0, "its line is cut"), entry, told))
        self.position = Position(after.offset, 0, max(after.line, told))
        if entry.kind is Kind.GAP:
            entry = self._with_cut_line(entry, told)
        self.ended = entry.kind is Kind.END
        if given:
            found.append(entry if self.position == after else entry._replace(after=self.position))

    def _missing_before(self, entry: Entry) -> Gap | None:
        reason, self._broken = self._broken, ""
        expected = self._expected
        self._expected = entry.sequence + 1, entry.text_before + entry.text_size
        if expected is None:
            return Gap(None, None, 0, reason) if reason else None
        if expected == (entry.sequence, entry.text_before):
            return None
        sequence, text = expected
        return Gap(entry.sequence - sequence, entry.text_before - text, 0, reason or "damaged")

    def _tell(self, gap: Gap, following: Entry, told: int) -> Entry:
        """Make the entry that tells of a gap: all lines before line `told` are dealt with."""
        line = self.position.line
        size = None if gap.bytes is None else gap.bytes + self._skipped
        gap = gap._replace(bytes=size, lines=max(0, told - line))
        self._skipped = 0
        return following._replace(
            kind=Kind.GAP,
            payload=gap.encode(),
            line=line,
            text_before=following.text_before - (size or 0),
            newlines=gap.lines or 0,
            text_size=size or 0,
            after=Position(following.offset, following.skip, told),
            skip=0,
        )

    def _with_cut_line(self, entry: Entry, told: int) -> Entry:
        """Count the line that a stored gap leaves without beginning among its lines."""
        gap = Gap.of(entry)
        if gap.lines is None:
            return entry
        cut = entry.text_size > 0 and entry.leaves_open
        line = max(entry.after.line + cut, told)
        self.position = self.position._replace(line=line)
        payload = gap._replace(lines=line - told).encode()
        return entry._replace(payload=payload, line=told, newlines=line - told)


def _has_text(entry: Entry) -> bool:
    return entry.kind in TEXT_KINDS and entry.text_size > 0
