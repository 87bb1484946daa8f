"""Outlive in its shapes: alone, in three frameworks, and with a command."""

from .base import Peer
from .environments import PYTHON

__all__ = ["Command", "DjangoThreads", "FastApi", "FlaskProcesses", "FlaskThreads", "Standalone"]

#: For whoever asked before the viewers came, and for what else is asked.
_SPARE = 2


class _Outlive(Peer):
    """Lines are written into a run by another process."""

    keeps_history = True
    prefix = "/live"

    @property
    def feeder(self) -> tuple[str, str]:
        return "journal", str(self.folder / "store")

    def path(self, run: str) -> str:
        return f"{self.prefix}/runs/{run}?format=sse"


class Standalone(_Outlive):
    """Our own server."""

    name = "Outlive: `outlive serve`"
    prefix = ""

    def start(self) -> None:
        argv = ["-m", "outlive", "serve", "--no-auth", "--port", str(self.port)]
        self.launch([str(PYTHON), *argv])


class FastApi(_Outlive):
    """The awaiting pump."""

    name = "Outlive: FastAPI, uvicorn"
    packages = ("fastapi",)

    def start(self) -> None:
        self.uvicorn("outlive_on_fastapi:app")


class FlaskThreads(_Outlive):
    """The blocking pump, a thread per viewer."""

    name = "Outlive: Flask, gunicorn gthread"
    packages = ("flask",)
    most, reason = 100, "a thread per viewer"

    def start(self) -> None:
        threads = str(self.viewers + _SPARE)
        self.gunicorn("outlive_on_flask:app", "-k", "gthread", "--threads", threads)


class FlaskProcesses(_Outlive):
    """The blocking pump, a process per viewer."""

    name = "Outlive: Flask, gunicorn sync"
    packages = ("flask",)
    most, reason = 10, "a process per viewer"

    def start(self) -> None:
        workers = str(self.viewers + _SPARE)
        self.gunicorn("outlive_on_flask:app", "-k", "sync", "--workers", workers)


class DjangoThreads(_Outlive):
    """The blocking pump in Django, a thread per viewer."""

    name = "Outlive: Django, gunicorn gthread"
    packages = ("django>=5.2,<5.3",)
    most, reason = 100, "a thread per viewer"

    def start(self) -> None:
        threads = str(self.viewers + _SPARE)
        self.gunicorn("outlive_on_django:app", "-k", "gthread", "--threads", threads)


class Command(FlaskThreads):
    """A command that the first viewer starts and all share; its processes are no part of the server."""

    name = "Outlive: Flask, gthread, a command"
    keeps_history = False
    fed = False

    def path(self, run: str) -> str:  # noqa: ARG002
        return "/command?format=sse"
