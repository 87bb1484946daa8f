"""What every URL answers, the same under any prefix and in any framework."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from time import monotonic, time_ns
from urllib.parse import quote

from ..entries import RunRecord
from ..errors import (
    AccessDenied,
    CursorExpired,
    FormatError,
    OutliveError,
    RunFinished,
    RunNotFound,
    TooManyViewers,
    Unauthorized,
)
from ..feeds import find_feed
from ..formats import FORMATS, Format
from ..formats.html import HtmlFormat, render_list
from ..formats.text import TextFormat
from ..journals.base import Journal
from ..stores import Store
from ..viewers import Seat, Viewer, locate, parse_origin
from .access import PUBLIC, Access, Action, Guard, check_proof
from .activity import ACTIVITY_FORMATS, ACTIVITY_TYPES, Wanted, parse_labels
from .messages import Request, Response, Stream
from .negotiation import best_match

__all__ = ["Site", "answer", "complete", "open_stream", "read_asset", "redirect", "stream_headers"]

#: Longer than any URL of ours (a browser's own limit is higher).
URL_LIMIT = 4096
#: Seconds after which a viewer for whom there was no place should come again.
RETRY_SECONDS = 5
#: How many runs a list has, unless told otherwise, and at most.
LIST_COUNT, LIST_LIMIT = 100, 1000

_log = logging.getLogger("outlive")

_HTML = "text/html"
_JSON = "application/json"
_ASSETS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_SAFE = (
    ("Cache-Control", "no-store, no-transform"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)
_STREAM = (
    *_SAFE,
    ("X-Accel-Buffering", "no"),
    # The gzip of many a framework (Django 5.2, CherryPy) would hold a stream back until its end.
    ("Content-Encoding", "identity"),
    ("Vary", "Accept"),
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
#: For a page that needs no script, and whose text is somebody's output.
_STILL_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_STILL = (*_SAFE, ("Vary", "Accept"), ("Content-Security-Policy", _STILL_POLICY))
_PAGE = (*_SAFE, ("Vary", "Accept"), ("Content-Security-Policy", _POLICY))

#: Of formats of one type: a browser runs scripts.
_RUN_TYPES = {**ACTIVITY_TYPES, _HTML: "page", _JSON: "json"}


@dataclass(frozen=True, kw_only=True)
class Site:
    """What is served: the runs of a store, to whom `access` allows it."""

    store: Store
    access: Access
    guard: Guard | None = None
    #: Where the server belongs to one run, that one; it shows no other.
    only: str | None = None
    #: What `access` may raise instead, for the framework to answer: to log in first, for example.
    passes: tuple[type[Exception], ...] = ()
    #: Told of each stream's client that came back after the end and was sent away.
    on_goodbye: Callable[[], None] = lambda: None


def answer(request: Request, site: Site) -> Response:
    """Answer a request to a site; whatever goes wrong is an answer, too, but for what passes."""
    return complete(request, lambda: _answer(request, site), site.passes)


def complete(
    request: Request, make: Callable[[], Response], passes: tuple[type[Exception], ...] = ()
) -> Response:
    """Make a response and give it what all have; whatever goes wrong is one, too."""
    try:
        response = make()
    except passes:
        raise
    except OutliveError as error:
        if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            # A setting, for example: whoever runs this can mend it.
            _log.error("%s %s: %s", request.method, request.path, error)
        response = _error(request, error.status, str(error))
        if isinstance(error, Unauthorized):
            response = _with(response, ("WWW-Authenticate", "Bearer"))
        if isinstance(error, TooManyViewers):
            response = _with(response, ("Retry-After", str(RETRY_SECONDS)))
            if request.method == "GET":
                # What a browser shows comes again by this only.
                response = _with(response, ("Refresh", str(RETRY_SECONDS)))
    except Exception:  # noqa: BLE001 - the boundary: a traceback must not reach the client
        # A mistake of ours: told to whoever runs this, not to whoever asked.
        _log.exception("%s %s", request.method, request.path)
        response = _error(request, 500, "something went wrong here")
    if _has_length(request, response):
        response = _with(response, ("Content-Length", str(len(response.body))))
    # Nothing is started for HEAD, and nothing follows.
    return replace(response, body=b"") if request.method == "HEAD" else response


def _has_length(request: Request, response: Response) -> bool:
    if isinstance(response.body, Stream) or response.status == HTTPStatus.NO_CONTENT:
        return False
    # Of what is not made for HEAD, the length is not known.
    return bool(response.body) or request.method != "HEAD"


def _answer(request: Request, site: Site) -> Response:
    if len(request.path) + len(request.query_string) > URL_LIMIT:
        return _error(request, 414, f"no URL here has more than {URL_LIMIT:,} characters")
    if request.prefix and not request.path:
        # All links are relative to the prefix as a folder.
        query = f"?{request.query_string}" if request.query_string else ""
        return redirect(f"{quote(request.prefix.rpartition('/')[2])}/{query}")
    name = request.path.removeprefix("/static/")
    if name != request.path:
        return _allowed(request, "GET") or _asset(request, name)
    if site.guard is not None:
        site.guard.check(request)
    elif request.method not in ("GET", "HEAD"):
        # Who else is let in by a cookie is for `access` to say, which cannot see who asked for it.
        check_proof(request, has_header_token=True)
    return _route(request, site)


def _route(request: Request, site: Site) -> Response:
    view = {"": _list, "/": _list, "/activity": _activity}.get(request.path)
    if view is not None:
        return _allowed(request, "GET") or view(request, site)
    parts = request.path.split("/")
    if len(parts) == 3 and parts[1] == "runs":
        return _allowed(request, "GET") or _run(request, site, parts[2])
    if len(parts) == 4 and parts[1] == "runs" and parts[3] == "cancel":
        return _allowed(request, "POST") or _cancel(request, site, parts[2])
    return _error(request, 404, "there is nothing here")


def _allowed(request: Request, method: str) -> Response | None:
    """Refuse a method that a URL does not have."""
    methods = ("GET", "HEAD") if method == "GET" else (method,)
    if request.method in methods:
        return None
    response = _error(request, 405, f"use {methods[0]} here")
    return _with(response, ("Allow", ", ".join(methods)))


def _list(request: Request, site: Site) -> Response:
    if not site.access(request, "list", None):
        raise AccessDenied("the runs may not be listed")
    accept = request.headers.get("accept", "")
    chosen = request.query.get("format") or best_match(accept, (_HTML, _JSON))
    if chosen in (_HTML, "page"):
        return _page(request, site, "runs.html")
    if chosen not in (_JSON, "json", "html"):
        status = 400 if request.query.get("format") else 406
        return _error(request, status, "the list of runs is text/html or application/json")
    seen = _seen(request, site)
    count = _count(request)
    older = seen[count - 1].place if len(seen) > count else None
    if chosen == "html":
        headers = (("Content-Type", HtmlFormat.media_type), *_STILL)
        body = render_list(seen[:count], older=older, now=time_ns())
        return Response(status=200, headers=headers, body=body)
    return _json(200, {"runs": [record.as_json() for record in seen[:count]], "older": older})


def _count(request: Request) -> int:
    text = request.query.get("count", str(LIST_COUNT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LIST_LIMIT):
        raise FormatError(f"count is a number from 1 to {LIST_LIMIT:,}, not {text[:40]!r}")
    return int(text)


def _seen(request: Request, site: Site) -> list[RunRecord]:
    """Get the records that may be listed: as many as were asked for, and one more if there is."""
    wanted = _count(request) + 1
    if site.only is not None:
        found = [site.store.record(site.only)]
        return [record for record in found if site.access(request, "list", record)]
    seen: list[RunRecord] = []
    before = request.query.get("before", "")
    while len(seen) < wanted:
        batch = site.store.records(count=wanted, before=before)
        seen += [record for record in batch if site.access(request, "list", record)]
        if len(batch) < wanted:
            break
        before = batch[-1].place
    return seen


def _find(request: Request, site: Site, run: str, action: Action) -> RunRecord:
    """Get the record of a run that may be seen; a run that may not does not exist."""
    if site.only is not None and run != site.only:
        raise RunNotFound(run)
    record = site.store.record(run)
    if not site.access(request, action, record):
        raise RunNotFound(run)
    return record


def _run(request: Request, site: Site, run: str) -> Response:
    record = _find(request, site, run, "read")
    name = request.query.get("format") or _negotiate(request, _RUN_TYPES)
    if name == "page":
        return _page(request, site, "run.html")
    if name == "json":
        return _json(200, record.as_json())
    form = FORMATS.get(name)
    if form is None:
        known = ", ".join([*FORMATS, "json", "page"])
        return _error(request, 406 if not name else 400, f"the formats are {known}")
    view = form(run)
    if isinstance(view, HtmlFormat):
        view.may_cancel = record.ended_at is None and site.access(request, "cancel", record)
    return open_stream(request, view, site.store.journal(run), site.on_goodbye)


def _activity(request: Request, site: Site) -> Response:
    if not site.access(request, "list", None):
        raise AccessDenied("the runs may not be listed")
    name = request.query.get("format") or _negotiate(request, ACTIVITY_TYPES)
    form = ACTIVITY_FORMATS.get(name)
    if form is None:
        known = ", ".join(ACTIVITY_FORMATS)
        return _error(request, 406 if not name else 400, f"the formats are {known}")
    wanted = Wanted(frozenset(parse_labels(request.all("label")).items()), site.only)

    def shows(record: RunRecord) -> bool:
        return wanted(record) and site.access(request, "list", record)

    journal = site.store.activity()
    asks = site.access is not PUBLIC
    view = form(journal.run, shows if asks else wanted)
    view.asks = asks
    return open_stream(request, view, journal, site.on_goodbye)


def _negotiate(request: Request, types: dict[str, str]) -> str:
    chosen = best_match(request.headers.get("accept", ""), list(types))
    return types[chosen] if chosen else ""


def open_stream(
    request: Request,
    form: Format,
    journal: Journal,
    on_goodbye: Callable[[], None] = lambda: None,
    seat: Seat | None = None,
) -> Response:
    """Answer with what a journal holds and will hold, from where the request says.

    The viewer takes a seat, unless one was taken before; raises TooManyViewers.
    """
    last_event_id = request.headers.get("last-event-id", "") if form.reconnects else ""
    origin = parse_origin(request.query, last_event_id)
    # What has no end is watched for what comes.
    begins = form.ends or origin.what != "beginning"
    position = locate(origin, journal) if begins else journal.locate_end()
    if origin.cursor is not None:
        furthest = _furthest(journal)
        if position.offset > furthest:
            raise CursorExpired(str(origin.cursor))
        if journal.end() is not None and position.offset == furthest:
            return _nothing_more(form, on_goodbye)
    opening = form.open(journal.start(), position, resumed=origin.cursor is not None)
    headers = stream_headers(form)
    if form.media_type.startswith(_HTML):
        headers = (*headers, ("Content-Security-Policy", _STILL_POLICY))
    feed = find_feed(journal, form)
    viewer = Viewer(feed, feed.begin(position), opening, monotonic())
    # For HEAD, nothing is sent.
    if request.method != "HEAD":
        viewer.seat = _take_seat(request, form, journal, seat)
    return Response(status=200, headers=headers, body=Stream(viewer))


def _take_seat(request: Request, form: Format, journal: Journal, seat: Seat | None) -> Seat:
    if seat is None:
        # The activity is no run: only all viewers, and those of an address, have a limit.
        run = journal.run if form.ends else None
        return request.seats.take(None if form.asks else journal, run, request.address)
    seat.name_run(journal.run)
    return seat


def stream_headers(form: Format) -> tuple[tuple[str, str], ...]:
    """Get the headers of a stream in a format."""
    return (("Content-Type", form.media_type), *_STREAM)


def _nothing_more(form: Format, on_goodbye: Callable[[], None]) -> Response:
    """Answer who has everything of a run that has ended."""
    if not form.reconnects:
        return Response(status=200, headers=stream_headers(form))
    # Only this answer makes an EventSource stop (WHATWG HTML, section 9.2.3).
    on_goodbye()
    return Response(status=HTTPStatus.NO_CONTENT, headers=_SAFE)


def _furthest(journal: Journal) -> int:
    """Get the last offset that a cursor of this journal can have."""
    end = journal.end()
    return journal.tail()[1] if end is None else end.after.offset


def _cancel(request: Request, site: Site, run: str) -> Response:
    record = _find(request, site, run, "cancel")
    if record.ended_at is not None:
        raise RunFinished(run)
    site.store.journal(run).request_cancel()
    if best_match(request.headers.get("accept", ""), (_JSON, _HTML)) == _HTML:
        # Back to the page that has the form: to the one without scripts.
        back = f"../{run}?format=html" if request.query.get("format") == "html" else f"../{run}"
        return redirect(back)
    return _json(202, {"run": run, "cancel": "requested"})


def redirect(location: str) -> Response:
    """Send the client to another URL, relative to its own, with GET."""
    headers = (("Location", location), ("Content-Type", TextFormat.media_type), *_SAFE)
    return Response(status=303, headers=headers, body=b"See the run.\n")


def _page(request: Request, site: Site, name: str) -> Response:
    headers: list[tuple[str, str]] = [("Content-Type", "text/html; charset=utf-8"), *_PAGE]
    cookie = site.guard.cookie_for(request) if site.guard else None
    if cookie is not None:
        headers.append(("Set-Cookie", cookie))
    return Response(status=200, headers=tuple(headers), body=read_asset(name))


def _asset(request: Request, name: str) -> Response:
    media_type = _ASSETS.get(name.rpartition(".")[2])
    if media_type is None or name not in _asset_names():
        return _error(request, 404, "there is nothing here")
    # To be asked for again at each visit: an upgrade must not leave half a page behind.
    headers = (("Content-Type", media_type), ("Cache-Control", "no-cache"), *_SAFE[1:])
    return Response(status=200, headers=headers, body=read_asset(name))


@cache
def _asset_names() -> frozenset[str]:
    return frozenset(file.name for file in files(__package__).joinpath("page").iterdir())


@cache
def read_asset(name: str) -> bytes:
    """Read a file of the page."""
    return files(__package__).joinpath("page", name).read_bytes()


def _json(status: int, value: object) -> Response:
    headers = (("Content-Type", _JSON), *_SAFE, ("Vary", "Accept"))
    return Response(status=status, headers=headers, body=json.dumps(value).encode() + b"\n")


def _error(request: Request, status: int, message: str) -> Response:
    offered = ("text/plain", _JSON)
    if best_match(request.headers.get("accept", ""), offered) == _JSON:
        return _json(status, {"error": message})
    headers = (("Content-Type", "text/plain; charset=utf-8"), *_SAFE, ("Vary", "Accept"))
    return Response(status=status, headers=headers, body=f"{message}\n".encode())


def _with(response: Response, header: tuple[str, str]) -> Response:
    return replace(response, headers=(*response.headers, header))
