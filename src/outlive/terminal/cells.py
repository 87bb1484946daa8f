"""A line as cells: one string per cell, empty in the second half of a wide character."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["blank_halves", "join", "width"]

#: Characters of one cell each, as nearly all are; what is left is looked up.
NARROW = re.compile("[ -~\xa0-\u02ff\u2500-\u25a0]*")
#: Characters in one cell: a heap of combining marks is cut.
_HEAP = 16
_EAST = (
    (0x1100, 0x115F),
    (0x2E80, 0x303E),
    (0x3041, 0xA4CF),
    (0xA960, 0xA97F),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFE10, 0xFE19),
    (0xFE30, 0xFE6F),
    (0xFF01, 0xFF60),
    (0xFFE0, 0xFFE6),
    (0x17000, 0x1B2FF),
    (0x20000, 0x3FFFD),
)


@lru_cache(maxsize=4096)
def width(char: str) -> int:
    """Tell how many cells a character takes: 0, 1 or 2."""
    code = ord(char)
    if code < 0x300 or 0x2500 <= code <= 0x25A0:
        return 1
    if 0x1160 <= code <= 0x11FF or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    if any(first <= code <= last for first, last in _EAST):
        return 2
    return 2 if unicodedata.east_asian_width(char) == "W" else 1


def join(cells: list[str], column: int, mark: str) -> None:
    """Add a combining mark to the cell before `column`."""
    place = min(column, len(cells)) - 1
    if place > 0 and not cells[place]:
        place -= 1
    if place >= 0 and len(cells[place]) < _HEAP:
        cells[place] += mark


def blank_halves(cells: list[str], column: int, count: int) -> None:
    """Leave a blank in the other half of each wide character that is about to lose one."""
    if 0 < column < len(cells) and not cells[column]:
        cells[column - 1] = " "
    after = column + count
    if after < len(cells) and not cells[after]:
        cells[after] = " "
