"""What happens to all runs of a store, as something that a view answers with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .entries import check_facts
from .stores import Store

__all__ = ["Activity", "activity"]


@dataclass(frozen=True)
class Activity:
    """The activity of a store, of those runs that have all these labels."""

    labels: Mapping[str, str] = field(default_factory=dict)
    #: None for that of the view, which is by default that of `outlive.start`.
    store: Store | str | os.PathLike[str] | None = None


def activity(
    labels: Mapping[str, str] | None = None,
    store: Store | str | os.PathLike[str] | None = None,
) -> Activity:
    """Name what happens to all runs, so that `respond` shows it to everybody who comes.

    That is when they start and end, how far their stages are, and events that were sent there; never
    output. Who comes sees what happens from then on, and after a lost connection what was missed.

    Args:
        labels: Only of runs that have all these.
        store: Where the runs are; by default where the view has its own.
    """
    check_facts(labels=labels)
    return Activity(dict(labels or {}), store)
