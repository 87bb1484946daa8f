"""The pump for sockets: one thread and one loop send to all viewers of a process."""

from .connections import CHUNKED, CLOSED, Framing
from .loop import Engine, adopt, stop

__all__ = ["CHUNKED", "CLOSED", "Engine", "Framing", "adopt", "stop"]
