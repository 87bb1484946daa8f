"""Write the monotonic time, then wait for the end of the input: where there is no cc."""

import time

now = time.monotonic_ns()
import sys  # noqa: E402 - the time first

print(now, flush=True)
sys.stdin.read()
