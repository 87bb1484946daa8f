"""Requests and responses as values that every framework's can be translated to and from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl

from ..journals.base import Journal
from ..seats import OwnSeats
from ..viewers import Seat, Viewer

__all__ = ["Request", "Response", "Seats", "Stream"]


class Seats(Protocol):
    """Where a viewer would sit who comes with a request: in this process, or in an engine's."""

    def take(self, journal: Journal | None, run: str | None, address: str) -> Seat:
        """Take a seat before anything is started or sent; raises TooManyViewers.

        `journal` is what is to be watched; before work is started, the activity of its store, with
        `run` None until the seat is told; None where only this process knows what may be seen of
        it. `run` is None also for what has no limit of its own, the activity. `address` is the
        peer's.
        """


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked. Names of headers are in lower case.

    `path` begins behind `prefix`, under which the framework has us; `native` is what the framework
    calls the request: of WSGI the environ, of ASGI the scope. `address` is the peer's, as the
    server tells it; `seats` is where its viewer would sit.
    """

    method: str
    path: str
    prefix: str = ""
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    native: object = None
    address: str = ""
    seats: Seats = field(default_factory=OwnSeats)

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the URL; of one that is given twice, the first."""
        return dict(reversed(parse_qsl(self.query_string, keep_blank_values=True)))

    def all(self, name: str) -> list[str]:
        """Get all values of a parameter that may be given several times."""
        pairs = parse_qsl(self.query_string, keep_blank_values=True)
        return [value for key, value in pairs if key == name]

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies; of one that is given twice, the first.

        Other programs on this host set theirs, whatever is in them (RFC 6265, section 5.4).
        """
        pairs = (item.partition("=") for item in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip() for name, _, value in reversed(list(pairs))}


class Stream(NamedTuple):
    """A body that is pumped: what a viewer is sent."""

    viewer: Viewer


@dataclass(frozen=True, kw_only=True)
class Response:
    """What is answered."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Stream = b""
