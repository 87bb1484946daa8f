"""write_crowd RATE SECONDS: a run of this process that writes lines of 100 bytes, in ticks of a millisecond.

Prints its id; waits for a line on standard input before it begins; OUTLIVE_STORE says where.
"""

import sys
import time

from outlive.entries import End, Kind, State
from outlive.runs import create_run
from outlive.settings import application_store

rate, seconds = int(sys.argv[1]), float(sys.argv[2])
run = create_run(application_store(None), title="crowd")
print(run.id, flush=True)
sys.stdin.readline()
began, written = time.monotonic(), 0
while (passed := time.monotonic() - began) < seconds:
    due = min(int(passed * rate), int(seconds * rate)) - written
    if due > 0:
        stamp = time.monotonic_ns() // 1000
        run.write(Kind.OUT, (b"~%016d" % stamp + b"x" * 82 + b"\n") * due)
        written += due
    time.sleep(min(0.001, max(1 / rate, 0.0001)))
run.end(End(State.SUCCEEDED, 0))
print(written, flush=True)
