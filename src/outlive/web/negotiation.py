"""Which representation a client gets, by `Accept` (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["best_match"]


def best_match(accept: str, offered: Sequence[str]) -> str | None:
    """Choose the media type that a client likes best; of equals, the first that is offered."""
    ranges = [_parse(item) for item in accept.split(",") if item.strip()] or [("*/*", 1.0)]
    best, quality = None, 0.0
    for media_type in offered:
        given = _quality(media_type, ranges)
        if given > quality:
            best, quality = media_type, given
    return best


def _parse(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Find the quality that the most specific matching range gives."""
    family = media_type.partition("/")[0] + "/*"
    for name in (media_type, family, "*/*"):
        given = [quality for range_name, quality in ranges if range_name == name]
        if given:
            return max(given)
    return 0.0
