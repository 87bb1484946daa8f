"""Remove ended runs: old ones, too many, or too large ones."""

from __future__ import annotations

import argparse

from ..errors import ConfigError
from ..stores import Bounds, Pruned
from .arguments import (
    add_label,
    add_store,
    existing_store_of,
    parse_age,
    parse_count,
    parse_size,
)

__all__ = ["act", "add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive prune`."""
    add_store(parser)
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=parse_age,
        help="remove runs that ended so long ago, as in 7d, 12h or 30m",
    )
    parser.add_argument("--keep", metavar="N", type=parse_count, help="keep the newest N runs")
    parser.add_argument(
        "--max-size",
        metavar="SIZE",
        type=parse_size,
        help="remove the oldest runs until the others take no more than so much, as in 10GB",
    )
    add_label(parser, "consider only runs that have this label; may be given several times")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def act(arguments: argparse.Namespace) -> int:
    """Remove what is out of bounds, and say what that was."""
    bounds = Bounds(arguments.older_than, arguments.keep, arguments.max_size, dict(arguments.label))
    if bounds[:3] == (None, None, None):
        raise ConfigError("say what may go: --older-than, --keep or --max-size")
    pruned = existing_store_of(arguments).prune(bounds, dry_run=arguments.dry_run)
    print(_describe(pruned, "would remove" if arguments.dry_run else "removed"))
    return 0


def _describe(pruned: Pruned, did: str) -> str:
    parts = []
    if pruned.runs:
        runs = f"{pruned.runs:,} {'run' if pruned.runs == 1 else 'runs'}"
        parts.append(f"{runs} ({_render_size(pruned.bytes)})")
    if pruned.cut > 0:
        parts.append(f"the oldest {_render_size(pruned.cut)} of the newest run")
    return f"{did} {' and '.join(parts) or 'nothing'}"


def _render_size(size: float) -> str:
    """Write a number of bytes with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
