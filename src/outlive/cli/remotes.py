"""A run on any Outlive server, read over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from ..entries import State
from ..errors import AccessDenied, ConfigError, JournalUnavailable, OutliveError, RunNotFound
from .console import say

__all__ = ["RemoteRun", "is_url"]

#: How long a server that was there is waited for, and after how long that is told.
PATIENCE_SECONDS = 60.0
QUIET_SECONDS = 5.0
#: Between two attempts: at first, and at most.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
#: Without a heartbeat, which comes every 15 s, for so long the connection is lost.
_SILENCE_SECONDS = 40.0
_READ_SIZE = 256 * 1024
_MEDIA_TYPE = "application/x-ndjson"


def is_url(name: str) -> bool:
    """Tell whether the name of a run is the URL of one."""
    return name.startswith(("http://", "https://"))


class RemoteRun:
    """The entries of a run behind a URL, which has the token in it.

    When the network or the server goes, it is asked again for what comes after the last entry.
    """

    def __init__(self, url: str, tail: int | None = None) -> None:
        self._parts = _split(url)
        query = dict(parse_qsl(self._parts.query, keep_blank_values=True))
        token = query.pop("token", "")
        # Of errors, which are read out.
        self._headers = {"Accept": "text/plain"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._query = query if tail is None else {"tail": str(tail)}
        self._reached = False
        self._lost_at: float | None = None
        self._pause = _PAUSE_SECONDS
        self._told = False

    def entries(self) -> Iterator[dict[str, Any]]:
        """Give out each entry once, as `ndjson` has it; the `end` is the last."""
        while True:
            try:
                for entry in self._receive():
                    yield entry
                    if entry["kind"] == "end":
                        return
            except (OSError, http.client.HTTPException) as error:
                self._endure(error)

    def _receive(self) -> Iterator[dict[str, Any]]:
        """Give out what one connection brings."""
        rest = b""
        with self._ask("ndjson") as response:
            while data := response.read1(_READ_SIZE):
                self._lost_at, self._pause, self._told = None, _PAUSE_SECONDS, False
                *lines, rest = (rest + data).split(b"\n")
                # An empty line is a heartbeat.
                for entry in map(json.loads, filter(None, lines)):
                    # It beats any other place to start at.
                    self._query["from"] = entry["id"]
                    yield entry
        # Not cut short, and without an end: who has everything of a run that is over gets nothing.
        with self._ask("json") as response:
            record = json.load(response)
        if record["state"] == State.RUNNING:
            raise ConnectionError("it ended the stream")
        yield {**record, "kind": "end"}

    @contextlib.contextmanager
    def _ask(self, form: str) -> Iterator[http.client.HTTPResponse]:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        query = urlencode({**self._query, "format": form})
        with contextlib.closing(kind(self._parts.netloc, timeout=_SILENCE_SECONDS)) as connection:
            connection.request("GET", f"{self._parts.path}?{query}", headers=self._headers)
            with connection.getresponse() as response:
                self._check(response, form)
                yield response

    def _check(self, response: http.client.HTTPResponse, form: str) -> None:
        """Raise what tells why this is not what was asked for, if it is not."""
        if response.status == 429 or response.status >= 500:
            # As a proxy answers while what is behind it starts again.
            raise ConnectionError(f"it answers {response.status} {response.reason}".strip())
        if response.status != 200:
            raise self._refusal(response)
        media_type = response.headers.get_content_type()
        if form == "ndjson" and media_type != _MEDIA_TYPE:
            raise ConfigError(f"{self._place} is no run: it answers with {media_type}")
        self._reached = True

    @property
    def _place(self) -> str:
        """The URL, without its secret."""
        return f"{self._parts.scheme}://{self._parts.netloc}{self._parts.path}"

    def _refusal(self, response: http.client.HTTPResponse) -> OutliveError:
        """Make the error that an answer tells of."""
        why = f"{response.status} {response.reason}"
        if response.headers.get_content_type() == "text/plain":
            why = response.read(500).decode(errors="replace").partition("\n")[0] or why
        if response.status == 404:
            return RunNotFound(self._place, why)
        kind = AccessDenied if response.status in (401, 403) else JournalUnavailable
        return kind(f"{self._place}: {why}")

    def _endure(self, error: Exception) -> None:
        """Wait before the next attempt; raises JournalUnavailable when that was long enough."""
        why = str(getattr(error, "strerror", None) or error or "it hung up").lower()
        if not self._reached:
            raise JournalUnavailable(f"cannot reach {self._parts.netloc}: {why}") from None
        now = time.monotonic()
        self._lost_at = now if self._lost_at is None else self._lost_at
        left = self._lost_at + PATIENCE_SECONDS - now
        if left <= 0:
            raise JournalUnavailable(
                f"{self._parts.netloc} has been out of reach for {PATIENCE_SECONDS:g} s: {why}"
            ) from None
        if not self._told and now - self._lost_at >= QUIET_SECONDS:
            self._told = True
            say(f"outlive: {self._parts.netloc} is out of reach ({why}): trying for {left:.0f} s")
        time.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)


def _split(url: str) -> SplitResult:
    """Take a URL apart; raises ConfigError."""
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"not a URL: {url[:200]}")
    return parts
