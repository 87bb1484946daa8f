"""Who moves a source's output into its run, keeps limits, and ends it with all that it started."""

from .consoles import Console, NoConsole
from .endings import REPORTER
from .limits import LIMIT_EXIT_CODE, NO_LIMITS, Limits
from .loops import Supervisor
from .wakes import CANCEL, Wakes

__all__ = [
    "CANCEL",
    "LIMIT_EXIT_CODE",
    "NO_LIMITS",
    "REPORTER",
    "Console",
    "Limits",
    "NoConsole",
    "Supervisor",
    "Wakes",
]
