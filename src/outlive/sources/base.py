"""What the supervisor needs of a source that is read from descriptors."""

from __future__ import annotations

import select
from abc import ABC, abstractmethod

from ..channels import Channel
from ..entries import End, Kind

__all__ = ["KERNEL_BUFFER", "DescriptorSource"]

#: The most that the kernel holds of an output. Asked of it for pipes (fcntl(2), F_SETPIPE_SZ):
#: fewer, larger reads of a flood. Terminals hold less.
KERNEL_BUFFER = 1024 * 1024


class DescriptorSource(ABC):
    """Something outside this process whose output arrives through descriptors."""

    #: Where the output arrives, and which kind of text it is.
    outputs: dict[int, Kind]
    #: Becomes readable when the source is over, though descendants may hold `outputs` open.
    over_fd: int | None = None
    #: Brings entries that the source makes itself.
    channel: Channel | None = None
    #: Takes what is typed, where there is a terminal for it.
    input_fd: int | None = None

    @abstractmethod
    def pass_on(self, number: int) -> None:
        """Send a signal to whom a terminal would send it."""

    @abstractmethod
    def send_signal(self, number: int) -> list[str]:
        """Send a signal to everything that belongs to the source; names who got it."""

    def signal_rest(self) -> list[str]:
        """Send SIGTERM, once it is over, to whom a first signal left out; names who got it."""
        return []

    @abstractmethod
    def find_rest(self) -> list[str]:
        """Name what is left of all that a signal was for."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Tell whether anything that a signal would reach is left."""

    def reap(self) -> None:  # noqa: B027 - a source without processes has nothing to do
        """Take notice that some process has ended."""

    @abstractmethod
    def hang_up(self) -> None:
        """Let the source notice that nobody takes its output any more."""

    @abstractmethod
    def end(self) -> End:
        """Tell how it ended; only once it is over or its outputs are at their end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all descriptors."""

    def close_output(self, fd: int) -> None:
        """Forget an output that is at its end."""
        del self.outputs[fd]


def has_data(fd: int) -> bool:
    """Tell whether a read would not wait."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
