"""The facts that everything else passes around: entries, cursors, states and records of runs."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from .errors import ConfigError, CursorExpired, FormatError

__all__ = [
    "BEGINNING",
    "TEXT_KINDS",
    "Cursor",
    "End",
    "Entry",
    "Gap",
    "Kind",
    "Position",
    "RunRecord",
    "State",
    "check_facts",
    "incomplete_suffix",
    "parse_time",
    "render_time",
]


class Kind(IntEnum):
    """What an entry records. The numbers are part of the journal's format."""

    START = 1
    OUT = 2
    ERR = 3
    LOG = 4
    STAGE = 5
    EVENT = 6
    GAP = 7
    END = 8

    @cached_property
    def label(self) -> str:
        """The kind's name on the wire."""
        return self.name.lower()


TEXT_KINDS = frozenset({Kind.OUT, Kind.ERR, Kind.LOG})


class Position(NamedTuple):
    """A place in one journal.

    `offset` is where an entry begins, in the journal's own measure; `byte` counts the bytes of
    that entry's text already consumed; `line` is the number of the line that continues here. Where
    the beginning of that line is missing, it is the number of the next one: the rest is skipped.
    With it, who resumes before the oldest entry that is kept is told how many lines are gone.
    """

    offset: int
    byte: int
    line: int


BEGINNING = Position(0, 0, 1)


class Cursor(NamedTuple):
    """A position and the run whose journal it is in; sorts as text as it sorts in time."""

    run: str
    position: Position

    def __str__(self) -> str:
        offset, byte, line = self.position
        return f"{self.run}-{offset:012x}{byte:05x}{line:09x}"

    @classmethod
    def parse(cls, token: str) -> Cursor:
        """Read a token back; raise CursorExpired where it cannot have been one."""
        match = _CURSOR.fullmatch(token)
        if match is None:
            raise CursorExpired(token)
        run, *numbers = match.groups()
        offset, byte, line = (int(number, 16) for number in numbers)
        return cls(run, Position(offset, byte, line))


_CURSOR = re.compile(r"([0-9a-f]{20})-([0-9a-f]{12})([0-9a-f]{5})([0-9a-f]{9})")


class Entry(NamedTuple):
    """One record of a journal.

    `time` and `monotonic` are nanoseconds; `line` is the number of the line in which its text
    begins and `text_before` the bytes of text before it; `newlines` and `text_size` say how far
    it moves them on. `skip` bytes of its text were consumed before: they are in `payload`, and
    in no other number. `after` is the position behind it.
    """

    kind: Kind
    payload: bytes
    origin: int
    time: int
    monotonic: int
    sequence: int
    line: int
    text_before: int
    newlines: int
    text_size: int
    opens: bool
    leaves_open: bool
    offset: int
    after: Position
    skip: int = 0

    @property
    def text(self) -> bytes:
        """The text of a text entry, without what was consumed before."""
        if self.kind is Kind.LOG:
            return self.payload[self.payload.index(b"\n") + 1 + self.skip :]
        return self.payload[self.skip :] if self.skip else self.payload

    @property
    def data(self) -> Any:  # noqa: ANN401 - each kind has another shape
        """The JSON of an entry that is no text, or of a log entry's first line."""
        if self.kind is Kind.LOG:
            return json.loads(self.payload[: self.payload.index(b"\n")])
        return json.loads(self.payload)

    def from_byte(self, byte: int) -> Entry:
        """Leave the rest of this entry after `byte` bytes of its text, at least one."""
        consumed = self.text[:byte]
        newlines = consumed.count(b"\n")
        return self._replace(
            skip=self.skip + byte,
            line=self.line + newlines,
            newlines=self.newlines - newlines,
            text_before=self.text_before + byte,
            text_size=self.text_size - byte,
            opens=not consumed.endswith(b"\n"),
        )


class Gap(NamedTuple):
    """What is missing somewhere in a journal; None where it cannot be known."""

    entries: int | None
    bytes: int | None
    lines: int | None
    reason: str

    @property
    def cuts_line(self) -> bool:
        """Whether text may be missing: the rest of a line that is open here is."""
        return self.bytes != 0

    @classmethod
    def of(cls, entry: Entry) -> Gap:
        """Read the payload of a gap entry."""
        return cls(**entry.data)

    def encode(self) -> builtins.bytes:
        """Write the payload of a gap entry."""
        return json.dumps(self._asdict()).encode()


