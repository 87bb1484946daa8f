"""Functions as the work of a run, in a thread of their own or as a task."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..entries import Kind, RunRecord
from ..errors import ConfigError
from ..runs import OwnRun, Run, cancelled, claim_run, find_run
from ..settings import application_store
from ..sources.iteration import write_async_items, write_items
from ..stores import Store
from ..surroundings import Around, around_work
from .captures import Options, capturing
from .exits import start_thread
from .interrupts import HeldInterrupts
from .outcomes import judge, write_text

if TYPE_CHECKING:
    import asyncio


__all__ = ["Call", "begin", "check_function", "conclude", "consume", "start"]


def start(
    function: Callable[..., object],
    *args: object,
    title: str | None = None,
    key: str | None = None,
    labels: Mapping[str, str] | None = None,
    owner: str | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    echo: bool = False,
    level: int | None = None,
    formatter: logging.Formatter | None = None,
    isolation: Literal["process"] | None = None,
) -> Run:
    """Start a function, `async` or not, as a run; what it prints and logs is the run's output.

    Positional arguments go to the function, keywords are options of the run: give the function
    keywords of its own with `functools.partial`. It works in a thread of its own; an `async`
    function on the running loop of the caller, where there is one. Each item of an iterator that
    it returns, a generator above all, is a line of the run.

    The run has failed where the function raises: the traceback is its output. `SystemExit` ends it
    with that exit code. Who asks it to end is heard by `async` work as by any task, by a generator
    between two items, by all others with `cancelled()`.

    The interpreter's end waits for it, as for any thread: Ctrl-C asks it to end, and a second one
    leaves it behind, lost with all that it wrote until then. A task ends with its loop, cancelled.
    What must outlive this process needs `isolation`, or `start_command`.

    Started where a web framework's application is current, it has what that gives to work: Flask's
    application context, connections to databases that are closed at its end.

    Args:
        function: What to do; what it returns otherwise is not kept.
        args: What to call it with.
        title: What the run is called; by default the function's name.
        key: Of all runs of the store with this key, one lives at a time: where one does, in
            whatever process, that is returned, and the function is not called.
        labels: Marks to find the run by.
        owner: Who started it.
        store: Where the run is kept: a store, its URL or a directory; by default that of
            the application's settings or `OUTLIVE_STORE`, otherwise a directory `.outlive`.
        echo: Whether prints also go to where they would have gone without the run.
        level: Take all records of logging from this level on, whatever the loggers' own levels.
        formatter: How records of logging become text.
        isolation: With `"process"`, the function works in a process of its own, which can be
            killed, may crash, and outlives this one: see `docs/commands.md`.
    """
    check_function(function)
    options = Options(echo, level, formatter).check()
    place = application_store(store)
    if isolation is not None:
        _check_isolation(isolation, echo=echo)
        from .isolation import Work, start_isolated

        isolated = Work(functools.partial(function, *args), level, formatter)
        name = title or _name_of(function)
        return start_isolated(place, isolated, title=name, key=key, labels=labels, owner=owner)
    name = title or _name_of(function)
    # Otherwise Ctrl-C would leave a run without work, which keeps its key, or end one that works.
    with HeldInterrupts():
        run = claim_run(place, key=key, title=name, labels=labels, owner=owner)
        if isinstance(run, RunRecord):
            return find_run(place, run.id)
        begin(run, Call(functools.partial(function, *args), options, around_work()))
    return run


def check_function(function: object) -> None:
    """Raise ConfigError for what cannot be called."""
    if not callable(function):
        raise ConfigError(
            "give a function, and after it what to call it with, as in start(f, 1) "
            f"and not start(f(1)): not {function!r:.100}"
        )


class Call(NamedTuple):
    """What is called, how its output is taken, and what a framework has it surrounded by."""

    function: functools.partial[object]
    options: Options
    around: Around

    @contextlib.contextmanager
    def prepared(self, run: OwnRun) -> Iterator[None]:
        with capturing(run, self.options), self.around():
            yield


def begin(run: OwnRun, work: Call) -> None:
    """Start the work of a run: on the running loop where it is `async`, else in a thread."""
    try:
        run.collect(echo=work.options.echo)
        loop = _running_loop() if _is_async(work.function) else None
        if loop is None:
            start_thread(run, functools.partial(_work_in_thread, run, work))
        else:
            _start_task(loop, run, work)
    except BaseException as error:
        run.end(judge(run, error))
        raise


def _check_isolation(isolation: str, *, echo: bool) -> None:
    if isolation != "process" or echo:
        raise ConfigError(
            "isolation is 'process' or None, and of another process nothing is echoed here"
        )


def _is_async(function: Callable[..., object]) -> bool:
    """Tell whether to call a function is only to make a coroutine or an iterator of it."""
    plain = function.func if isinstance(function, functools.partial) else function
    method = getattr(plain, "__call__", None)  # noqa: B004 - its kind is what is asked
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(kind(plain) or kind(method) for kind in kinds)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    if "asyncio" in sys.modules:
        import asyncio

        with contextlib.suppress(RuntimeError):
            return asyncio.get_running_loop()
    return None


def _name_of(function: Callable[..., object]) -> str:
    plain = function.func if isinstance(function, functools.partial) else function
    return str(getattr(plain, "__name__", type(plain).__name__))


def _work_in_thread(run: OwnRun, work: Call) -> None:
    conclude(run, _attempt(run, work))


def _attempt(run: OwnRun, work: Call) -> BaseException | None:
    """Do the work; returns what it raised. No variable keeps that, with all that its frames hold."""
    try:
        with work.prepared(run):
            return consume(run, work.function())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is how the work ended
        return error


def conclude(run: OwnRun, failure: BaseException | None) -> None:
    """Record how work ended."""
    if run.is_here:
        run.end(judge(run, failure))
    elif failure is not None:
        # In a forked child, which has no run.
        raise failure


def consume(run: OwnRun, result: object) -> BaseException | None:
    """Do what work that was called has left to do."""
    if isinstance(result, Iterator):
        write_items(result, functools.partial(write_text, run, Kind.OUT), cancelled)
    elif isinstance(result, Awaitable | AsyncIterator):
        import asyncio

        return asyncio.run(_attend(run, result))
    return None


def _start_task(loop: asyncio.AbstractEventLoop, run: OwnRun, work: Call) -> None:
    task = loop.create_task(_work_in_task(run, work), name=f"outlive {run.id}")
    _tasks.add(task)

    def end(task: asyncio.Task[BaseException | None]) -> None:
        _tasks.discard(task)
        # It may be cancelled before it began. In a thread: to end a run is to wait for a disk.
        failure = KeyboardInterrupt() if task.cancelled() else task.result()
        start_thread(run, functools.partial(conclude, run, failure))

    task.add_done_callback(end)


async def _work_in_task(run: OwnRun, work: Call) -> BaseException | None:
    try:
        with work.prepared(run):
            result = work.function()
            if isinstance(result, Awaitable | AsyncIterator):
                return await _attend(run, result)
    except BaseException as error:  # noqa: BLE001 - as above
        return error
    return None


async def _attend(
    run: OwnRun, work: Awaitable[object] | AsyncIterator[object]
) -> BaseException | None:
    """Await work that can be cancelled; returns what it raised, as a loop would end of some."""
    import asyncio

    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def cancel() -> None:
        if task is not None and not task.done():
            run.was_told = True
            task.cancel()

    def ask() -> None:
        # The loop may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(cancel)

    stop = run.on_cancel(ask)
    try:
        if isinstance(work, Awaitable):
            await work
        else:
            await write_async_items(work, functools.partial(write_text, run, Kind.OUT))
    except BaseException as error:  # noqa: BLE001 - as above
        return error
    finally:
        stop()
    return None


#: On loops of callers, which themselves would forget them.
_tasks: set[asyncio.Task[BaseException | None]] = set()
