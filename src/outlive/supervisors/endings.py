"""How a source is ended, and what the run's log tells of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from time import monotonic

from ..entries import End, Kind, State
from ..runs import OwnRun
from ..sources.base import DescriptorSource

__all__ = ["REPORTER", "Ending"]

#: The logger in whose name the log is told.
REPORTER = "outlive"

#: Between asking a source to end and killing it.
GRACE_SECONDS = 10.0
#: How long what was killed may take to vanish.
_VANISH_SECONDS = 1.0
#: So many processes are named in a line.
_NAMED = 10

_HEAD = json.dumps({"level": "WARNING", "logger": REPORTER}).encode() + b"\n"


class Ending:
    """Asks a source to end, kills what is left of it after a grace, and reports all that."""

    def __init__(self, run: OwnRun, source: DescriptorSource, origin: int = 0) -> None:
        self._run = run
        self._source = source
        self._origin = origin
        #: What was decided about the end, before the source ended by itself.
        self.verdict: End | None = None
        #: When to insist.
        self.due = float("inf")
        self._asked_at = 0.0
        self._has_told = False
        self._gone_by = float("inf")

    def stop(self, verdict: End, number: int, why: str) -> None:
        """Send a signal to the source, and kill it later if that does not help."""
        if self.verdict is None:
            self._asked_at = monotonic()
        self.verdict = self.verdict or verdict
        names = self._source.send_signal(number)
        self._has_told = self._has_told or bool(names)
        self._report(why + _signalled(number, names))
        grace = 0.0 if number == signal.SIGKILL else GRACE_SECONDS
        self.due = min(self.due, monotonic() + grace)

    def insist(self) -> None:
        """Kill what is left after the grace; once more a moment later."""
        killed = self._source.send_signal(signal.SIGKILL)
        if self._gone_by < float("inf"):
            self.due = float("inf")
            return
        self.due = self._gone_by = monotonic() + _VANISH_SECONDS
        if killed:
            waited = monotonic() - self._asked_at
            self._report(f"after {waited:.0f} s{_signalled(signal.SIGKILL, killed)}")

    def has_given_up(self) -> bool:
        """Tell whether nothing more can be done: what is left cannot be killed."""
        return monotonic() >= self._gone_by

    def go_on(self) -> None:
        """Once the source itself is over, ask those to end that it should have ended."""
        names = [] if self.verdict is None else self._source.signal_rest()
        if names:
            self._report("it left others" + _signalled(signal.SIGTERM, names))

    def awaits_rest(self) -> bool:
        """Tell whether something is left that may still go, once the source itself is over."""
        if self.verdict is None or self.has_given_up() or not self._source.is_alive():
            return False
        if self._gone_by < float("inf"):
            # Again: one may just have been forked.
            self._source.send_signal(signal.SIGKILL)
        return True

    def judge(self, end: End) -> End:
        """Decide what counts as the end, and report who is left."""
        if self.verdict is None:
            return end
        rest = self._source.find_rest()
        error = f"still there: {_enumerate(rest)}" if rest else None
        if self._has_told:
            self._report(error or "all gone")
        if self.verdict.state is State.CANCELLED:
            return end._replace(state=State.CANCELLED, error=error)
        return self.verdict

    def _report(self, text: str) -> None:
        """Write a line into the log, and end first what stands unfinished there."""
        tail, _ = self._run.journal.tail()
        start = b"\n" if tail.open else b""
        line = f"{REPORTER}: {text}\n".encode()
        self._run.write(Kind.LOG, _HEAD + start + line, self._origin)


def _signalled(number: int, names: Sequence[str]) -> str:
    """Tell who got a signal."""
    if not names:
        return ""
    noun = "process" if len(names) == 1 else "processes"
    return f": {signal.Signals(number).name} to {len(names)} {noun} ({_enumerate(names)})"


def _enumerate(names: Sequence[str]) -> str:
    return ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
