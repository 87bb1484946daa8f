"""A run around work of this process, or around a command that it starts."""
