"""Who may do what: the token, the `Host` that was meant, and proof that no other site asked."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..entries import RunRecord
from ..errors import AccessDenied, Unauthorized
from .messages import Request

__all__ = ["PUBLIC", "Access", "Action", "Guard", "check_proof"]

Action = Literal["list", "read", "cancel"]

#: Decides whether a request may do something with a run; without a run, whether it may at all.
Access = Callable[[Request, Action, RunRecord | None], bool]


def PUBLIC(request: Request, action: Action, run: RunRecord | None) -> bool:  # noqa: ARG001, N802
    """Let everybody do everything."""
    return True


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The checks of the standalone server, before anything else is looked at.

    Without a `token` only the checks against other web sites remain.
    """

    token: str | None
    cookie: str
    #: The name to listen on, where one was given: a further `Host` to accept.
    host: str = ""

    def check(self, request: Request) -> None:
        """Raise AccessDenied or Unauthorized where a request must not go further."""
        if not self._is_expected_host(request.headers.get("host", "")):
            raise AccessDenied("this server does not answer to that Host")
        bearer = self._bearer(request)
        if request.method not in ("GET", "HEAD"):
            check_proof(request, has_header_token=bearer or self.token is None)
        if self.token is not None and not (bearer or self._query(request) or self._cookie(request)):
            raise Unauthorized(
                "a token is missing or wrong: use the whole URL that was printed, "
                "or send 'Authorization: Bearer TOKEN'"
            )

    def cookie_for(self, request: Request) -> str | None:
        """Make the cookie that a page gets for the token in its URL, or for none."""
        if self.token is None or not self._query(request):
            return None
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def _is_expected_host(self, host: str) -> bool:
        """Tell whether this server was meant: a name of a stranger is DNS rebinding."""
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        name = name.lower()
        if name == "localhost" or (self.host and name == self.host.lower()):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _bearer(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._matches(given.strip())

    def _query(self, request: Request) -> bool:
        return self._matches(request.query.get("token", ""))

    def _cookie(self, request: Request) -> bool:
        return self._matches(request.cookies.get(self.cookie, ""))

    def _matches(self, given: str) -> bool:
        # An empty token would be matched by whoever gives none.
        if not self.token:
            return False
        return hmac.compare_digest(given.encode(), self.token.encode())


def check_proof(request: Request, *, has_header_token: bool) -> None:
    """Refuse an unsafe request that another site may have caused (Fetch Metadata; RFC 6454)."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        proven = site in ("same-origin", "none")
    elif origin is not None:
        # RFC 6454, section 6.2: scheme, "://" and the host; nothing to be taken apart.
        place = origin.partition("://")[2].lower()
        proven = bool(place) and place == request.headers.get("host", "").lower()
    else:
        proven = has_header_token
    if not proven:
        raise AccessDenied(
            "nothing proves that this request was meant: "
            "send the token as 'Authorization: Bearer TOKEN'"
        )
