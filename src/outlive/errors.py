"""What can go wrong, as one tree.

OutliveError
├── ConfigError            an option, a setting or a store that cannot be used
├── RunError
│   ├── RunNotFound        no run of that name, or one that may not be seen
│   ├── RunFinished        the run has ended, and what was asked needs a living one
│   └── UploadFailed       a file did not arrive whole: nothing was started with it
├── JournalError
│   ├── JournalUnavailable the journal cannot be read or written
│   └── CursorExpired      a cursor that this journal cannot have issued, or of a run that is gone
├── FormatError            a format or a start position that does not exist
├── EngineError            the engine cannot take a connection: its server keeps it
├── TooManyViewers         as many watch as may: in all, one run, or from one address
└── AccessDenied           proof or permission is missing
    └── Unauthorized       the token is missing or wrong

Every class carries the HTTP status that answers it.
"""


class OutliveError(Exception):
    """The root of all errors that Outlive raises on purpose."""

    status = 500


class ConfigError(OutliveError):
    """An option, a setting or a store cannot be used as given."""


class RunError(OutliveError):
    """A run cannot do what was asked of it."""


class RunNotFound(RunError):
    """There is no such run."""

    status = 404

    def __init__(self, name: str, why: str = "no such run") -> None:
        self.name = name
        super().__init__(f"{why}: {name}")


class RunFinished(RunError):
    """The run has ended already."""

    status = 409

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} has ended already")


class UploadFailed(RunError):
    """A file did not arrive whole, and nothing was started with it."""

    status = 400

    def __init__(self, why: str, status: int = 400) -> None:
        self.status = status
        super().__init__(why)


class JournalError(OutliveError):
    """A journal cannot be used."""


class JournalUnavailable(JournalError):
    """A journal cannot be read or written."""

    status = 503


class CursorExpired(JournalError):
    """A cursor that names nothing here."""

    status = 404

    def __init__(self, token: str) -> None:
        self.token = token
        super().__init__(f"not a cursor of this run: {token[:80]!r}")


class FormatError(OutliveError):
    """A format, or a place to start at, that does not exist."""

    status = 400


class EngineError(OutliveError):
    """The engine cannot take a connection, which its server keeps."""


class TooManyViewers(OutliveError):
    """No more viewers can watch at once.

    `limited` tells what has the limit: `all`, a `run` or an `address`.
    """

    status = 503

    def __init__(self, limit: int, limited: str = "all") -> None:
        self.limit = limit
        self.limited = limited
        where, variable = {
            "all": ("here", "OUTLIVE_VIEWERS"),
            "run": ("this run", "OUTLIVE_VIEWERS_PER_RUN"),
            "address": ("from this address", "OUTLIVE_VIEWERS_PER_ADDRESS"),
        }[limited]
        super().__init__(
            f"as many watch {where} as may at once ({limit:,}; {variable} sets it): try again soon"
        )


class AccessDenied(OutliveError):
    """Proof or permission is missing."""

    status = 403


class Unauthorized(AccessDenied):
    """The token is missing or wrong."""

    status = 401
