"""A page that grows as the run does, for a browser without JavaScript.

Nothing that was sent can be taken back, so what is not final (an unfinished line, the bars of
stages that go on) is sent as a *glimpse*, which the style sheet hides as soon as any element
follows it: a bar that is redrawn a thousand times is one bar to see.
"""

from __future__ import annotations

import json
import shlex
from html import escape
from typing import Any

from ...entries import TEXT_KINDS, End, Entry, Gap, Kind, Position, RunRecord, State
from ...terminal import Line, Terminal
from ..base import Format, render_gap
from .bars import render_bar, render_done, render_table
from .markup import (
    clean,
    render_badge,
    render_duration,
    render_head,
    render_line,
    render_lone_head,
    render_moment,
)
from .stages import Row, Stages

__all__ = ["HtmlFormat"]

#: Bytes after which browsers draw what is there instead of waiting for more.
HEAD_SIZE = 1024
#: Lines in one block: browsers lay out a block again while it grows, and skip one that is far away.
BLOCK_LINES = 200
#: Characters of markup of one line; one with more loses its colours and links, never text.
LINE_SIZE = 256 * 1024
#: The same for a glimpse, which comes up to five times a second, and has no more text than that.
GLIMPSE_SIZE = 4096
#: Bars in a glimpse.
BARS = 6

