"""Control characters and escape sequences (ECMA-48, xterm), told apart from text.

A sequence may be cut anywhere and goes on with the next call; what is kept of an unfinished one is
bounded, and one that does not end is given up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from .lines import OpenLine
from .styles import PLAIN, Style, restyle

__all__ = ["Parser", "Target"]

_CONTROL_LIMIT, _STRING_LIMIT, _DROPPED_LIMIT = 256, 4096, 262144
_FURTHEST = 9999

_GROUND, _ESCAPE, _CONTROL, _SKIPPED, _CHARSET, _TITLE, _DROPPED = range(7)

_PRINTED = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f]+")
_WHOLE_CONTROL = re.compile(rf"\x1b\[([ -?]{{0,{_CONTROL_LIMIT}}})([@-~])")
_PARAMETERS = re.compile(r"[0-9;:]*")
_ALTERNATE_SCREEN = re.compile(r"\?(47|1047|1049)")
_LINK = re.compile(r"8;[^;]*;(.*)", re.DOTALL)
_SAFE_LINK = re.compile(r"https?://[^\s\x00-\x20\x7f-\x9f]{1,2048}", re.IGNORECASE)
# A line's end ends a title, lest a stray one eats the log.
_TITLE_END = re.compile(r"[\x07\x18\x1a\x1b\x9c\n]")
_DROPPED_END = re.compile(r"[\x18\x1a\x1b\x9c]")

_GRAPHICS = str.maketrans(
    "`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"
)  # the line drawing of the VT100


class Target(Protocol):
    """What is drawn on."""

    @property
    def line(self) -> OpenLine: ...
    def print(self, text: str, style: Style) -> None: ...
    def feed(self) -> None: ...
    def new_screen(self) -> None: ...
    def jump(self, column: int) -> None: ...
    def save(self, style: Style) -> None: ...
    def restore(self) -> Style | None: ...


class Parser:
    """The state of one writer: its sequence, its style, its character set."""

    def __init__(self) -> None:
        self._style = PLAIN
        self._has_graphics = False
        self._enter(_GROUND)

    @property
    def is_plain(self) -> bool:
        """Whether text that came now would be nothing but text."""
        return self._state == _GROUND and self._style == PLAIN and not self._has_graphics

    def write(self, text: str, target: Target) -> None:
        """Go on with text that this writer sent."""
        place = 0
        while place < len(text):
            if self._state != _GROUND:
                place = self._continue(text, place, target)
            elif printed := _PRINTED.match(text, place):
                self._print(printed[0], target)
                place = printed.end()
            elif whole := _WHOLE_CONTROL.match(text, place):
                self._command(whole[2], whole[1], target)
                place = whole.end()
            else:
                self._control(text[place], target)
                place += 1

    def _enter(self, state: int, held: str = "") -> None:
        self._state, self._held = state, held
        self._size = 0
        self._after_escape = False

    def _print(self, text: str, target: Target) -> None:
        target.print(text.translate(_GRAPHICS) if self._has_graphics else text, self._style)

    def _control(self, char: str, target: Target) -> None:
        """Obey a control character, or show it where it says nothing to a line."""
        if char == "\x1b":
            self._enter(_ESCAPE)
        elif char in "\n\x0b\x0c":
            target.feed()
        elif char == "\r":
            target.line.move_to(0)
        elif char == "\b":
            target.line.move_by(-1)
        elif char not in "\0\x07\x0e\x0f":
            code = ord(char)
            symbol = chr(0x2400 + code) if code < 32 else "␡" if code == 127 else "\ufffd"
            target.print(symbol, self._style)

    # ---- sequences that are not whole

    def _continue(self, text: str, place: int, target: Target) -> int:
        """Go on with a sequence that began before; return where it leaves off."""
        if self._state in (_TITLE, _DROPPED):
            return self._string(text, place, target)
        char = text[place]
        if char == "\x1b":
            self._enter(_ESCAPE)
        elif char in "\x18\x1a":
            self._enter(_GROUND)
        elif char < " ":
            # Terminals obey these in the middle of a sequence.
            if char == "\t":
                self._print(char, target)
            else:
                self._control(char, target)
        elif char > "~":  # no sequence has these: show them
            self._enter(_GROUND)
            return place
        elif self._state == _ESCAPE:
            self._escape(char, target)
        elif self._state == _CHARSET:
            if self._held == "(":
                self._has_graphics = char == "0"
            self._enter(_GROUND)
        else:
            self._parameter(char, target)
        return place + 1

    def _parameter(self, char: str, target: Target) -> None:
        if char >= "@":
            held, state = self._held, self._state
            self._enter(_GROUND)
            if state == _CONTROL:
                self._command(char, held, target)
        elif len(self._held) < _CONTROL_LIMIT:
            self._held += char
        else:
            self._state = _SKIPPED
            self._size += 1
            if self._size > _STRING_LIMIT:
                self._give_up(target)

    def _give_up(self, target: Target) -> None:
        self._enter(_GROUND)
        self._print("\ufffd", target)

    def _escape(self, char: str, target: Target) -> None:
        """Obey what follows an ESC."""
        self._enter(_GROUND)
        if char == "[":
            self._enter(_CONTROL)
        elif char == "]":
            self._enter(_TITLE)
        elif char in "PX^_":
            self._enter(_DROPPED)
        elif char in " #%()*+-./":
            self._enter(_CHARSET, char)
        elif char == "7":
            target.save(self._style)
        elif char == "8":
            self._restore(target)
        elif char in "DE":
            target.feed()
        elif char == "c":
            self._style = PLAIN
            target.new_screen()

    def _string(self, text: str, place: int, target: Target) -> int:
        """Go on in a string: OSC is kept for its link, DCS, APC, PM and SOS are only counted."""
        keeps = self._state == _TITLE
        if self._after_escape:
            ends = text[place] == "\\"
            held = self._held
            self._enter(_GROUND if ends else _ESCAPE)
            self._title(held, keeps=keeps)
            return place + ends
        found = (_TITLE_END if keeps else _DROPPED_END).search(text, place)
        stop = found.start() if found else len(text)
        room = (_STRING_LIMIT if keeps else _DROPPED_LIMIT) - self._size
        if stop - place > room:
            self._give_up(target)
            return place + room
        self._size += stop - place
        if keeps:
            self._held += text[place:stop]
        if found is None:
            return stop
        return self._end_string(found[0], stop, keeps=keeps)

    def _end_string(self, end: str, stop: int, *, keeps: bool) -> int:
        if end == "\x1b":
            self._after_escape = True
            return stop + 1
        held = self._held
        self._enter(_GROUND)
        if end == "\n":
            return stop
        self._title(held, keeps=keeps and end not in "\x18\x1a")
        return stop + 1

    def _title(self, held: str, *, keeps: bool) -> None:
        """Take a link out of an OSC; drop what else it may say."""
        link = _LINK.fullmatch(held) if keeps else None
        if link is not None:
            self._style = self._style._replace(
                link=link[1] if _SAFE_LINK.fullmatch(link[1]) else None
            )

    def _restore(self, target: Target) -> None:
        style = target.restore()
        self._style = self._style if style is None else style

    def _command(self, final: str, held: str, target: Target) -> None:
        """Obey a control sequence, where it draws within a line."""
        if _PARAMETERS.fullmatch(held) is None:
            if final in "hl" and _ALTERNATE_SCREEN.fullmatch(held):
                target.new_screen()
        elif final == "m":
            self._style = restyle(self._style, held)
        elif final == "s":
            target.save(self._style)
        elif final == "u":
            self._restore(target)
        elif final in _COMMANDS:
            first, second = [*map(_number, held.split(";", 2)[:2]), 0][:2]
            _COMMANDS[final](target, first, second)


def _number(text: str) -> int:
    digits = text.partition(":")[0]
    return min(int(digits), _FURTHEST) if digits else 0


def _erase_display(target: Target, mode: int, _: int) -> None:
    if mode == 0:
        target.line.erase()
    elif mode == 2:
        target.new_screen()


def _erase_line(target: Target, mode: int, _: int) -> None:
    target.line.erase(mode)


def _column(target: Target, count: int, _: int) -> None:
    target.line.move_to((count or 1) - 1)


def _start(target: Target, _count: int, _: int) -> None:
    target.line.move_to(0)


def _place(target: Target, _row: int, column: int) -> None:
    target.jump((column or 1) - 1)


_COMMANDS: dict[str, Callable[[Target, int, int], None]] = {
    "@": lambda target, count, _: target.line.insert_cells(count or 1),
    "C": lambda target, count, _: target.line.move_by(count or 1),
    "D": lambda target, count, _: target.line.move_by(-(count or 1)),
    "E": _start,
    "F": _start,
    "G": _column,
    "H": _place,
    "J": _erase_display,
    "K": _erase_line,
    "P": lambda target, count, _: target.line.delete_cells(count or 1),
    "X": lambda target, count, _: target.line.erase_cells(count or 1),
    "`": _column,
    "a": lambda target, count, _: target.line.move_by(count or 1),
    "f": _place,
}
