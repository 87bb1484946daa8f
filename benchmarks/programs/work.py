"""work GO RATE LINES: the same lines on standard output, once there is a file GO; `hello` before.

For those peers whose viewers each start work of their own, or a command.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pacing import pace


def wait(go: str) -> None:
    """Wait for the file."""
    while not Path(go).exists():
        time.sleep(0.005)


def work(go: str, rate: str, lines: str) -> Iterator[bytes]:
    """Yield what is to be written, tick by tick."""
    yield b"hello\n"
    wait(go)
    for batch in pace(int(rate), int(lines)):
        yield b"".join(batch)


if __name__ == "__main__":
    for data in work(*sys.argv[1:]):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
