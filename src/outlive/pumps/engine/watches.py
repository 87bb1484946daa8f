"""What wakes the engine: news of a journal, for all groups of it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ...journals.base import Journal
from .. import base

if TYPE_CHECKING:
    from .groups import Group

__all__ = ["Watch"]


class Watch:
    """A journal that is watched, for all groups of it."""

    def __init__(self, journal: Journal, ring: Callable[[Watch], None]) -> None:
        self.journal = journal
        self.groups: set[Group] = set()
        self.is_rung = False
        self.settle_at = monotonic() + base.SETTLE_SECONDS
        self._ring = ring
        self.stop = journal.watch(self.ring)

    def ring(self) -> None:
        """Tell the engine that something happened; once until it has looked."""
        if not self.is_rung:
            self.is_rung = True
            self._ring(self)
