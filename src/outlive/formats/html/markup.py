"""Lines and words as HTML: text escaped, colours and attributes as classes of the style sheet.

Since inline styles are forbidden to the page, an exact colour is the classes of its three
channels, each with sixteen levels: `rgb xrf xg8 xb0` is `#ff8800`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from itertools import groupby

from ...entries import State, render_time
from ...terminal import PLAIN, Flag, Line, Span, Style
from ...terminal.styles import Color

__all__ = [
    "clean",
    "render_badge",
    "render_duration",
    "render_head",
    "render_line",
    "render_lone_head",
    "render_moment",
]

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="same-origin">
<title>{title}</title>
{links}
</head>"""
_ICON = '<link rel="icon" href="{root}static/favicon.svg" type="image/svg+xml">'

_FLAGS = (
    (Flag.BOLD, "b"),
    (Flag.DIM, "d"),
    (Flag.ITALIC, "i"),
    (Flag.UNDERLINE, "u"),
    (Flag.STRIKE, "s"),
    (Flag.HIDDEN, "h"),
)
#: From here on black can be read on a colour better than white.
_LIGHT = 140


def render_line(line: Line, size: int, here: str = "?") -> str:
    """Write a line without its end; where the markup would be longer than `size`, its bare text.

    `here` is how links to other forms of the page begin.
    """
    html = _render_spans(line.spans, size)
    if html is None:
        html = escape("".join(span.text for span in line.spans), quote=False)
    return html + (_render_cut(line.cut, here) if line.cut else "")


def _render_spans(spans: list[Span], size: int) -> str | None:
    """Write spans, those of one link in one element, as long as they are not too much."""
    parts: list[str] = []
    for link, linked in groupby(spans, lambda span: span.style.link):
        inner = [_render_span(text, style) for text, style in linked]
        if link is not None:
            parts.append(f'<a href="{escape(link)}" rel="noopener noreferrer" target="_blank">')
            inner.append("</a>")
        parts += inner
        size -= sum(map(len, inner)) + (len(link) if link else 0)
        if size < 0:
            return None
    return "".join(parts)


def _render_span(text: str, style: Style) -> str:
    classes = _classes(style)
    text = escape(text, quote=False)
    return f'<span class="{classes}">{text}</span>' if classes else text


def _render_cut(count: int, here: str) -> str:
    more = f"{count:,} more character{'s' if count != 1 else ''}"
    return (
        f'<span class="cut">… {more} of this line: see the <a href="{here}format=text">plain text</a>'
        "</span>"
    )


@lru_cache(maxsize=1024)
def _classes(style: Style) -> str:
    """Name the classes of a style."""
    if style == PLAIN:
        return ""
    fg, bg, flags, _ = style
    classes = [name for flag, name in _FLAGS if flags & flag]
    if flags & Flag.INVERSE and bg is None:
        classes.append("inverse")
    elif flags & Flag.INVERSE:
        fg, bg = bg, "ink" if fg is None else fg
    if bg is not None:
        classes += ["on", *_background(bg)]
    if isinstance(fg, int):
        classes.append(f"f{fg}")
    elif fg is not None:
        classes += ["rgb", *_channels("x", fg)]
    elif isinstance(bg, str) and bg != "ink":
        classes.append("black" if _is_light(bg) else "white")
    return " ".join(classes)


def _background(color: Color) -> list[str]:
    if isinstance(color, str) and color != "ink":
        return ["paint", *_channels("y", color)]
    return [f"g{color}"]


def _channels(prefix: str, color: str) -> list[str]:
    """Name the classes of an exact colour's red, green and blue."""
    values = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return [
        f"{prefix}{name}{round(value / 17):x}" for name, value in zip("rgb", values, strict=True)
    ]


def _is_light(color: str) -> bool:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return red * 0.299 + green * 0.587 + blue * 0.114 > _LIGHT


def clean(text: str) -> str:
    """Escape text that is no output, for an element or an attribute; it has one line."""
    return escape("".join(char if char.isprintable() else "\ufffd" for char in text))


def render_duration(nanoseconds: int) -> str:
    """Write `0.4s`, `12s`, `3m 07s`, `2h 05m`, `3d 4h`."""
    seconds = max(nanoseconds, 0) / 1e9
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if not minutes:
        return f"{second}s"
    if not hours:
        return f"{minute}m {second:02}s"
    return f"{hours}h {minute:02}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def render_head(title: str, *, root: str, sheets: Sequence[str]) -> str:
    """Write a page up to its body; `root` is where the site begins, as seen from the page."""
    links = (f'<link rel="stylesheet" href="{root}static/{sheet}">' for sheet in sheets)
    return _HEAD.format(title=title, links="\n".join([_ICON.format(root=root), *links]))


def render_lone_head(title: str, style: str) -> str:
    """Write a page that belongs to no site up to its body, its style sheet within."""
    # Without an icon, browsers ask the application for one.
    links = f'<link rel="icon" href="data:,">\n<style>{style}</style>'
    return _HEAD.format(title=title, links=links)


def render_badge(state: State, *, root: str | None) -> str:
    """Write the icon, where there is a site to get it from, and the word of a state."""
    image = f'<img src="{root}static/state-{state}.svg" alt="" width="16" height="16">'
    image = "" if root is None else image
    return f'<span class="state {state}">{image}<span>{state}</span></span>'


def render_moment(time: int) -> str:
    """Write a time to the second, and exactly for programs."""
    moment = datetime.fromtimestamp(time // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<time datetime="{render_time(time)}">{moment}</time>'
