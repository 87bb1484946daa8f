"""An event stream read as WHATWG HTML 9.2.5 and 9.2.6 say it, written from that text alone."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

# Nothing else ends a line.
_LINE_END = re.compile(r"\r\n|\r|\n")


class Event(NamedTuple):
    """What a client is told: the name of the event, its data, and the id known by then."""

    name: str
    data: str
    last_id: str


class EventStream:
    """A parser that is fed bytes as they come; `last_id` is what a reconnect would send."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._data = ""
        self._name = ""
        self._id = ""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that these bytes complete."""
        text = self._text + self._decoder.decode(data)
        # The LF that belongs to a CR at the end may follow.
        whole = text.removesuffix("\r")
        *lines, rest = _LINE_END.split(whole)
        self._text = rest + text[len(whole) :]
        for line in lines:
            if line:
                self._field(line)
                continue
            event = self._dispatch()
            if event is not None:
                yield event

    def _field(self, line: str) -> None:
        if line.startswith(":"):
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self) -> Event | None:
        self.last_id = self._id
        data, self._data = self._data, ""
        name, self._name = self._name, ""
        if not data:
            return None
        return Event(name or "message", data.removesuffix("\n"), self.last_id)


def parse_events(data: bytes) -> list[Event]:
    """Read a whole stream."""
    return list(EventStream().feed(data))
