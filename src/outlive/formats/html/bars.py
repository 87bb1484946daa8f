"""Stages as rows between the lines of a log, as bars, and as a table at the end."""

from __future__ import annotations

from .markup import clean, render_duration
from .stages import Row, Stages

__all__ = ["render_bar", "render_done", "render_table"]

#: Characters of a name; a line shows fewer.
NAME_SIZE = 300


def render_done(row: Row) -> str:
    """Write that a stage is done, how far it came, and how long it took."""
    stage = row.stage
    words = filter(None, (clean(stage.figures), render_duration(stage.at - stage.began)))
    html = f'<span class="check">✓</span> {_name(row)} · {" · ".join(words)}'
    return f'<span class="mark stage depth{row.depth}">{html}\n</span>'


def render_bar(row: Row, state: str = "") -> str:
    """Draw how far a stage is; `state` is how the run ended in it, if it did."""
    stage = row.stage
    values = "" if stage.share is None else f' value="{stage.share:.4f}"'
    if state and not values:
        values = ' value="0"'
    return (
        f'<span class="mark stage bar depth{row.depth} {state}"><span class="name">{_name(row)}</span> '
        f'<progress aria-label="{_name(row)}" max="1"{values}></progress> '
        f'<span class="percent">{stage.percent}</span> '
        f'<span class="figures">{clean(stage.figures)}</span>\n</span>'
    )


def render_table(stages: Stages) -> str:
    """List the stages that are done, behind one line that opens; nothing where there are none."""
    rows = stages.done
    count = len(rows) + stages.forgotten
    if not count:
        return ""
    items = (
        f'<li class="depth{row.depth}"><span class="name">{_name(row)}</span> '
        f"<span>{clean(row.stage.figures)}</span> "
        f"<span>{render_duration(row.stage.at - row.stage.began)}</span></li>"
        for row in rows
    )
    name = f"{count:,} stage{'s' if count != 1 else ''} done"
    before = f"<li>{stages.forgotten:,} earlier</li>\n" if stages.forgotten else ""
    return (
        f'<details id="finished"><summary>{name}</summary><ol>\n{before}'
        + "\n".join(items)
        + "\n</ol></details>\n"
    )


def _name(row: Row) -> str:
    return clean(row.stage.name[:NAME_SIZE])