_LEVELS = {"DEBUG": "debug", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}
_PAGE = """{head}
<body class="run still">
<header>
{back}<h1 title="{title}">{title}</h1>
<p class="now">{badge}</p>
<div class="actions">{cancel}<a class="button" href="{here}format=text">Plain text</a></div>
</header>
<!--{padding}-->
<main tabindex="0" autofocus><div>
<p id="facts">{facts}</p>
{before}<pre id="log">"""
_BACK = '<a class="back" href="{root}?format=html">← Runs</a>\n'
_BEFORE = (
    '<p class="mark">This begins at line {line:,}; what is before it is in '
    '<a href="{here}format=html">the whole page</a> and in the '
    '<a href="{here}format=text">plain text</a></p>\n'
)
_CANCEL = (
    '<details id="cancel"><summary class="button">Cancel</summary>'
    '<form method="post" action="{run}/cancel?format=html">'
    '<button class="asking">Really cancel</button></form></details> '
)
_END = """{rest}</pre>
<p id="end" class="end {state}">{badge}{words}</p>
{stages}</div></main>
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
    #: Where the site begins, as seen from the page; None where it belongs to none.
    root: str | None = "../"
    #: The style sheet of a page that belongs to none.
    style = ""
    #: How links to other forms of the page begin.
    here = "?"
    #: Whether who asked may cancel the run, and it is one to cancel: the page offers it then.
    may_cancel = False

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self._terminal = Terminal()
        self._stages = Stages()
        self._started_at = 0
        self._block_lines = -1
        self._glimpse = ""

    def open(self, start: Entry, position: Position, *, resumed: bool) -> bytes:  # noqa: ARG002
        record = RunRecord.of(start)
        self._started_at = record.started_at
        command = shlex.join(record.command or [])
        title = clean(record.title or command or record.id)
        is_middle = position.line > 1 or position.byte > 0
        page = {
            "title": title,
            "head": self._head(title),
            "back": "" if self.root is None else _BACK.format(root=self.root),
            "here": self.here,
            "badge": render_badge(State.RUNNING, root=self.root),
            "cancel": _CANCEL.format(run=self.run) if self.may_cancel else "",
            "facts": "\n".join(_facts(record, command)),
            "before": _BEFORE.format(line=position.line, here=self.here) if is_middle else "",
        }
        size = len(_PAGE.format(**page, padding="").encode())
        return _PAGE.format(**page, padding=" " * (HEAD_SIZE - size)).encode()

    def _head(self, title: str) -> str:
        if self.root is None:
            return render_lone_head(title, self.style)
        return render_head(title, root=self.root, sheets=("page.css", "html.css"))

    def encode(self, entry: Entry) -> bytes:
        if entry.kind in TEXT_KINDS:
            return self._text(entry).encode()
        if entry.kind is Kind.GAP:
            return self._gap(entry).encode()
        if entry.kind is Kind.STAGE:
            return self._stage(entry).encode()
        if entry.kind is Kind.EVENT:
            return self._event(entry.data).encode()
        return self._end(entry).encode() if entry.kind is Kind.END else b""

    def partial(self) -> bytes:
        bars = [render_bar(row) for row in self._stages.pick(BARS)]
        glimpse = "".join(bars) + self._unfinished(GLIMPSE_SIZE)
        if glimpse == self._glimpse:
            return b""
        self._glimpse = glimpse
        return f'{self._opening()}<span class="glimpse">{glimpse}</span>'.encode()

    # ---- entries

    def _text(self, entry: Entry) -> str:
        tag = "line err" if entry.kind is Kind.ERR else ""
        if entry.kind is Kind.LOG:
            tag = f"line log {_LEVELS.get(entry.data['level'], 'info')}"
        channel = (entry.kind, entry.origin)
        return self._finished(self._terminal.write(entry.text, channel, tag), tag)

    def _finished(self, drawn: list[Line | str], tag: str = "") -> str:
        """Write finished lines; those without style are many, and need only be escaped."""
        rows: list[str] = []
        for item in drawn:
            if isinstance(item, Line):
                rows.append(_row(render_line(item, LINE_SIZE, self.here) + "\n", item.tag))
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

    def _stage(self, entry: Entry) -> str:
        """Write a row where a stage is done; while it goes on, it is glimpsed."""
        stage = self._stages.take(entry)
        if not stage.is_done:
            return ""
        return self._place([render_done(Row(stage, self._stages.depth(stage)))])

    def _event(self, event: dict[str, Any]) -> str:
        data = "" if event["data"] is None else json.dumps(event["data"], ensure_ascii=False)
        return self._mark("event", f"{event['name']} {_shorten(data)}")

    def _end(self, entry: Entry) -> str:
        unfinished = self._finished(self._terminal.cut_off())
        end = End.of(entry)
        words = [f"after {render_duration(entry.time - self._started_at)}"]
        if end.signal:
            words.insert(0, clean(end.signal))
        elif end.exit_code is not None and (end.exit_code or end.state is not State.SUCCEEDED):
            words.insert(0, f"exit code {end.exit_code}")
        place = [] if end.state is State.SUCCEEDED else self._stages.place()
        if place:
            words.append("in " + clean(" › ".join(row.stage.name for row in place)))
        if end.error:
            words.append(clean(end.error))
        unfinished += self._place([render_bar(row, str(end.state)) for row in place])
        table = render_table(self._stages)
        # Nothing may follow: what a last glimpse showed of stages stays.
        self._stages, self._glimpse = Stages(), ""
        return unfinished + _END.format(
            rest="" if self._block_lines < 0 else "</span>",
            state=end.state,
            badge=render_badge(end.state, root=self.root),
            words="".join(f" · {word}" for word in words),
            stages=table,
        )

    # ---- rows

    def _unfinished(self, size: int) -> str:
        line = self._terminal.current()
        if line is None:
            return ""
        html = render_line(line, size, self.here)
        if len(html) > size:
            text = "".join(span.text for span in line.spans)
            html = "… " + escape(text[-size // 4 :], quote=False)
        return _row(html, line.tag)

    def _mark(self, kind: str, text: str) -> str:
        return self._place([_row(f"{clean(text)}\n", f"mark {kind}")])

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


def _around(tag: str) -> tuple[str, str]:
    """Get the markup around a row: none around plain output."""
    return (f'<span class="{tag}">', "</span>") if tag else ("", "")


def _row(html: str, tag: str) -> str:
    before, after = _around(tag)
    return before + html + after


def _facts(record: RunRecord, command: str) -> list[str]:
    """Tell what is known of a run when it starts."""
    facts = [f"<span>started {render_moment(record.started_at)}</span>"]
    if record.owner:
        facts.insert(0, f"<span>by {clean(record.owner)}</span>")
    if command and command != record.title:
        facts.insert(0, f"<code>$ {clean(command)}</code>")
    for key, value in record.labels.items():
        facts.append(f'<span class="label">{clean(f"{key}: {value}" if value else key)}</span>')
    return facts


def _shorten(text: str, size: int = 500) -> str:
    return text if len(text) <= size else f"{text[:size]}…"
