"""The seeds, as they were written: each viewer starts work of its own."""

from .base import APPS, Peer
from .environments import PYTHON

__all__ = ["Seed000", "Seed002"]


class Seed000(Peer):
    """Prints of a thread to a page of Django's development server."""

    name = "seed 000: Django, prints, runserver"
    packages = ("django>=5.2,<5.3",)
    most, reason = 10, "two threads per viewer, one of which never rests"
    fed = False

    def start(self) -> None:
        argv = [APPS / "seed_000.py", "runserver", "--noreload", f"127.0.0.1:{self.port}"]
        self.launch([str(PYTHON), *map(str, argv)])


class Seed002(Peer):
    """Lines of a command to Flask, through shelljob; gevent where it had eventlet."""

    name = "seed 002: Flask, shelljob, gunicorn gevent"
    packages = ("flask", "shelljob", "gevent")
    most, reason = 10, "a process per viewer"
    fed = False

    def start(self) -> None:
        self.gunicorn("seed_002:app", "-k", "gevent")
