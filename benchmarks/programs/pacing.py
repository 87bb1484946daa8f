"""Lines of 100 bytes at an even pace, each with the moment at which it was due, and its number.

Not that at which it was written: who is kept from writing would otherwise hide the delay it causes.
"""

import time
from collections.abc import Iterator

_BATCH = 100
_FILL = b"x" * 73 + b"\n"


def pace(rate: int, lines: int) -> Iterator[list[bytes]]:
    """Yield the lines of each tick, one or more milliseconds long; at rate 0, all as fast as can be.

    It ends when the time is over, whether or not all of them were taken.
    """
    if not rate:
        for begin in range(0, lines, _BATCH):
            now = time.monotonic_ns() // 1000
            yield [_line(now, begin + i) for i in range(min(_BATCH, lines - begin))]
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
        yield [_line(int(due * 1e6), number * each + i) for i in range(each)]


def _line(stamp: int, number: int) -> bytes:
    return b"~%016d#%08d" % (stamp, number) + _FILL
