"""One viewer of a thousand reads nothing for a while: what others notice, and how it catches up."""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

from .footprints import memory
from .lab import Lab, ask
from .lengths import Length
from .measuring import Row, show_seconds, tell, tell_ratio
from .peers import FlaskProcesses, Load
from .reports import Report
from .shows import Client, Delays, Show, open_show

__all__ = ["Straggler", "measure_stalled"]

_VIEWERS, _RATE = 1000, 1000
_MIB = 1 << 20
#: Seconds until all is as it stays, that are compared with, and that the rest takes.
_SETTLING, _BEFORE, _AFTER = 2.0, 4.0, 8.0
#: Bytes that are no growth: what is kept for who is behind has its bound.
_GROWTH = 2 * _MIB
_REPLAYS = 3


class _Stall(NamedTuple):
    """What came of one."""

    before: Delays
    during: Delays
    growth: float
    catching_up: float
    replay: float
    share: float


def measure_stalled(lab: Lab, length: Length) -> Report:
    """Measure it once, or, at full length, in a few rounds of a minute each."""
    rounds = [_stall(lab, length.stall) for _ in range(min(length.rounds, 3))]
    name = f"one of {_VIEWERS:,} reads nothing for {length.stall:.0f} s"
    records = [dict[str, object](round_._asdict()) for round_ in rounds]
    return Report(_judge(name, rounds), records=records)


def _judge(name: str, rounds: list[_Stall]) -> list[Row]:
    def mebibytes(value: float) -> str:
        return f"{value / _MIB:.2f} MiB"

    def speed(value: float) -> str:
        return f"{value / 1e6:,.0f} MB/s"

    return [
        tell(f"{name}: memory grows", [r.growth for r in rounds], mebibytes, at_most=_GROWTH),
        tell_ratio(
            f"{name}: others' median", [r.during.p50 for r in rounds],
            [r.before.p50 for r in rounds], "before", show_seconds, at_most=1.25,
        ),
        tell_ratio(
            f"{name}: others' p99", [r.during.p99 for r in rounds],
            [r.before.p99 for r in rounds], "before", show_seconds, at_most=2,
        ),
        tell_ratio(
            f"{name}: it catches up", [r.catching_up for r in rounds],
            [r.replay for r in rounds], "who begins then", speed, at_least=0.5,
        ),
        tell(f"{name}: it has of all", [r.share for r in rounds], "{:.1%}".format, at_least=1),
    ]  # fmt: skip


class Straggler:
    """A viewer that reads when it is told to."""

    def __init__(self, url: str) -> None:
        self._socket = ask(url)
        self._buffer = bytearray(1 << 20)
        self.size = 0
        self.lines = 0
        self._read()

    def _read(self) -> int:
        """Take what there is; returns the last stamp in it, microseconds."""
        got = self._socket.recv_into(self._buffer)
        if not got:
            raise RuntimeError("a stream ended early")
        self.size += got
        self.lines += self._buffer.count(b"~", 0, got)
        # The border of a chunk may lie within a stamp: then the one before counts.
        place = self._buffer.rfind(b"~", 0, max(got - 16, 0))
        stamp = self._buffer[place + 1 : place + 17]
        return int(stamp) if place >= 0 and stamp.isdigit() else 0

    def catch_up(self) -> float:
        """Read until what was due when this began, or later; returns bytes per second."""
        began, size = time.monotonic(), self.size
        while self._read() < began * 1e6:
            pass
        return (self.size - size) / (time.monotonic() - began)

    def finish(self, lines: int) -> None:
        """Read until it has had so many lines, or nothing comes any more."""
        self._socket.settimeout(5)
        while self.lines < lines:
            self._read()

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def _stall(lab: Lab, seconds: float) -> _Stall:
    lines = int((_SETTLING + _BEFORE + seconds + _AFTER) * _RATE)
    with open_show(lab, FlaskProcesses, Load(_VIEWERS, _RATE, lines)) as show:
        show.warm()
        client = show.connect()
        show.begin()
        time.sleep(_SETTLING)
        client.delays()
        time.sleep(_BEFORE)
        before = client.delays()
        size, straggler, during = memory(show.peer), *_watch(show, client, seconds)
        growth = memory(show.peer) - size
        catching_up = straggler.catch_up()
        replay = median(_replay(show) for _ in range(_REPLAYS))
        fed = show.finish()
        straggler.finish(fed.written)
        client.finish(fed.written)
        return _Stall(before, during, growth, catching_up, replay, straggler.lines / fed.written)


def _watch(show: Show, client: Client, seconds: float) -> tuple[Straggler, Delays]:
    """Have one come, read the beginning, and then nothing for a while."""
    straggler = Straggler(show.url(show.paths[0]))
    time.sleep(seconds)
    return straggler, client.delays()


def _replay(show: Show) -> float:
    """Have one come who wants all."""
    straggler = Straggler(show.url(show.paths[0]))
    speed = straggler.catch_up()
    straggler.close()
    return speed
