"""The code right here as the work of a run."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ..children import follow_processes
from ..errors import ConfigError
from ..runs import OwnRun, create_run
from ..settings import application_store
from ..sources.logs import capture_logs
from ..sources.progress import ProgressFinder
from ..sources.stdout import route_streams
from ..sources.threads import follow_threads
from ..stores import Store
from .interrupts import HeldInterrupts
from .outcomes import judge

__all__ = ["Capture", "Options", "capture", "capturing"]


class Options(NamedTuple):
    """How the output of a run is taken."""

    echo: bool
    level: int | None
    formatter: logging.Formatter | None

    def check(self) -> Options:
        """Raise ConfigError where logging could not work so: the work itself would fail of it."""
        if not isinstance(self.level, int | None):
            raise ConfigError(f"level: give a number, as logging.DEBUG is, not {self.level!r:.100}")
        if not isinstance(self.formatter, logging.Formatter | None):
            raise ConfigError(f"formatter: give a logging.Formatter, not {self.formatter!r:.100}")
        return self


def capture(
    *,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
    owner: str | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    echo: bool = False,
    level: int | None = None,
    formatter: logging.Formatter | None = None,
) -> Capture:
    """Make the code of a `with` block a run; what it prints and logs is the run's output.

    The block gets the run. An exception ends it, as failed, and goes on; KeyboardInterrupt, and the
    end of a generator that is left within, as cancelled. A block within another one is a run of its
    own: the outer one goes on after it. The options are those of `start`; the title is by default
    the program's name.
    """
    create = functools.partial(
        create_run,
        application_store(store),
        title=title or Path(sys.argv[0] or "python").name,
        labels=labels,
        owner=owner,
    )
    return Capture(create, Options(echo, level, formatter).check())


class Capture:
    """The context in which the code right here is the work of a run."""

    def __init__(self, create: Callable[[], OwnRun], options: Options) -> None:
        self._create = create
        self._options = options
        self._run: OwnRun | None = None

    def __enter__(self) -> OwnRun:
        self._run, self._context = None, contextlib.ExitStack()
        try:
            with HeldInterrupts():
                run = self._run = self._create()
                run.collect(echo=self._options.echo)
                self._context.enter_context(capturing(run, self._options))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with HeldInterrupts():
            run, self._run = self._run, None
            # A second Ctrl-C comes while it ends: it goes on there, and what is here need not wait.
            ending = threading.Thread(target=_end, args=(run, error, trace), name="outlive-end")
            try:
                self._context.close()
            finally:
                if sys.is_finalizing():
                    _end(run, error, trace)
                else:
                    ending.start()
        if ending.ident is not None:
            ending.join()


def _end(run: OwnRun | None, error: BaseException | None, trace: TracebackType | None) -> None:
    # In a forked child it goes on, in its parent.
    if run is not None and run.is_here:
        run.end(judge(run, error, trace))


@contextlib.contextmanager
def capturing(run: OwnRun, options: Options) -> Iterator[None]:
    """Make the prints and records of the code right here those of a run that collects."""
    route_streams()
    follow_threads()
    follow_processes()
    buffer = run.collect()
    buffer.finder = ProgressFinder()
    logs = capture_logs(buffer, level=options.level, formatter=options.formatter)
    with logs, run.current():
        yield
