"""A run around work of this process, or around a command that it starts."""

from .captures import capture
from .commands import command
from .functions import start
from .launches import start_command

__all__ = ["capture", "command", "start", "start_command"]
