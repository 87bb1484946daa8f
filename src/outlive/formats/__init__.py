"""Entries as bytes on the wire: one class per format, one object of it per viewer."""

from .base import Format
from .entries import EntriesFormat
from .html import HtmlFormat
from .ndjson import NdjsonFormat
from .sse import SseFormat
from .text import TextFormat

__all__ = ["FORMATS", "Format"]

#: In the order in which a client that takes anything is served.
FORMATS: dict[str, type[Format]] = {
    "text": TextFormat,
    "sse": SseFormat,
    "ndjson": NdjsonFormat,
    "entries": EntriesFormat,
    "html": HtmlFormat,
}
