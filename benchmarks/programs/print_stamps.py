"""Print, in a run of this process, lines that tell when they were printed.

`print_stamps.py COUNT SECONDS_BETWEEN waits|computes`: what the work does between two lines. The
run's id comes on standard output; work begins with a line on standard input.
"""

import sys
import time

from outlive.entries import End, State
from outlive.runs import create_run
from outlive.settings import application_store
from outlive.sources.stdout import route_streams


def compute(seconds: float) -> None:
    """Keep the interpreter busy."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(100))


def main(count: int, seconds: float, between: str) -> None:
    """Print in a run."""
    run = create_run(application_store(None), title="stamps")
    print(run.id, flush=True)
    sys.stdin.readline()
    run.collect()
    route_streams()
    pause = compute if between == "computes" else time.sleep
    with run.current():
        for _ in range(count):
            print(f"T{time.monotonic_ns()}")
            pause(seconds)
    run.end(End(State.SUCCEEDED))


main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
