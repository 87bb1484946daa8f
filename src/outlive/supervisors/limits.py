"""How long a source may run, how long it may be silent, how much it may write."""

from __future__ import annotations

from typing import NamedTuple

from ..entries import Gap, incomplete_suffix
from ..errors import ConfigError

__all__ = ["LIMIT_EXIT_CODE", "NO_LIMITS", "Limits", "Quota"]

#: What timeout(1) exits with.
LIMIT_EXIT_CODE = 124

_UNITS = ("B", "kB", "MB", "GB", "TB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Limits(NamedTuple):
    """Seconds that a source may run and be silent, and bytes that it may write; None for no limit."""

    timeout: float | None = None
    silence: float | None = None
    quota: int | None = None

    def check(self) -> Limits:
        """Raise ConfigError where one is no number that could be reached."""
        for name, value in self._asdict().items():
            if value is None or (isinstance(value, int | float) and 0 <= value < float("inf")):
                continue
            raise ConfigError(f"{name}: give a number that is not negative, not {value!r:.100}")
        return self

    def describe(self, name: str) -> str:
        """Tell that a limit was reached."""
        if name == "timeout":
            return f"it ran longer than its limit of {self.timeout:g} s"
        if name == "silence":
            return f"it was silent for longer than its limit of {self.silence:g} s"
        return f"it wrote more than its limit of {_render_size(self.quota or 0)}"


NO_LIMITS = Limits()


class Quota:
    """Counts what a source writes; what is beyond the limit is no more than counted."""

    def __init__(self, limit: int | None) -> None:
        self._left = float("inf") if limit is None else limit
        self._cut_line = False
        self._excess: Gap | None = None

    def admit(self, data: bytes) -> bytes:
        """Take what may be written of some output, whole characters."""
        if self._excess is None and len(data) <= self._left:
            self._left -= len(data)
            return data
        kept = b"" if self._excess else data[: int(self._left)]
        kept = kept[: len(kept) - incomplete_suffix(kept)]
        self._count(data[len(kept) :])
        return kept

    def admit_whole(self, data: bytes) -> bool:
        """Take something that cannot be cut; tells whether it may be written."""
        if self._excess is None and len(data) <= self._left:
            self._left -= len(data)
            return True
        self._count(data)
        return False

    def _count(self, data: bytes) -> None:
        if not data:
            return
        entries, size, lines, _ = self._excess or Gap(0, 0, 0, "")
        self._excess = Gap(
            (entries or 0) + 1,
            (size or 0) + len(data),
            (lines or 0) + data.count(b"\n"),
            "beyond the limit",
        )
        self._cut_line = not data.endswith(b"\n")

    def excess(self) -> Gap | None:
        """Tell what was not kept."""
        gap = self._excess
        return gap and gap._replace(lines=(gap.lines or 0) + self._cut_line)


def _render_size(size: int) -> str:
    """Write a number of bytes as it was given, as far as one can know."""
    for base, units in ((1000, _UNITS), (1024, _BINARY_UNITS)):
        number, unit = size, 0
        while number and number % base == 0 and unit < len(units) - 1:
            number, unit = number // base, unit + 1
        if unit:
            return f"{number} {units[unit]}"
    return f"{size} B"
