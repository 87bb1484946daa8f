"""What several writers send to one terminal, as the lines that are to be seen of it.

The view is of lines, not of a screen: what draws within a line (carriage returns, colours,
columns) is drawn as a terminal would; what moves between lines is ignored, so that no finished
line ever changes; and what clears or leaves the screen ends the line, so that no text is joined
that was never side by side.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Hashable
from typing import NamedTuple

from .lines import LINE_LIMIT, SPAN_COST, Line, OpenLine
from .sequences import Parser
from .styles import Style

__all__ = ["Terminal"]

#: Writers whose colours and half sequences are kept apart.
_CHANNELS = 64
#: Whatever makes a line more than its characters; a CR before LF does not.
_SPECIAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")


class _Saved(NamedTuple):
    line: int
    column: int
    style: Style


class Terminal:
    """Bytes in, finished lines out; the unfinished one can be looked at."""

    def __init__(self) -> None:
        self._channels: dict[Hashable, _Channel] = {}
        self._line = OpenLine()
        self._tag = ""
        self._finished: list[Line | str] = []
        self._count = 0
        self._saved: _Saved | None = None
        self._is_away = False

    def write(self, data: bytes, channel: Hashable = None, tag: str = "") -> list[Line | str]:
        """Draw what one writer sent; return the lines that it finished.

        A string is any number of whole lines, each with its LF, without style and of this `tag`.
        """
        writer = self._channels.get(channel)
        if writer is None:
            if len(self._channels) >= _CHANNELS:
                self._channels.clear()
            writer = self._channels[channel] = _Channel()
        self._tag = tag
        self._draw(writer.decoder.decode(data), writer.parser)
        return self._take()

    def current(self) -> Line | None:
        """Draw the unfinished line, where there is one."""
        return self._line.drawn() if self._line.has_text else None

    def cut_off(self) -> list[Line | str]:
        """End the line for good, and all sequences and colours: what follows is unrelated."""
        for writer in self._channels.values():
            self._draw(writer.decoder.decode(b"", final=True), writer.parser)
        self._channels.clear()
        self._saved = None
        if self._line.has_text:
            self.feed()
        self._line = OpenLine()
        self._is_away = False
        return self._take()

    def _take(self) -> list[Line | str]:
        finished, self._finished = self._finished, []
        return finished

    def _draw(self, text: str, parser: Parser) -> None:
        """Draw whole plain lines at once, and each other line by its sequences."""
        place = 0
        while place < len(text):
            if parser.is_plain and self._line.is_blank and not self._is_away:
                special = _SPECIAL.search(text, place)
                end = _whole_lines(text, place, special.start() if special else len(text))
                if end > place:
                    plain = text[place:end].replace("\r\n", "\n")
                    self._finished.append(plain)
                    self._count += plain.count("\n")
                    place = end
                    continue
            end = text.find("\n", place) + 1 or len(text)
            parser.write(text[place:end], self)
            place = end

    # ---- what sequences ask for

    @property
    def line(self) -> OpenLine:
        """The line that is being written."""
        return self._line

    def print(self, text: str, style: Style) -> None:
        """Write text at the cursor."""
        self._line.write(text, style, self._tag)

    def feed(self) -> None:
        """Finish the line and begin the next."""
        self._finished.append(self._line.drawn())
        self._line = OpenLine()
        self._count += 1
        self._is_away = False

    def new_screen(self) -> None:
        """Go to the start of an empty screen: below what was written."""
        if self._line.has_text:
            self.feed()
        self._line = OpenLine()

    def jump(self, column: int) -> None:
        """Go to another row, which a line-wise view does not have."""
        if self._line.has_text:
            self.feed()
        self._is_away = True
        self._line.move_to(column)

    def save(self, style: Style) -> None:
        """Remember the cursor."""
        self._saved = _Saved(self._count, self._line.column, style)

    def restore(self) -> Style | None:
        """Go back to the remembered cursor, and leave nothing of what was drawn elsewhere."""
        if self._saved is None:
            return None
        if self._is_away:
            # A bar at the bottom of the screen, as apt draws it while lines go on above.
            self._line = OpenLine()
            self._is_away = False
        if self._saved.line == self._count:
            self._line.move_back(self._saved.column)
        return self._saved.style


class _Channel:
    """Where one writer is: within a character, a sequence, a colour."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.parser = Parser()


def _whole_lines(text: str, start: int, stop: int) -> int:
    """Find the end of the last whole line before `stop`, but of none that is too long."""
    limit = LINE_LIMIT - SPAN_COST
    end = text.rfind("\n", start, stop) + 1
    if end - start <= limit:
        return max(end, start)
    place = start
    while place < end:
        further = text.rfind("\n", place, min(place + limit + 1, end)) + 1
        if not further:
            break
        place = further
    return place
