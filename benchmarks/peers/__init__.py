"""Whom Outlive is measured beside: one class for each, all alike to whoever measures."""

from .base import Load, Peer
from .django_eventstreams import DjangoEventstream, StoredDjangoEventstream
from .fastapi_events import FastApiEvents
from .flask_sse import FlaskSse
from .nchan import BatchedNchan, Nchan
from .outlives import (
    Awaiting,
    Command,
    DjangoThreads,
    FastApi,
    FlaskProcesses,
    FlaskThreads,
    Outlive,
    Standalone,
    with_engine,
)
from .seeds import Seed000, Seed002
from .senders import Sender
from .sse_starlettes import SseStarlette

__all__ = [
    "HOSTS",
    "PEERS",
    "Awaiting",
    "BatchedNchan",
    "FastApi",
    "FastApiEvents",
    "FlaskProcesses",
    "FlaskThreads",
    "Load",
    "Nchan",
    "Outlive",
    "Peer",
    "Sender",
    "SseStarlette",
    "Standalone",
    "with_engine",
]

#: Outlive with an engine in a process of its own, in a thread of the server, and with none.
HOSTS: tuple[type[Peer], ...] = (
    Sender,
    *(
        peer
        for kind in (FlaskProcesses, FlaskThreads, DjangoThreads)
        for peer in (kind, with_engine(kind, "thread"), with_engine(kind, "off"))
    ),
    FastApi,
    with_engine(FastApi, "thread"),
    Standalone,
    Awaiting,
)

#: Everybody, as they come.
PEERS: tuple[type[Peer], ...] = (
    Sender,
    Standalone,
    FastApi,
    Awaiting,
    FlaskThreads,
    FlaskProcesses,
    DjangoThreads,
    Nchan,
    BatchedNchan,
    SseStarlette,
    FastApiEvents,
    DjangoEventstream,
    StoredDjangoEventstream,
    FlaskSse,
    Command,
    Seed002,
    Seed000,
)
