"""The activity of a store as a viewer may see it: filtered, and in formats that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from ..entries import End, Entry, Gap, Kind, Position, RunRecord, State
from ..errors import FormatError
from ..formats import FORMATS
from ..formats.base import Format, describe, encode_json, render_gap
from ..formats.entries import EntriesFormat
from ..formats.ndjson import NdjsonFormat
from ..formats.sse import SseFormat

__all__ = [
    "ACTIVITY_FORMATS",
    "ACTIVITY_TYPES",
    "ActivityFormat",
    "Wanted",
    "parse_labels",
    "record_of",
]

Shows = Callable[[RunRecord], bool]


@dataclass(frozen=True)
class Wanted:
    """Shows the runs that have all these labels, or of a server that shows `only` one, that one.

    Equal ones show the same to everybody; a function that asks who is there is equal to no other.
    """

    labels: frozenset[tuple[str, str]]
    only: str | None = None

    def __call__(self, record: RunRecord) -> bool:
        """Tell whether a run is among them."""
        return self.only in (None, record.id) and self.labels <= record.labels.items()


class ActivityFormat(Format):
    """Writes those entries of the activity whose run `shows` lets through."""

    ends = False

    def __init__(self, run: str, shows: Shows) -> None:
        super().__init__(run)
        self._shows = shows
        #: Behind what was hidden since something was sent; a reconnect need not read it again.
        self._hidden: Position | None = None

    @property
    def likeness(self) -> Hashable:
        return type(self), self._shows

    @property
    def state(self) -> Hashable:
        return self._hidden

    @state.setter
    def state(self, state: Any) -> None:  # noqa: ANN401 - what else it is has each base its own
        self._hidden = state

    def encode(self, entry: Entry) -> bytes:
        if entry.kind is not Kind.GAP and not self._shows(record_of(entry)):
            self._hidden = entry.after
            return b""
        self._hidden = None
        return self.write(entry)

    def write(self, entry: Entry) -> bytes:
        """Write one entry that may be seen."""
        raise NotImplementedError

    def beat(self) -> bytes:
        position, self._hidden = self._hidden, None
        if position is None or not self.reconnects:
            return self.heartbeat
        # Without data it is no event for an EventSource, which takes the id nevertheless; the name
        # is for other clients (WHATWG HTML, section 9.2.6).
        return b"event: moved\nid: %b\n\n" % self.cursor(position).encode()


class _Sse(ActivityFormat, SseFormat):
    """Changes of state, stages and events by name; a stage also as a line."""

    def write(self, entry: Entry) -> bytes:
        if entry.kind is Kind.STAGE:
            cursor = self.cursor(entry.after)
            named = b"event: stage\ndata: %b\n\n" % encode_json(describe(entry, cursor))
            line = b"data: %b\nid: %b\n\n" % (_render(entry).encode(), cursor.encode())
            return named + line
        if _is_state(entry):
            cursor = self.cursor(entry.after)
            name, data = entry.data["name"].encode(), encode_json(entry.data["data"])
            return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), name, data)
        return SseFormat.encode(self, entry)


class _Entries(ActivityFormat, EntriesFormat):
    """One event per entry."""

    write = EntriesFormat.encode


class _Ndjson(ActivityFormat, NdjsonFormat):
    """One object per entry."""

    write = NdjsonFormat.encode


class _Text(ActivityFormat):
    """One line per entry."""

    media_type = FORMATS["text"].media_type

    def write(self, entry: Entry) -> bytes:
        return f"{_render(entry)}\n".encode()


ACTIVITY_FORMATS: dict[str, type[ActivityFormat]] = {
    "text": _Text,
    "sse": _Sse,
    "ndjson": _Ndjson,
    "entries": _Entries,
}
#: Of formats of one type, `sse` is what an EventSource asks for.
ACTIVITY_TYPES = {
    "text/plain": "text",
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
}


def _is_state(entry: Entry) -> bool:
    """Tell whether an entry is a change of a run's state (`run`, `removed`), and nobody's event."""
    return entry.kind is Kind.EVENT and "run" not in entry.data


def record_of(entry: Entry) -> RunRecord:
    """Get what an entry of the activity tells of its run."""
    data = entry.data
    if _is_state(entry):
        return RunRecord.from_json(data["data"])
    return RunRecord(
        id=data["run"],
        title=data["title"],
        started_at=entry.time,
        labels=data["labels"],
        owner=data["owner"],
    )


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Read labels, each KEY=VALUE; raises FormatError."""
    labels = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise FormatError(f"a label is KEY=VALUE, not {text[:40]!r}")
        labels[key] = value
    return labels


def _render(entry: Entry) -> str:
    """Say in one line what an entry tells."""
    if entry.kind is Kind.GAP:
        return render_gap(Gap.of(entry))
    title, data = record_of(entry).title, entry.data
    if entry.kind is Kind.STAGE:
        what = _render_stage(data)
    elif _is_state(entry):
        removed = data["name"] == "removed"
        what = "removed" if removed else _render_state(record_of(entry).end)
    else:
        value = "" if data["data"] is None else json.dumps(data["data"], ensure_ascii=False)
        what = f"{data['name']} {value}"
    return "".join(char if char.isprintable() else " " for char in f"{title}: {what}").rstrip()


def _render_stage(stage: dict[str, Any]) -> str:
    is_counted = stage["current"] or stage["total"] is not None
    counts = (stage["current"], stage["total"]) if is_counted else ()
    numbers = [str(count) for count in counts if count is not None]
    words = [stage["name"], "/".join(numbers), stage["unit"] or "", "done" if stage["done"] else ""]
    return " ".join(word for word in words if word)


def _render_state(end: End) -> str:
    detail = end.error or end.signal or (end.exit_code if end.state is State.FAILED else None)
    return f"{end.state} ({detail})" if detail is not None else end.state.value
