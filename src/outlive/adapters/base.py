"""What every adapter has: work that a view starts, a site that is mounted, a form that comes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..activities import Activity
from ..errors import ConfigError, RunNotFound
from ..journals.base import Journal
from ..pumps.engine import find_engine
from ..runs import Run
from ..settings import application_store
from ..stores import Store
from ..surroundings import Around, Place, Surroundings, join
from ..web.access import Access
from ..web.answers import Site
from ..web.messages import Request, Response, Stream
from ..web.views import Mark, answer_activity, answer_run, answer_start
from ..work.receptions import no_file

if TYPE_CHECKING:
    from ..pumps.engine.hosts import Host

__all__ = [
    "Mark",
    "Place",
    "Work",
    "check_access",
    "comes_in_form",
    "find_host",
    "make_site",
    "respond",
]

#: A run, what starts one, or what happens to all runs.
Work = Run | Activity | Callable[[], Run]


class _Loop(Surroundings):
    """What is known where work is started on an event loop: that this ends with its server."""

    def around_work(self) -> Around | None:
        if "asyncio" not in sys.modules:
            return None
        from ..endings import end_with_server

        return end_with_server


join(_Loop())


def respond(
    request: Request, work: Work, *, store: Place = None, mark: Mark | None = None
) -> Response:
    """Answer a view's request with a run, or with the activity; with a callable, once it started one.

    It is called only where the request is not HEAD and names no run by its cursor (`?from=`,
    `Last-Event-ID`): so no reconnect and no reload starts work twice. What it raises goes on to
    the framework.
    """
    if isinstance(work, Activity):
        if mark is not None:
            raise ConfigError("mark= breaks the silence of a run's text: an activity has none")
        return answer_activity(request, application_store(work.store or store), work.labels)
    _check_mark(mark)
    if isinstance(work, Run):
        return answer_run(request, work.journal, mark)
    if not callable(work):
        raise ConfigError(
            "give respond() a run, or what it calls to start one, as in "
            f"respond(lambda: outlive.start(f)): not {work!r:.100}"
        )
    place = application_store(store)
    return answer_start(request, place, lambda: _journal_of(work(), place), mark)


def _check_mark(mark: object) -> None:
    match mark:
        case None:
            return
        case (int() | float() as seconds, str()) if seconds > 0:
            return
    raise ConfigError(
        f'mark: give seconds and a text, as in (5, "*** Interval\\n"), not {mark!r:.100}'
    )


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


def make_site(access: Access, store: Place, *passes: type[Exception]) -> Site:
    """Make what is mounted: all runs of a store, to whom `access` allows it.

    What `access` raises is answered by the framework where it is one of `passes`.
    """
    return Site(store=application_store(store), access=check_access(access), passes=passes)


def check_access(access: Access) -> Access:
    """Raise ConfigError where this can let nobody in, nor keep anybody out."""
    # What an async function returns without being awaited would let everybody in.
    if not callable(access) or inspect.iscoroutinefunction(access):
        raise ConfigError(
            "access: give a function of request, action and run that is not async, or PUBLIC"
        )
    return access


def find_host(stream: Stream) -> Host | None:
    """Find the engine that may send a stream; what asks somebody for each entry, no engine can."""
    viewer = stream.viewer
    return None if viewer.format.asks else find_engine(viewer.feed.journal)


class Headers(Protocol):
    """The headers of a request, whose names may be written in any way."""

    def get(self, name: str, default: str, /) -> str: ...
    def __contains__(self, name: str, /) -> bool: ...


def comes_in_form(headers: Headers, field: str | None) -> bool:
    """Tell whether an upload is a file of a form, or all of a body; raises UploadFailed for neither."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return True
    has_body = headers.get("Content-Length", "").isdecimal() or "Transfer-Encoding" in headers
    if kind == "application/x-www-form-urlencoded" or not has_body:
        raise no_file(field)
    return False
