"""A page that grows as the run does, for a browser without JavaScript.

Nothing that was sent can be taken back, so what is not final (an unfinished line, the bars of
stages that go on) is sent as a *glimpse*, which the style sheet hides as soon as any element
follows it: a bar that is redrawn a thousand times is one bar to see.
"""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from html import escape
from typing import Any

from ...entries import TEXT_KINDS, End, Entry, Gap, Kind, Position, RunRecord, State, render_time
from ...terminal import Line, Terminal
from ..base import Format, render_gap
from .markup import render_line

__all__ = ["HtmlFormat"]

#: Bytes after which browsers draw what is there instead of waiting for more.
HEAD_SIZE = 1024
#: Lines in one block: browsers lay out a block again while it grows, and skip one that is far away.
BLOCK_LINES = 200
#: Characters of markup of one line; one with more loses its colours and links, never text.
LINE_SIZE = 256 * 1024
#: The same for a glimpse, which comes up to five times a second, and has no more text than that.
GLIMPSE_SIZE = 4096
#: Unfinished stages that are remembered, and those whose bars are shown.
STAGES, BARS = 64, 6

_LEVELS = {"WARNING": "line warning", "ERROR": "line error", "CRITICAL": "line error"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="same-origin">
<title>{title}</title>
<link rel="icon" href="{root}static/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{root}static/page.css">
<link rel="stylesheet" href="{root}static/html.css">
</head>
<body class="run still">
<header>
<a class="back" href="{root}">← Runs</a>
<h1 title="{title}">{title}</h1>
<p class="now">{badge}</p>
<p class="actions"><a class="button" href="?format=text">Plain text</a></p>
</header>
<!--{padding}-->
<main tabindex="0" autofocus><div>
<p id="facts">{facts}</p>
{before}<pre id="log">"""
_BEFORE = (
    '<p class="mark">This begins at line {line:,}; what is before it is in '
    '<a href="?format=html">the whole page</a> and in the <a href="?format=text">plain text</a></p>\n'
)
_END = """{rest}</pre>
<p id="end" class="end {state}">{badge}{words}</p>
</div></main>
</body>
</html>
"""
_BLOCK = '<span class="block">'


class HtmlFormat(Format):
    """A valid page from its first bytes; closed, with how the run ended, at the end.

    It has no cursors: a browser that comes again begins again.
    """

    media_type = "text/html; charset=utf-8"
    heartbeat = b"<!---->"
    #: Where the site begins, as seen from the page.
    root = "../"

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self._terminal = Terminal()
        self._stages: dict[tuple[str | None, str], dict[str, Any]] = {}
        self._started_at = 0
        self._block_lines = -1
        self._glimpse = ""

    def open(self, start: Entry, position: Position, *, resumed: bool) -> bytes:  # noqa: ARG002
        record = RunRecord.of(start)
        self._started_at = record.started_at
        command = shlex.join(record.command or [])
        is_middle = position.line > 1 or position.byte > 0
        page = {
            "title": _clean(record.title or command or record.id),
            "root": self.root,
            "badge": self._badge(State.RUNNING),
            "facts": "\n".join(_facts(record, command)),
            "before": _BEFORE.format(line=position.line) if is_middle else "",
        }
        size = len(_PAGE.format(**page, padding="").encode())
        return _PAGE.format(**page, padding=" " * (HEAD_SIZE - size)).encode()

    def encode(self, entry: Entry) -> bytes:
        if entry.kind in TEXT_KINDS:
            return self._text(entry).encode()
        if entry.kind is Kind.GAP:
            return self._gap(entry).encode()
        if entry.kind is Kind.STAGE:
            return self._stage(entry.data).encode()
        if entry.kind is Kind.EVENT:
            return self._event(entry.data).encode()
        return self._end(entry).encode() if entry.kind is Kind.END else b""

    def partial(self) -> bytes:
        bars = [_bar(stage) for stage in list(self._stages.values())[-BARS:]]
        glimpse = "".join(bars) + self._unfinished(GLIMPSE_SIZE)
        if glimpse == self._glimpse:
            return b""
        self._glimpse = glimpse
        return f'{self._opening()}<span class="glimpse">{glimpse}</span>'.encode()

    # ---- entries

    def _text(self, entry: Entry) -> str:
        tag = "line err" if entry.kind is Kind.ERR else ""
        if entry.kind is Kind.LOG:
            tag = _LEVELS.get(entry.data["level"], "")
        channel = (entry.kind, entry.origin)
        return self._finished(self._terminal.write(entry.text, channel, tag), tag)

    def _finished(self, drawn: list[Line | str], tag: str = "") -> str:
        """Write finished lines; those without style are many, and need only be escaped."""
        rows: list[str] = []
        for item in drawn:
            if isinstance(item, Line):
                rows.append(_row(render_line(item, LINE_SIZE) + "\n", item.tag))
                continue
            lines = escape(item, quote=False).split("\n")
            lines.pop()
            before, after = _around(tag)
            rows += [f"{before}{line}\n{after}" for line in lines]
        return self._place(rows)

    def _gap(self, entry: Entry) -> str:
        before, gap = "", Gap.of(entry)
        if gap.cuts_line:
            # The rest of this line is missing, and the gap counts it among its lines.
            before = self._finished(self._terminal.cut_off())
        return before + self._mark("gap", render_gap(gap))

    def _stage(self, stage: dict[str, Any]) -> str:
        """Write a row when a stage begins and when it is done; between them it is glimpsed."""
        key = stage["parent"], stage["name"]
        is_known = key in self._stages
        if stage["done"]:
            self._stages.pop(key, None)
            return self._mark("stage", " ".join(["✓", stage["name"], _figures(stage)]))
        self._stages[key] = stage
        if len(self._stages) > STAGES:
            del self._stages[next(iter(self._stages))]
        return "" if is_known else self._mark("stage", f"▸ {stage['name']}")

    def _event(self, event: dict[str, Any]) -> str:
        data = "" if event["data"] is None else json.dumps(event["data"], ensure_ascii=False)
        return self._mark("event", f"{event['name']} {_shorten(data)}")

    def _end(self, entry: Entry) -> str:
        unfinished = self._finished(self._terminal.cut_off())
        end = End.of(entry)
        words = [f"after {_duration(entry.time - self._started_at)}"]
        if end.signal:
            words.insert(0, _clean(end.signal))
        elif end.exit_code is not None and (end.exit_code or end.state is not State.SUCCEEDED):
            words.insert(0, f"exit code {end.exit_code}")
        if end.error:
            words.append(_clean(end.error))
        # Nothing may follow: what a last glimpse showed of stages stays.
        self._stages.clear()
        self._glimpse = ""
        return unfinished + _END.format(
            rest="" if self._block_lines < 0 else "</span>",
            state=end.state,
            badge=self._badge(end.state),
            words="".join(f" · {word}" for word in words),
        )

    # ---- rows

    def _unfinished(self, size: int) -> str:
        line = self._terminal.current()
        if line is None:
            return ""
        html = render_line(line, size)
        if len(html) > size:
            text = "".join(span.text for span in line.spans)
            html = "… " + escape(text[-size // 4 :], quote=False)
        return _row(html, line.tag)

    def _mark(self, kind: str, text: str) -> str:
        return self._place([_row(f"{_clean(text)}\n", f"mark {kind}")])

    def _opening(self) -> str:
        """Begin a block, unless one is open."""
        if self._block_lines >= 0:
            return ""
        self._block_lines = 0
        return _BLOCK

    def _place(self, rows: list[str]) -> str:
        """Write rows in blocks; the first must be an element where it follows a glimpse."""
        if not rows:
            return ""
        if self._glimpse and not rows[0].startswith("<span"):
            rows[0] = f"<span>{rows[0]}</span>"
        self._glimpse = ""
        parts = []
        place = 0
        while place < len(rows):
            parts.append(self._opening())
            some = rows[place : place + BLOCK_LINES - self._block_lines]
            parts += some
            place += len(some)
            self._block_lines += len(some)
            if self._block_lines >= BLOCK_LINES:
                parts.append("</span>")
                self._block_lines = -1
        return "".join(parts)

    def _badge(self, state: State) -> str:
        image = f'<img src="{self.root}static/state-{state}.svg" alt="" width="16" height="16">'
        return f'<span class="state {state}">{image}<span>{state}</span></span>'


def _around(tag: str) -> tuple[str, str]:
    """Get the markup around a row: none around plain output."""
    return (f'<span class="{tag}">', "</span>") if tag else ("", "")


def _row(html: str, tag: str) -> str:
    before, after = _around(tag)
    return before + html + after


def _facts(record: RunRecord, command: str) -> list[str]:
    """Tell what is known of a run when it starts."""
    seconds = record.started_at // 1_000_000_000
    started = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    facts = [f'<time datetime="{render_time(record.started_at)}">started {started}</time>']
    if record.owner:
        facts.insert(0, f"<span>by {_clean(record.owner)}</span>")
    if command and command != record.title:
        facts.insert(0, f"<code>$ {_clean(command)}</code>")
    for key, value in record.labels.items():
        facts.append(f'<span class="label">{_clean(f"{key}: {value}" if value else key)}</span>')
    return facts


def _bar(stage: dict[str, Any]) -> str:
    """Draw how far a stage is."""
    total, current = stage["total"], stage["current"] or 0
    values = f' max="{total:f}" value="{current:f}"' if total else ""
    bar = f"{_clean(stage['name'])} <progress{values}></progress> {_clean(_figures(stage))}\n"
    return _row(bar, "mark stage")


def _figures(stage: dict[str, Any]) -> str:
    numbers = [str(stage[name]) for name in ("current", "total") if stage[name] is not None]
    return " ".join(["/".join(numbers), stage["unit"] or ""]).strip()


def _shorten(text: str, size: int = 500) -> str:
    return text if len(text) <= size else f"{text[:size]}…"


def _clean(text: str) -> str:
    """Escape text that is no output, for an element or an attribute; it has one line."""
    return escape("".join(char if char.isprintable() else "\ufffd" for char in text))


def _duration(nanoseconds: int) -> str:
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
