"""`python -m benchmarks [NAME…]`: measure, and print tables; exits with 1 for a missed target.

Without a name all is measured, peers shortly; `full` measures peers in full, which takes hours.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable

from .comparisons import compare_fully, compare_shortly
from .floods import measure_pipe, measure_shelljob, measure_terminal
from .lab import Lab, open_lab
from .latency import measure_latency
from .listing import measure_listing
from .measuring import Row, render
from .prints import measure_prints
from .replays import measure_replay
from .resumption import measure_resumption
from .startup import measure_startup
from .tracking import measure_tracking

_MEASUREMENTS: dict[str, Callable[[Lab], list[Row]]] = {
    "pipe": measure_pipe,
    "terminal": measure_terminal,
    "shelljob": measure_shelljob,
    "resume": measure_resumption,
    "latency": measure_latency,
    "startup": measure_startup,
    "replay": measure_replay,
    "prints": measure_prints,
    "tracking": measure_tracking,
    "listing": measure_listing,
}

#: They print tables of their own.
_COMPARISONS = {"peers": compare_shortly, "full": compare_fully}


def main() -> int:
    """Take the measurements that were named, or all."""
    known = [*_MEASUREMENTS, *_COMPARISONS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(known))
    names = parser.parse_args().names or [*_MEASUREMENTS, "peers"]
    if unknown := set(names) - set(known):
        parser.error(f"not a measurement: {', '.join(sorted(unknown))}")
    # A signal is an exception, so that folders and processes go in any case.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    tables: list[str] = []
    began = time.monotonic()
    with open_lab() as lab:
        for name in names:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            if name in _MEASUREMENTS:
                rows += _MEASUREMENTS[name](lab)
            else:
                tables.append(_COMPARISONS[name](lab))
        helpers = lab.language
    if rows:
        tables.insert(0, render(rows))
    print("\n\n".join(tables))
    load = os.getloadavg()[0]
    print(
        f"\n{platform.machine()}, {os.cpu_count()} CPUs, load {load:.1f}, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, helpers in {helpers}, "
        f"{time.monotonic() - began:.0f} s"
    )
    return int(any(row.verdict == "MISSED" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
