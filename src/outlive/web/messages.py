"""Requests and responses as values that every framework's can be translated to and from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from urllib.parse import parse_qsl

from ..viewers import Viewer

__all__ = ["Request", "Response", "Stream"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked. Names of headers are in lower case.

    `path` begins behind `prefix`, under which the framework has us; `native` is what the framework
    calls the request: of WSGI the environ, of ASGI the scope. `capacity` is how many viewers the
    server can bear at once, where it tells.
    """

    method: str
    path: str
    prefix: str = ""
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    native: object = None
    capacity: int | None = None

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
