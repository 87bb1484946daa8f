"""Whom Outlive is measured beside: one class for each, all alike to whoever measures."""

from .base import Peer
from .django_eventstreams import DjangoEventstream, StoredDjangoEventstream
from .fastapi_events import FastApiEvents
from .flask_sse import FlaskSse
from .nchan import BatchedNchan, Nchan
from .outlives import Command, DjangoThreads, FastApi, FlaskProcesses, FlaskThreads, Standalone
from .seeds import Seed000, Seed002
from .senders import Sender
from .sse_starlettes import SseStarlette

__all__ = ["PEERS", "Peer"]

PEERS: tuple[type[Peer], ...] = (
    Sender,
    Standalone,
    FastApi,
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
