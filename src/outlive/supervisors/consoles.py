"""Where output is shown beside the journal."""

from __future__ import annotations

from typing import Protocol, Self

from ..entries import Kind

__all__ = ["Console", "NoConsole"]


class Console(Protocol):
    """Where the output is shown beside the journal, and what is typed there."""

    #: Becomes readable when something is typed; None without a keyboard.
    keyboard: int | None

    def show(self, kind: Kind, data: bytes) -> None:
        """Show output; what cannot be taken at once is kept."""

    def blocked(self) -> list[int]:
        """List the descriptors that must become writable before more can be shown."""

    def flush(self) -> None:
        """Go on showing what was kept."""

    def is_closed(self) -> bool:
        """Tell whether nobody will ever take output again."""

    def resized(self) -> None:
        """Take notice of a new window size."""


class NoConsole:
    """Nowhere: the journal is all there is."""

    keyboard: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, kind: Kind, data: bytes) -> None:
        """Show nothing."""

    def blocked(self) -> list[int]:
        return []

    def flush(self) -> None:
        """Nothing is kept."""

    def is_closed(self) -> bool:
        return False

    def resized(self) -> None:
        """Take no notice: it has no size."""
