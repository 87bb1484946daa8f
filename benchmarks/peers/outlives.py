"""Outlive in its shapes: alone, in three frameworks, with a command; with an engine, and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from .base import MANY, Peer
from .environments import PYTHON

__all__ = [
    "Awaiting",
    "Command",
    "DjangoThreads",
    "FastApi",
    "FlaskProcesses",
    "FlaskThreads",
    "Outlive",
    "Standalone",
    "with_engine",
]

#: For whoever asked before the viewers came, and for what else is asked.
_SPARE = 2


class Outlive(Peer):
    """Lines are written into a run by another process."""

    keeps_history = True
    prefix = "/live"
    engine = "process"
    settings: ClassVar[Mapping[str, str]] = {"OUTLIVE_ENGINE": "process"}
    #: As many viewers as make sense where each keeps its place in the server, and the reason.
    most_without, reason_without = MANY, ""

    @property
    def feeder(self) -> tuple[str, str]:
        return "journal", str(self.folder / "store")

    def path(self, run: str) -> str:
        return f"{self.prefix}/runs/{run}?format=sse"

    @property
    def places(self) -> int:
        """Say how many threads or processes there must be."""
        return 1 if self.engine != "off" else self.load.viewers + _SPARE


def with_engine(kind: type[Outlive], engine: str) -> type[Outlive]:
    """Make it a peer of its own, with this setting."""
    values: dict[str, object] = {
        "__doc__": kind.__doc__,
        "name": f"{kind.name}, engine {engine}",
        "engine": engine,
        "settings": {"OUTLIVE_ENGINE": engine},
    }
    if engine == "off":
        values |= {"most": kind.most_without, "reason": kind.reason_without}
    return cast("type[Outlive]", type(f"{kind.__name__}_{engine}", (kind,), values))


class Standalone(Outlive):
    """Our own server."""

    name = "Outlive: `outlive serve`"
    prefix = ""

    def start(self) -> None:
        argv = ["-m", "outlive", "serve", "--no-auth", "--port", str(self.port)]
        self.launch([str(PYTHON), *argv])


class FastApi(Outlive):
    """A server of ASGI that lets sockets go."""

    name = "Outlive: FastAPI, uvicorn"
    packages = ("fastapi",)
    options: tuple[str, ...] = ("--http", "outlive.adapters.asgi.uvicorn:Protocol")

    def start(self) -> None:
        self.uvicorn("outlive_on_fastapi:app", *self.options)


class Awaiting(FastApi):
    """The awaiting pump, as on any server of ASGI."""

    name = "Outlive: FastAPI, uvicorn, awaiting"
    options = ()


class FlaskThreads(Outlive):
    """A thread answers; without an engine, one for each viewer."""

    name = "Outlive: Flask, gunicorn gthread"
    packages = ("flask",)
    most_without, reason_without = 100, "a thread per viewer"

    def start(self) -> None:
        threads = str(max(4, self.places))
        self.gunicorn("outlive_on_flask:app", "-k", "gthread", "--threads", threads)


class FlaskProcesses(Outlive):
    """One process answers; without an engine, one for each viewer."""

    name = "Outlive: Flask, gunicorn sync"
    packages = ("flask",)
    most_without, reason_without = 10, "a process per viewer"

    def start(self) -> None:
        workers = str(self.places)
        self.gunicorn("outlive_on_flask:app", "-k", "sync", "--workers", workers)


class DjangoThreads(Outlive):
    """A thread of Django's answers; without an engine, one for each viewer."""

    name = "Outlive: Django, gunicorn gthread"
    packages = ("django>=5.2,<5.3",)
    most_without, reason_without = 100, "a thread per viewer"

    def start(self) -> None:
        threads = str(max(4, self.places))
        self.gunicorn("outlive_on_django:app", "-k", "gthread", "--threads", threads)


class Command(FlaskThreads):
    """A command that the first viewer starts and all share; its processes are no part of the server."""

    name = "Outlive: Flask, gthread, a command"
    keeps_history = False
    fed = False

    def path(self, run: str) -> str:  # noqa: ARG002
        return "/command?format=sse"
