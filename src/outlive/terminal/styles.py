"""Colours and attributes of text, and the sequences (SGR, ECMA-48 8.3.117) that set them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntFlag
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

__all__ = ["PLAIN", "Color", "Flag", "Style", "restyle"]

#: None is the default, a number one of the sixteen that a theme chooses, text an exact `#rrggbb`.
Color = int | str | None

_PARAMETERS = 64
_LEVELS = (0, 95, 135, 175, 215, 255)


class Flag(IntFlag):
    """Attributes that can be combined."""

    BOLD = 1
    DIM = 2
    ITALIC = 4
    UNDERLINE = 8
    INVERSE = 16
    STRIKE = 32
    HIDDEN = 64


class Style(NamedTuple):
    """How a piece of text looks, and where it leads."""

    fg: Color = None
    bg: Color = None
    flags: int = 0
    link: str | None = None


PLAIN = Style()

_ON = {
    1: Flag.BOLD,
    2: Flag.DIM,
    3: Flag.ITALIC,
    4: Flag.UNDERLINE,
    7: Flag.INVERSE,
    8: Flag.HIDDEN,
    9: Flag.STRIKE,
    21: Flag.UNDERLINE,
}
_OFF = {
    22: Flag.BOLD | Flag.DIM,
    23: Flag.ITALIC,
    24: Flag.UNDERLINE,
    27: Flag.INVERSE,
    28: Flag.HIDDEN,
    29: Flag.STRIKE,
}
_COLORS: dict[int, dict[str, Color]] = {
    39: {"fg": None},
    49: {"bg": None},
    **{30 + i: {"fg": i} for i in range(8)},
    **{40 + i: {"bg": i} for i in range(8)},
    **{90 + i: {"fg": 8 + i} for i in range(8)},
    **{100 + i: {"bg": 8 + i} for i in range(8)},
}


# Programs use few sequences, and use them often.
@lru_cache(maxsize=1024)
def restyle(before: Style, parameters: str) -> Style:
    """Get the style after an SGR sequence with these parameters."""
    style = before
    numbers = iter(parameters.split(";")[:_PARAMETERS])
    for parameter in numbers:
        parts = parameter.split(":")
        code = _number(parts[0])
        if code in (38, 48, 58):
            color = _exact(parts[1:]) if len(parts) > 1 else _exact_of_next(numbers)
            if color is not None and code != 58:  # the colour of an underline is not shown
                style = style._replace(fg=color) if code == 38 else style._replace(bg=color)
        else:
            style = _simple(style, code, no_underline=parts[1:2] == ["0"])
    return style


def _simple(style: Style, code: int, *, no_underline: bool) -> Style:
    """Apply what one number says."""
    if code == 0:
        return PLAIN._replace(link=style.link)
    if code == 4 and no_underline:
        return style._replace(flags=style.flags & ~int(Flag.UNDERLINE))
    if code in _ON:
        return style._replace(flags=style.flags | int(_ON[code]))
    if code in _OFF:
        return style._replace(flags=style.flags & ~int(_OFF[code]))
    return style._replace(**_COLORS.get(code, {}))  # type: ignore[arg-type]


def _exact_of_next(numbers: Iterator[str]) -> Color:
    """Read a colour whose parts are parameters of their own, as xterm first had it."""
    kind = next(numbers, "")
    return _exact([kind, *islice(numbers, {"5": 1, "2": 3}.get(kind, 0))])


def _exact(parts: list[str]) -> Color:
    """Read `5:N` or `2:R:G:B`, the latter also with a colour space before its R (ITU-T T.416)."""
    kind, *rest = parts
    if kind == "5":
        return _indexed(_channel(rest[0] if rest else ""))
    if kind != "2":
        return None
    red, green, blue = ([*rest[len(rest) > 3 :], "", "", ""])[:3]
    return f"#{_channel(red):02x}{_channel(green):02x}{_channel(blue):02x}"


def _indexed(index: int) -> Color:
    """Get one of the 256: sixteen, a cube of 6 × 6 × 6, 24 greys."""
    if index < 16:
        return index
    if index >= 232:
        return f"#{8 + (index - 232) * 10:02x}" + f"{8 + (index - 232) * 10:02x}" * 2
    cube = index - 16
    return "#" + "".join(f"{_LEVELS[cube // by % 6]:02x}" for by in (36, 6, 1))


def _channel(text: str) -> int:
    return min(_number(text), 255)


def _number(text: str) -> int:
    digits = re.match(r"[0-9]*", text)
    return int(digits[0]) if digits and digits[0] else 0
