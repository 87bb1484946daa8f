"""The pump for sockets: one loop sends to all viewers of a process, in a thread of it."""

from .connections import CHUNKED, CLOSED, Framing
from .loop import Engine
from .threads import adopt, stop

__all__ = ["CHUNKED", "CLOSED", "Engine", "Framing", "adopt", "stop"]
