"""The line that is being written, and the finished ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from .cells import NARROW, blank_halves, join, width
from .styles import PLAIN, Flag, Style

__all__ = ["Line", "OpenLine", "Span"]

#: Characters kept of one line; a change of style counts as SPAN_COST of them.
LINE_LIMIT = 65536
SPAN_COST = 16
#: How far a movement, as opposed to text, can take the cursor: it makes padding cheap.
FURTHEST_COLUMN = 400
#: Cells of a line in which others can still be inserted: each insertion moves all behind it.
_INSERTABLE = 4096

_VISIBLE = int(Flag.INVERSE | Flag.UNDERLINE | Flag.STRIKE)


class Span(NamedTuple):
    """A piece of text of one style."""

    text: str
    style: Style


class Line(NamedTuple):
    """A line as a terminal shows it; `cut` counts the characters that were not kept."""

    spans: list[Span]
    tag: str = ""
    cut: int = 0


class OpenLine:
    """A line that can be overwritten.

    It is spans while it only grows, and cells from the moment a movement makes it one. The column
    is None while the cursor is at the end of a line of spans.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[list[str], Style]] = []
        self._cells: list[str] | None = None
        self._styles: list[Style] = []
        self._size = 0
        self._cut = 0
        self._tag = ""
        self._column: int | None = None

    @property
    def is_blank(self) -> bool:
        """Whether there is no text, and the cursor is at the beginning."""
        return not self._size and not self._column

    @property
    def has_text(self) -> bool:
        """Whether anything was written that is still there."""
        return bool(self._size)

    @property
    def column(self) -> int:
        """The cursor's column, from 0."""
        if self._column is None:
            self._column = len(self._as_cells())
        return self._column

    def drawn(self) -> Line:
        """Draw the line as it is now, without the blanks at its end that nobody can see."""
        if self._cells is None:
            spans = [Span("".join(pieces), style) for pieces, style in self._spans]
        else:
            spans = list(_spans(self._cells, self._styles))
        return Line(spans, self._tag, self._cut)

    # ---- text

    def write(self, text: str, style: Style, tag: str) -> None:
        """Write at the cursor."""
        if not self._size:
            self._tag = tag
            if not self._column and not self._cells:
                self._cells, self._column = None, None
        if self._column is None:
            self._grow(text, style)
        else:
            self._overwrite(text, style)

    def _grow(self, text: str, style: Style) -> None:
        grows_last = bool(self._spans) and self._spans[-1][1] == style
        cost = 0 if grows_last else SPAN_COST
        kept = text[: max(LINE_LIMIT - self._size - cost, 0)]
        self._cut += len(text) - len(kept)
        if not kept:
            return
        if grows_last:
            self._spans[-1][0].append(kept)
        else:
            self._spans.append(([kept], style))
        self._size += len(kept) + cost

    def _overwrite(self, text: str, style: Style) -> None:
        cells = self._as_cells()
        column = self.column
        if NARROW.fullmatch(text) and column + len(text) <= LINE_LIMIT:
            self._pad(column)
            blank_halves(cells, column, len(text))
            cells[column : column + len(text)] = text
            self._styles[column : column + len(text)] = [style] * len(text)
            self._column = column + len(text)
        else:
            for char in text:
                self._put(char, style)
        self._size = len(cells)

    def _put(self, char: str, style: Style) -> None:
        """Write one character over what is there; a tab only moves."""
        cells, column = self._as_cells(), self.column
        if char == "\t":
            self.move_to((column | 7) + 1)
            return
        size = width(char)
        if size == 0:
            join(cells, column, char)
        elif column + size > LINE_LIMIT:
            self._cut += 1
        else:
            self._pad(column)
            blank_halves(cells, column, size)
            cells[column : column + size] = [char, ""][:size]
            self._styles[column : column + size] = [style] * size
            self._column = column + size

    def _pad(self, column: int) -> None:
        missing = column - len(self._as_cells())
        if missing > 0:
            self._as_cells().extend(" " * missing)
            self._styles.extend([PLAIN] * missing)

    def _as_cells(self) -> list[str]:
        """Turn the spans into cells, once; it looks as before."""
        if self._cells is not None:
            return self._cells
        cells: list[str] = []
        self._styles = []
        for pieces, style in self._spans:
            for char in "".join(pieces):
                size = 8 - (len(cells) & 7) if char == "\t" else width(char)
                if size == 0:
                    join(cells, len(cells), char)
                    continue
                # A tab is as many blanks; the second half of a wide character is an empty cell.
                cells.extend(" " * size if char == "\t" else [char, ""][:size])
                self._styles.extend([style] * size)
        self._spans = []
        self._cells = cells
        self._size = len(cells)
        return cells

    # ---- the cursor

    def move_to(self, column: int) -> None:
        """Take the cursor to a column, from 0; no further than it is, or FURTHEST_COLUMN."""
        furthest = max(FURTHEST_COLUMN, self._column or 0)
        self._column = max(0, min(column, furthest))

    def move_back(self, column: int) -> None:
        """Take the cursor to a column where it was before; no further than there is text."""
        self._column = min(column, max(FURTHEST_COLUMN, len(self._as_cells())))

    def move_by(self, columns: int) -> None:
        """Take the cursor to the right, or with less than 0 to the left."""
        self.move_to(self.column + columns)

    # ---- erasing

    def erase(self, mode: int = 0) -> None:
        """Erase from the cursor to the end (0), from the start to the cursor (1), or all (2)."""
        if mode == 0 and self._column is not None:
            self._truncate(self._column)
        elif mode in (1, 2):
            column = min(self.column, FURTHEST_COLUMN)
            if mode == 1:
                self._blank(0, column + 1)
            else:
                self.clear()
            self._column = column

    def clear(self) -> None:
        """Take all text away, and leave the cursor where it is."""
        self._spans, self._cells = [], None
        self._size = self._cut = 0

    def erase_cells(self, count: int) -> None:
        """Make blanks of what is at the cursor."""
        column = self.column
        self._blank(column, column + min(count, FURTHEST_COLUMN))

    def insert_cells(self, count: int) -> None:
        """Move what is at the cursor to the right."""
        cells, column = self._as_cells(), self.column
        if column < len(cells) <= _INSERTABLE:
            blank_halves(cells, column, 0)
            count = min(count, FURTHEST_COLUMN)
            cells[column:column] = " " * count
            self._styles[column:column] = [PLAIN] * count
            self._size = len(cells)

    def delete_cells(self, count: int) -> None:
        """Take away what is at the cursor; what is behind it moves up."""
        cells, column = self._as_cells(), self.column
        if column < len(cells) <= _INSERTABLE:
            blank_halves(cells, column, count)
            del cells[column : column + count], self._styles[column : column + count]
            self._size = len(cells)

    def _truncate(self, column: int) -> None:
        if column == 0:
            self.clear()
            return
        cells = self._as_cells()
        del cells[column:], self._styles[column:]
        self._cut = 0
        self._size = len(cells)

    def _blank(self, first: int, stop: int) -> None:
        cells = self._as_cells()
        stop = min(stop, len(cells))
        if first < stop:
            blank_halves(cells, first, stop - first)
            cells[first:stop] = " " * (stop - first)
            self._styles[first:stop] = [PLAIN] * (stop - first)


def _spans(cells: list[str], styles: list[Style]) -> Iterator[Span]:
    end = len(cells)
    while end and cells[end - 1] == " " and _is_invisible(styles[end - 1]):
        end -= 1
    place = 0
    for style, same in groupby(styles[:end]):
        size = sum(1 for _ in same)
        yield Span("".join(cells[place : place + size]), style)
        place += size


def _is_invisible(blank: Style) -> bool:
    return blank.bg is None and not blank.flags & _VISIBLE
