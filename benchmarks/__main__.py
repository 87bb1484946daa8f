"""`python -m benchmarks [NAME…]`: measure, print tables, and keep them in benchmarks/results.

Without a name all is measured, at the length of a few minutes; `--full` takes as long as it takes.
Exits with 1 for a missed target.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable

from .cold_starts import measure_cold
from .engines import measure_engine
from .floods import measure_pipe, measure_shelljob, measure_terminal
from .lab import Lab, open_lab
from .latency import measure_latency
from .lengths import FULL, SHORT, Length
from .listing import measure_listing
from .many_runs import measure_runs
from .measuring import Row
from .ordinary import measure_ordinary
from .peer_crowds import measure_peers
from .prints import measure_prints
from .proofs import measure_targets
from .replays import measure_replay
from .reports import Report, describe_machine, tell_progress, write_report
from .resumption import measure_resumption
from .soaks import measure_soak
from .stalls import measure_stalled
from .startup import measure_startup
from .tracking import measure_tracking

#: These have one length.
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

_SCENARIOS: dict[str, Callable[[Lab, Length], Report]] = {
    "peers": measure_peers,
    "engine": measure_engine,
    "runs": measure_runs,
    "stalled": measure_stalled,
    "cold": measure_cold,
    "ordinary": measure_ordinary,
    "soak": measure_soak,
}


#: Parts of the others, at a length of their own; so it is no part of all.
_PROOFS = {"targets": measure_targets}


def main() -> int:
    """Take the measurements that were named, or all."""
    all_ = [*_MEASUREMENTS, *_SCENARIOS]
    known = [*all_, *_PROOFS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(known))
    parser.add_argument("--full", action="store_true", help="at full length: hours for peers")
    options = parser.parse_args()
    if unknown := set(options.names) - set(known):
        parser.error(f"not a measurement: {', '.join(sorted(unknown))}")
    # A signal is an exception, so that folders and processes go in any case.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, missed = time.monotonic(), False
    with open_lab() as lab:
        for name in options.names or all_:
            tell_progress(f"measuring: {name}")
            report = _measure(lab, name, FULL if options.full else SHORT)
            write_report(name, report)
            print(f"## {name}\n\n{report.render()}\n", flush=True)
            missed = missed or any(row.is_missed for row in report.rows)
        print(f"{describe_machine()}, helpers in {lab.language}, {time.monotonic() - began:.0f} s")
    return int(missed)


def _measure(lab: Lab, name: str, length: Length) -> Report:
    if scenario := (_SCENARIOS | _PROOFS).get(name):
        return scenario(lab, length)
    return Report(_MEASUREMENTS[name](lab))


if __name__ == "__main__":
    sys.exit(main())
