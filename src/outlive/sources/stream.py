"""Standard input as a source: what another program pipes in."""

from __future__ import annotations

import signal

from ..entries import End, Kind, State
from .base import DescriptorSource

__all__ = ["StreamSource"]


class StreamSource(DescriptorSource):
    """Reads a descriptor to its end; nobody can be signalled through it."""

    def __init__(self, fd: int) -> None:
        self.outputs = {fd: Kind.OUT}
        self._signal: int | None = None

    def pass_on(self, number: int) -> None:
        self.send_signal(number)

    def send_signal(self, number: int) -> list[str]:
        self._signal = number
        # Ctrl-C reaches whoever writes into it, too: its last words are waited for. Otherwise it
        # is told by SIGPIPE, once this process is gone.
        if number != signal.SIGINT:
            self.outputs.clear()
        return []

    def find_rest(self) -> list[str]:
        return []

    def is_alive(self) -> bool:
        return bool(self.outputs)

    def hang_up(self) -> None:
        self.send_signal(signal.SIGPIPE)

    def end(self) -> End:
        if self._signal is not None:
            return End(State.FAILED, signal=signal.Signals(self._signal).name)
        return End(State.SUCCEEDED, exit_code=0)

    def close(self) -> None:
        self.outputs.clear()
