"""Lines of 100 bytes at an even pace, each with the moment at which it was due.

Not that at which it was written: who is kept from writing would otherwise hide the delay it causes.
"""

import time
from collections.abc import Iterator

_BATCH = 100


def pace(rate: int, lines: int) -> Iterator[list[bytes]]:
    """Yield the lines of each tick, one or more milliseconds long; at rate 0, all as fast as can be.

    It ends when the time is over, whether or not all of them were taken.
    """
    if not rate:
        for begin in range(0, lines, _BATCH):
            yield [_line(time.monotonic_ns() // 1000)] * min(_BATCH, lines - begin)
        return
    tick = max(0.001, 1 / rate)
    each, ticks = round(rate * tick), round(lines / (rate * tick))
    began = time.monotonic()
    for number in range(ticks):
        due = began + number * tick
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        elif -wait > (ticks - number) * tick + 1:
            return
        yield [_line(int(due * 1e6))] * each


def _line(stamp: int) -> bytes:
    return b"~%016d" % stamp + b"x" * 82 + b"\n"
