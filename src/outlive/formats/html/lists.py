"""A list of runs as a page that needs no JavaScript."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ...entries import RunRecord, State
from .markup import clean, render_badge, render_duration, render_head, render_moment

__all__ = ["render_list"]

_PAGE = """{head}
<body class="runs">
<header>
<h1>Runs</h1>
<p class="now">{summary}</p>
<p class="actions"><a class="button" href="?format=html">Newest</a></p>
</header>
<main>
{body}</main>
</body>
</html>
"""
_TABLE = """<table>
<thead><tr><th scope="col" class="is">State</th><th scope="col">Run</th>\
<th scope="col" class="labels">Labels</th><th scope="col" class="took">Duration</th>\
<th scope="col" class="when">Started</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
"""
_ROW = """<tr><td class="is">{badge} <span class="outcome">{outcome}</span></td>\
<td class="title"><div><a href="runs/{run}?format=html">{title}</a></div>\
<code>{command}</code><span class="why">{error}</span></td>\
<td class="labels">{labels}</td><td class="took">{took}</td><td class="when">{started}</td></tr>"""
_OLDER = (
    '<p id="more"><a class="button" href="?format=html&amp;before={older}">Older runs</a></p>\n'
)
_EMPTY = """<section id="empty">
<h2>No runs yet</h2>
<p>Start one in a terminal:</p>
<pre>outlive run -- make all</pre>
</section>
"""


def render_list(records: Sequence[RunRecord], *, older: str | None, now: int) -> bytes:
    """Write the page; `older` is the place behind these runs, where there are more."""
    running = sum(record.end.state is State.RUNNING for record in records)
    rows = "\n".join(_render_row(record, now) for record in records)
    body = _TABLE.format(rows=rows) if records else _EMPTY
    page = _PAGE.format(
        head=render_head("Runs", root="", sheets=("page.css", "html.css")),
        summary=f"{len(records):,} · {running:,} running" if records else "",
        body=body + (_OLDER.format(older=clean(older)) if older else ""),
    )
    return page.encode()


def _render_row(record: RunRecord, now: int) -> str:
    command = shlex.join(record.command or [])
    end = record.end
    labels = (clean(f"{key}: {value}" if value else key) for key, value in record.labels.items())
    return _ROW.format(
        badge=render_badge(end.state, root=""),
        outcome=clean(end.signal or (f"exit code {end.exit_code}" if end.exit_code else "")),
        run=record.id,
        title=clean(record.title or command or record.id),
        command=clean(command) if record.title != command else "",
        error=clean(end.error or ""),
        labels=" ".join(f'<span class="label">{label}</span>' for label in labels),
        took=render_duration((record.ended_at or now) - record.started_at),
        started=render_moment(record.started_at),
    )
