"""A run around work of this process, or around a command that it starts."""

from .captures import capture
from .commands import command
from .functions import start

__all__ = ["capture", "command", "start"]
