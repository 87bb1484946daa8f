"""The command `outlive`: one module per subcommand."""

from __future__ import annotations

import signal
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    kept = signal.getsignal(signal.SIGINT)
    if kept is signal.default_int_handler:
        # There is nothing to be told yet of a tenth of a second of imports that is interrupted.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .program import act

    if kept is signal.default_int_handler:
        signal.signal(signal.SIGINT, kept)
    return act(arguments)
