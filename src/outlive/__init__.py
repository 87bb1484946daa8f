"""Live output of long-running work, in the browser: a run is a log, a viewer a cursor in it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activities import Activity, activity
    from .entries import State
    from .errors import (
        AccessDenied,
        ConfigError,
        CursorExpired,
        FormatError,
        JournalError,
        JournalUnavailable,
        OutliveError,
        RunError,
        RunFinished,
        RunNotFound,
        Unauthorized,
        UploadFailed,
    )
    from .runs import Run, cancelled, current_run
    from .sources.stages import event, stage, track
    from .sources.uploads import ReceivedFile
    from .work.captures import capture
    from .work.commands import command
    from .work.functions import start
    from .work.launches import start_command
    from .work.receptions import receive

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "Activity",
    "ConfigError",
    "CursorExpired",
    "FormatError",
    "JournalError",
    "JournalUnavailable",
    "OutliveError",
    "ReceivedFile",
    "Run",
    "RunError",
    "RunFinished",
    "RunNotFound",
    "State",
    "Unauthorized",
    "UploadFailed",
    "__version__",
    "activity",
    "cancelled",
    "capture",
    "command",
    "current_run",
    "event",
    "receive",
    "stage",
    "start",
    "start_command",
    "track",
]

#: Where what is no error is from; `import outlive` costs nothing until it is used.
_HOMES = {
    "Activity": "activities",
    "ReceivedFile": "sources.uploads",
    "Run": "runs",
    "State": "entries",
    "activity": "activities",
    "cancelled": "runs",
    "capture": "work.captures",
    "command": "work.commands",
    "current_run": "runs",
    "event": "sources.stages",
    "receive": "work.receptions",
    "stage": "sources.stages",
    "start": "work.functions",
    "start_command": "work.launches",
    "track": "sources.stages",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return __all__
