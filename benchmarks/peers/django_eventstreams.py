"""django-eventstream on uvicorn, without storage and with."""

from .base import Peer

__all__ = ["DjangoEventstream", "StoredDjangoEventstream"]


class DjangoEventstream(Peer):
    """In the process's memory, ten pending events for each viewer."""

    name = "django-eventstream, uvicorn"
    packages = ("django>=5.2,<5.3", "django-eventstream")

    def start(self) -> None:
        self.uvicorn("with_django_eventstream:app")


class StoredDjangoEventstream(DjangoEventstream):
    """A row for each event."""

    name = "django-eventstream, stored in SQLite"
    keeps_history = True

    def path(self, run: str) -> str:  # noqa: ARG002
        return "/stream?lastEventId=lines:0"

    def start(self) -> None:
        self.uvicorn("with_django_eventstream:app", DATABASE=str(self.folder / "events.sqlite"))
