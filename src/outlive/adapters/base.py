"""What every adapter has: work that a view starts, and a site that is mounted."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import ConfigError, RunNotFound
from ..journals.base import Journal
from ..runs import Run
from ..settings import application_store
from ..stores import Store
from ..web.access import Access
from ..web.answers import Site
from ..web.messages import Request, Response
from ..web.views import Mark, answer_run, answer_start

__all__ = ["Mark", "Place", "Work", "make_site", "respond"]

#: A run, or what starts one.
Work = Run | Callable[[], Run]
#: A store, its URL or a directory; None for that of `outlive.start`.
Place = Store | str | os.PathLike[str] | None


def respond(
    request: Request, work: Work, *, store: Place = None, mark: Mark | None = None
) -> Response:
    """Answer a view's request with a run; with a callable, once it has started one.

    It is called only where the request is not HEAD and names no run by its cursor (`?from=`,
    `Last-Event-ID`): so no reconnect and no reload starts work twice. What it raises goes on to
    the framework.
    """
    if not callable(work):
        return answer_run(request, work.journal, mark)
    place = application_store(store)
    return answer_start(request, place, lambda: _journal_of(work(), place), mark)


def _journal_of(run: object, place: Store) -> Journal:
    if not isinstance(run, Run):
        raise ConfigError(
            f"what respond() calls must return a run, as outlive.start() does: {run!r:.100}"
        )
    try:
        return place.journal(run.id)
    except RunNotFound:
        raise ConfigError(
            "the run is not in the store of its view: set OUTLIVE_STORE, or give both the same store="
        ) from None


def make_site(access: Access, store: Place) -> Site:
    """Make what is mounted: all runs of a store, to whom `access` allows it."""
    if not callable(access):
        raise ConfigError("access: give a function of request, action and run, or PUBLIC")
    return Site(store=application_store(store), access=access)