class State(StrEnum):
    """How a run fares. Only `running` leads anywhere else."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class End(NamedTuple):
    """How a run ended."""

    state: State
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, entry: Entry) -> End:
        """Read the payload of an end entry."""
        data = entry.data
        return cls(State(data["state"]), data["exit_code"], data["signal"], data["error"])

    def encode(self) -> bytes:
        """Write the payload of an end entry."""
        return json.dumps(self._asdict()).encode()


_UNENDED = End(State.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is known of a run without reading its output; times are nanoseconds since 1970."""

    id: str
    title: str
    started_at: int
    labels: dict[str, str] = field(default_factory=dict)
    owner: str | None = None
    key: str | None = None
    command: list[str] | None = None
    process: dict[str, Any] = field(default_factory=dict)
    end: End = _UNENDED
    ended_at: int | None = None

    @property
    def place(self) -> str:
        """Its place among all runs: places sort as runs were started."""
        return f"{self.started_at:016x}{self.id}"

    def encode(self) -> bytes:
        """Write the payload of the start entry: all that is known when a run starts."""
        facts = ("id", "title", "started_at", "labels", "owner", "key", "command", "process")
        return json.dumps({name: getattr(self, name) for name in facts}).encode()

    @classmethod
    def of(cls, start: Entry, end: Entry | None = None) -> RunRecord:
        """Put a record together from the first and the last entry of a journal."""
        if end is None:
            return cls(**start.data)
        return cls(**start.data, end=End.of(end), ended_at=end.time)

    @classmethod
    def from_json(cls, data: dict[str, Any], started_at: int | None = None) -> RunRecord:
        """Read back what programs see; times are to the microsecond, and no process is known."""
        ended_at = data["ended_at"]
        # One by one: collected in a mapping first, it took a third longer.
        return cls(
            id=data["id"],
            title=data["title"],
            labels=data["labels"],
            owner=data["owner"],
            key=data["key"],
            command=data["command"],
            started_at=parse_time(data["started_at"]) if started_at is None else started_at,
            end=_end_of(data["state"], data["exit_code"], data["signal"], data["error"]),
            ended_at=None if ended_at is None else parse_time(ended_at),
        )

    def as_sender(self) -> dict[str, Any]:
        """Write whose news something is, as the activity tells it."""
        return {"run": self.id, "title": self.title, "labels": self.labels, "owner": self.owner}

    def as_json(self) -> dict[str, Any]:
        """Write the record as programs see it."""
        return {
            "id": self.id,
            "title": self.title,
            "labels": self.labels,
            "owner": self.owner,
            "key": self.key,
            "command": self.command,
            **self.end._asdict(),
            "started_at": render_time(self.started_at),
            "ended_at": None if self.ended_at is None else render_time(self.ended_at),
        }


def check_facts(*, labels: object, **texts: object) -> None:
    """Raise ConfigError where a record cannot have such labels, or such a title, key or owner.

    What is no text is refused, and not converted: who reads the record relies on it.
    """
    for name, text in texts.items():
        if not isinstance(text, str | None):
            raise ConfigError(f"{name}: give a text, not {text!r:.100}")
    if not isinstance(labels, Mapping | None) or not all(
        isinstance(part, str) for label in (labels or {}).items() for part in label
    ):
        raise ConfigError(f"labels: give a mapping of texts to texts, not {labels!r:.100}")
    for key in labels or {}:
        if not key or "=" in key:
            raise ConfigError(f"labels: a key has no '=' and is not empty, as {key!r:.100} is")


@lru_cache(maxsize=64)
def _end_of(state: str, exit_code: int | None, signal: str | None, error: str | None) -> End:
    # Most runs end alike, and a list has many.
    return End(State(state), exit_code, signal, error)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render_time(nanoseconds: int) -> str:
    """Write a time as RFC 3339 does, in UTC, to the microsecond."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_render_second(seconds)}.{rest // 1000:06}Z"


@lru_cache(64)
def _render_second(seconds: int) -> str:
    # strftime takes 1.4 µs, and neighbouring entries mostly have one second.
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """Read an RFC 3339 time as nanoseconds since 1970; raise FormatError where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FormatError(f"not a time as in RFC 3339: {text[:40]!r}") from None
    if moment.tzinfo is None:
        raise FormatError(f"a time needs its zone, as in 2030-01-31T12:00:00Z: {text[:40]!r}")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def incomplete_suffix(text: bytes) -> int:
    """Count the bytes at the end that may become a UTF-8 character with those that follow."""
    for back in range(1, min(3, len(text)) + 1):
        byte = text[-back]
        if byte & 0xC0 == 0x80:  # RFC 3629, section 3: it continues a character
            continue
        size = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if size > back else 0
    return 0
