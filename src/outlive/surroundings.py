"""What the web framework around the calling code knows: its application's store, what work needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from .stores import Store

__all__ = [
    "Place",
    "Setup",
    "Surroundings",
    "around_work",
    "home",
    "is_reloaded",
    "join",
    "setups",
    "store",
]

#: A store, its URL or a directory; None for what the surroundings say.
Place = Store | str | os.PathLike[str] | None
#: Makes what work is done within.
Around = Callable[[], AbstractContextManager[object]]
#: Makes a process ready for what work imports.
Setup = Callable[[], object]


class Surroundings:
    """What a framework tells of the application that is current where it is asked; by default nothing.

    An adapter joins one when it is imported, so that also work which a view starts by itself, or
    a command of the framework's, finds what it needs.
    """

    def store(self) -> Place:
        """Get the store that the application's settings name."""
        return None

    def home(self) -> Path | None:
        """Get the application's directory for what it writes."""
        return None

    def around_work(self) -> Around | None:
        """Get what makes the surroundings of work that is started here: it leaves no trace of it."""
        return None

    def setup(self) -> Setup | None:
        """Get what a process that begins with nothing calls before it loads work; pickle takes it."""
        return None

    def is_reloaded(self) -> bool:
        """Tell whether another process takes the place of this one as soon as code changes."""
        return False


_joined: list[Surroundings] = []


def join(surroundings: Surroundings) -> None:
    """Ask these, too, from now on."""
    _joined.append(surroundings)


def store() -> Place:
    """Get the store that the settings of the current application name."""
    return next((found for one in _joined if (found := one.store()) is not None), None)


def home() -> Path:
    """Get the directory in which the current application keeps what it writes."""
    return next((found for one in _joined if (found := one.home()) is not None), Path())


def around_work() -> Around:
    """Get what makes the surroundings of work that is started here, to be entered where it works."""
    found = [around for one in _joined if (around := one.around_work()) is not None]

    @contextmanager
    def enter() -> Iterator[None]:
        with ExitStack() as stack:
            for around in found:
                stack.enter_context(around())
            yield

    return enter


def setups() -> list[Setup]:
    """Get what processes of their own call before they load work that is started here."""
    return [setup for one in _joined if (setup := one.setup()) is not None]


def is_reloaded() -> bool:
    """Tell whether this is a development server's process that serves until code changes."""
    return any(one.is_reloaded() for one in _joined)
