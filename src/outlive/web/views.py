"""What a view of a web application answers: one run, which it starts at most once, or the activity.

A view is known by the path of its URL. The runs that it started, or found living, remember it: so
a cursor opens those, in every worker and after a restart, and no others.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from html import escape

from ..entries import BEGINNING, Cursor
from ..errors import CursorExpired, FormatError, JournalUnavailable
from ..formats import FORMATS, Format
from ..formats.html import HtmlFormat
from ..formats.text import TextFormat
from ..journals.base import Journal
from ..stores import Store
from ..viewers import Seat, parse_origin
from .activity import ACTIVITY_FORMATS, ACTIVITY_TYPES, Wanted
from .answers import complete, open_stream, read_asset, redirect, stream_headers
from .messages import Request, Response
from .negotiation import best_match

__all__ = ["Mark", "answer_activity", "answer_run", "answer_start"]

#: What breaks a silence in `text`: after how many seconds, and with what.
Mark = tuple[float, str]

#: Methods that change nothing (RFC 9110, section 9.2.1): a browser asks with OPTIONS by itself.
_ASKING = ("HEAD", "OPTIONS", "TRACE")
_HTML = "text/html"
_TYPES = {**ACTIVITY_TYPES, _HTML: "html"}


def answer_run(request: Request, journal: Journal, mark: Mark | None = None) -> Response:
    """Answer with a run, from where the request says."""
    return complete(request, lambda: _show(request, journal, mark))


def answer_start(
    request: Request, store: Store, start: Callable[[], Journal], mark: Mark | None = None
) -> Response:
    """Answer with a run that is started now, unless the request goes on with one, or asks nothing.

    What `start` raises is left to the application.
    """
    if _token(request):
        return complete(request, lambda: _show(request, _find(request, store), mark))
    # What is reloaded, or gone back to, is then the run, and not its start.
    is_sent_on = request.method == "POST" or _is_navigation(request)
    is_asking = request.method in _ASKING
    seat: Seat | None = None

    def prepare() -> Response:
        nonlocal seat
        response = _preview(request, mark)
        if not (is_asking or is_sent_on):
            # Before the start: whoever is told to come again would start it once more.
            seat = request.seats.take(store.activity(), None, request.address)
        return response

    early = complete(request, prepare)
    if early.status != 200 or is_asking:
        return early
    journal = _begin(request, start, seat)
    if is_sent_on:
        return complete(request, lambda: redirect(_link(request, journal.run, "from")))
    return complete(request, lambda: _show(request, journal, mark, seat))


def _begin(request: Request, start: Callable[[], Journal], seat: Seat | None) -> Journal:
    """Start work, whose view is this; a seat that was taken for it is free if that fails."""
    try:
        journal = start()
        journal.add_view(_view(request))
    except BaseException:
        if seat is not None:
            seat.leave()
        raise
    return journal


def answer_activity(request: Request, store: Store, labels: Mapping[str, str]) -> Response:
    """Answer with what happens to all runs that have these labels, from now on."""
    return complete(request, lambda: _show_activity(request, store, labels))


def _show_activity(request: Request, store: Store, labels: Mapping[str, str]) -> Response:
    name = _choose(request, ACTIVITY_TYPES)
    if name not in ACTIVITY_FORMATS:
        raise FormatError(f"the formats are {', '.join(ACTIVITY_FORMATS)}")
    journal = store.activity()
    form = ACTIVITY_FORMATS[name](journal.run, Wanted(frozenset(labels.items())))
    return open_stream(request, form, journal)


def _choose(request: Request, types: Mapping[str, str]) -> str:
    """Name the format that was asked for, whether or not there is one."""
    accept = request.headers.get("accept", "")
    # Who takes nothing of this gets text, rather than nothing (RFC 9110, section 12.5.1).
    return request.query.get("format") or types[best_match(accept, list(types)) or "text/plain"]


def _view(request: Request) -> str:
    return request.prefix + request.path


def _token(request: Request) -> str:
    return request.headers.get("last-event-id", "") or request.query.get("from", "")


def _find(request: Request, store: Store) -> Journal:
    """Get the journal of the run that a cursor names, if this view may show it."""
    token = _token(request)
    journal = store.journal(Cursor.parse(token).run)
    if not journal.has_view(_view(request)):
        raise CursorExpired(token)
    return journal


def _preview(request: Request, mark: Mark | None) -> Response:
    """Answer as far as that is possible without a run."""
    if "prefetch" in request.headers.get("sec-purpose", ""):
        # Chromium then asks anew once the user really goes there (Speculation Rules, 2.1).
        raise JournalUnavailable("nothing is started by a prefetch")
    form = _make_format(request, "", mark)
    parse_origin(request.query)
    return Response(status=200, headers=stream_headers(form))


def _show(
    request: Request, journal: Journal, mark: Mark | None, seat: Seat | None = None
) -> Response:
    form = _make_format(request, journal.run, mark)
    response = open_stream(request, form, journal, seat=seat)
    if not isinstance(form, HtmlFormat):
        return response
    headers = dict(response.headers) | {"Content-Security-Policy": _policy()}
    return replace(response, headers=tuple(headers.items()))


def _make_format(request: Request, run: str, mark: Mark | None) -> Format:
    name = _choose(request, _TYPES)
    if name not in FORMATS:
        raise FormatError(f"the formats are {', '.join(FORMATS)}")
    form = TextFormat(run, mark) if name == "text" else FORMATS[name](run)
    if isinstance(form, HtmlFormat):
        form.root, form.style = None, _style()
        form.here = escape(_link(request, run, "from", "format")) + "&amp;"
    return form


def _link(request: Request, run: str, *ours: str) -> str:
    """Write a link from the view's URL to a run of its own, keeping what in its query is not ours."""
    parts = request.query_string.split("&")
    kept = [part for part in parts if part and part.partition("=")[0] not in ours]
    return "?" + "&".join([*kept, f"from={Cursor(run, BEGINNING)}"])


def _is_navigation(request: Request) -> bool:
    """Tell whether a person went here with a browser (Fetch Metadata, section 2.1)."""
    mode = request.headers.get("sec-fetch-mode", "navigate")
    accept = request.headers.get("accept", "")
    return mode == "navigate" and best_match(accept, list(_TYPES)) == _HTML


@cache
def _style() -> str:
    return (read_asset("page.css") + read_asset("html.css")).decode()


@cache
def _policy() -> str:
    """Allow nothing but the style sheet within the page."""
    digest = base64.b64encode(sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'"
    )
