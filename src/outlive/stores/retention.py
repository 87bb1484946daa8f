"""Which ended runs may go: a function of what there is, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .records import Row

__all__ = ["Bounds", "Pruned"]


class Pruned(NamedTuple):
    """What went: whole runs, their bytes and the oldest bytes of one more."""

    runs: int
    bytes: int
    cut: int


class Bounds(NamedTuple):
    """What is kept of the ended runs that have all `labels`; None sets no bound.

    `older_than` is nanoseconds since the end of a run, `keep` a number of runs, `max_size` the
    bytes of their journals.
    """

    older_than: int | None = None
    keep: int | None = None
    max_size: int | None = None
    labels: Mapping[str, str] = {}

    def choose(self, rows: Sequence[Row], now: int) -> tuple[list[Row], Row | None]:
        """Choose, of rows with the oldest run first, what goes whole, and what loses its beginning.

        The latter is the newest run, where it alone exceeds the size.
        """
        gone: list[Row] = []
        kept = list(rows)
        if self.labels:
            kept = [row for row in kept if self.labels.items() <= row.read().labels.items()]
        if self.older_than is not None:
            limit = now - self.older_than
            gone = [row for row in kept if (row.read().ended_at or now) < limit]
            kept = [row for row in kept if (row.read().ended_at or now) >= limit]
        if self.keep is not None:
            surplus = max(0, len(kept) - self.keep)
            gone, kept = gone + kept[:surplus], kept[surplus:]
        if self.max_size is None:
            return gone, None
        size = sum(row.bytes for row in kept)
        for row in kept[:-1]:
            if size <= self.max_size:
                break
            size -= row.bytes
            gone.append(row)
        return gone, kept[-1] if size > self.max_size else None
