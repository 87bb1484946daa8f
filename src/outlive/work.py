"""A run around work of this process: a function of its own thread or task, or the code right here.

At the interpreter's end, work that was started is waited for, as any thread is. Ctrl-C asks it to
end, and once more leaves it behind: then its run is lost, with all that it wrote until then. Work
on a loop of the caller ends with that loop, cancelled.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import logging
import os
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from .entries import End, Kind, RunRecord, State
from .errors import OutliveError
from .runs import OwnRun, Run, cancelled, claim_run, create_run, find_run
from .settings import application_store
from .sources.iteration import write_async_items, write_items
from .sources.logs import capture_logs
from .sources.stdout import route_streams
from .sources.threads import follow_threads
from .stores import Store

if TYPE_CHECKING:
    import asyncio

__all__ = ["Capture", "capture", "start"]

#: At the interpreter's end, nothing is said of so short a wait.
_PATIENCE_SECONDS = 1.0
#: Characters of an exception's text in the error of its run; its traceback has all of them.
_ERROR_SIZE = 1000


class _Options(NamedTuple):
    """How the output of a run is taken."""

    echo: bool
    level: int | None
    formatter: logging.Formatter | None


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
) -> Run:
    """Start a function, `async` or not, as a run; what it prints and logs is the run's output.

    Positional arguments go to the function, keywords are options of the run: give the function
    keywords of its own with `functools.partial`. It works in a thread of its own; an `async`
    function on the running loop of the caller, where there is one. Each item of an iterator that
    it returns, a generator above all, is a line of the run.

    The run has failed where the function raises: the traceback is its output. `SystemExit` ends it
    with that exit code. Who asks it to end is heard by `async` work as by any task, by a generator
    between two items, by all others with `cancelled()`.

    Args:
        function: What to do; what it returns otherwise is not kept.
        args: What to call it with.
        title: What the run is called; by default the function's name.
        key: Of all runs of the store with this key, one lives at a time: where one does, in
            whatever process, that is returned, and the function is not called.
        labels: Marks to find the run by.
        owner: Who started it.
        store: Where the run is kept: a store, its URL or a directory; by default that of
            `OUTLIVE_STORE`, otherwise `.outlive` in the current directory.
        echo: Whether prints also go to where they would have gone without the run.
        level: Take all records of logging from this level on, whatever the loggers' own levels.
        formatter: How records of logging become text.
    """
    place = application_store(store)
    run = claim_run(place, key=key, title=title or _name_of(function), labels=labels, owner=owner)
    if isinstance(run, RunRecord):
        return find_run(place, run.id)
    options = _Options(echo, level, formatter)
    work = functools.partial(function, *args)
    try:
        run.collect(echo=echo)
        loop = _running_loop() if _is_async(function) else None
        if loop is None:
            _start_thread(run, functools.partial(_work_in_thread, run, options, work))
        else:
            _start_task(loop, run, options, work)
    except BaseException as error:
        run.end(_judge(run, error))
        raise
    return run


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

    The block gets the run. An exception ends it, as failed, and goes on; KeyboardInterrupt as
    cancelled. A block within another one is a run of its own: the outer one goes on after it.
    The options are those of `start`; the title is by default the program's name.
    """
    create = functools.partial(
        create_run,
        application_store(store),
        title=title or Path(sys.argv[0] or "python").name,
        labels=labels,
        owner=owner,
    )
    return Capture(create, _Options(echo, level, formatter))


class Capture:
    """The context in which the code right here is the work of a run."""

    def __init__(self, create: Callable[[], OwnRun], options: _Options) -> None:
        self._create = create
        self._options = options

    def __enter__(self) -> OwnRun:
        self._run = self._create()
        self._run.collect(echo=self._options.echo)
        self._context = _capturing(self._run, self._options)
        self._context.__enter__()
        return self._run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.__exit__(None, None, None)
        self._run.end(_judge(self._run, error, trace))


@contextlib.contextmanager
def _capturing(run: OwnRun, options: _Options) -> Iterator[None]:
    """Make the prints and records of the code right here those of a run that collects."""
    route_streams()
    follow_threads()
    logs = capture_logs(run.collect(), level=options.level, formatter=options.formatter)
    with logs, run.current():
        yield


def _start_thread(run: OwnRun, target: Callable[[], None]) -> None:
    """Start a thread that the interpreter's end waits for, in its own way."""

    def act() -> None:
        try:
            target()
        finally:
            _living.discard(run)

    _follow_exit()
    thread = threading.Thread(target=act, name=f"outlive {run.record.title}", daemon=True)
    _living.add(run)
    try:
        thread.start()
    except BaseException:
        # There may be too many threads already.
        _living.discard(run)
        raise


def _work_in_thread(run: OwnRun, options: _Options, work: Callable[[], object]) -> None:
    failure: BaseException | None = None
    try:
        with _capturing(run, options):
            failure = _consume(run, work())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is how the work ended
        failure = error
    _end(run, failure)


def _end(run: OwnRun, failure: BaseException | None) -> None:
    run.end(_judge(run, failure))


def _consume(run: OwnRun, result: object) -> BaseException | None:
    """Do what work that was called has left to do."""
    if isinstance(result, Iterator):
        write_items(result, functools.partial(_write_text, run, Kind.OUT), cancelled)
    elif isinstance(result, Awaitable | AsyncIterator):
        import asyncio

        return asyncio.run(_attend(run, result))
    return None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    if "asyncio" in sys.modules:
        import asyncio

        with contextlib.suppress(RuntimeError):
            return asyncio.get_running_loop()
    return None


def _is_async(function: Callable[..., object]) -> bool:
    """Tell whether to call a function is only to make a coroutine or an iterator of it."""
    plain = function.func if isinstance(function, functools.partial) else function
    method = getattr(plain, "__call__", None)  # noqa: B004 - its kind is what is asked
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(kind(plain) or kind(method) for kind in kinds)


def _start_task(
    loop: asyncio.AbstractEventLoop, run: OwnRun, options: _Options, work: Callable[[], object]
) -> None:
    task = loop.create_task(_work_in_task(run, options, work), name=f"outlive {run.id}")
    _tasks.add(task)

    def end(task: asyncio.Task[BaseException | None]) -> None:
        _tasks.discard(task)
        # It may be cancelled before it began. In a thread: to end a run is to wait for a disk.
        failure = KeyboardInterrupt() if task.cancelled() else task.result()
        _start_thread(run, functools.partial(_end, run, failure))

    task.add_done_callback(end)


async def _work_in_task(
    run: OwnRun, options: _Options, work: Callable[[], object]
) -> BaseException | None:
    try:
        with _capturing(run, options):
            result = work()
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
            await write_async_items(work, functools.partial(_write_text, run, Kind.OUT))
    except BaseException as error:  # noqa: BLE001 - as above
        return error
    finally:
        stop()
    return None


def _judge(run: OwnRun, failure: BaseException | None, trace: TracebackType | None = None) -> End:
    """Tell how work ended, and write the traceback of its failure."""
    end = End(State.SUCCEEDED)
    if isinstance(failure, SystemExit):
        end = _judge_exit(run, failure)
    elif failure is not None and _is_cancellation(failure):
        end = End(State.CANCELLED)
    elif failure is not None:
        trace = trace or _without_ours(failure.__traceback__)
        _write_text(run, Kind.ERR, _encode(traceback.format_exception(None, failure, trace)))
        end = End(State.FAILED, error=_describe(failure))
    return end._replace(state=State.CANCELLED) if run.was_told else end


def _judge_exit(run: OwnRun, failure: SystemExit) -> End:
    """Tell what the interpreter would have ended with."""
    if failure.code is None or failure.code == 0:
        return End(State.SUCCEEDED, exit_code=0)
    if isinstance(failure.code, int):
        return End(State.FAILED, exit_code=failure.code)
    _write_text(run, Kind.ERR, _encode([f"{failure.code}\n"]))
    return End(State.FAILED, exit_code=1, error=_in_one_line(str(failure.code)))


def _is_cancellation(failure: BaseException) -> bool:
    # Who has not imported asyncio cannot have one of these.
    asyncio = sys.modules.get("asyncio")
    kinds = (KeyboardInterrupt, *([asyncio.CancelledError] if asyncio else []))
    return isinstance(failure, kinds)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the beginning of a traceback, which tells how we called the work."""
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    return trace


def _is_ours(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__")).startswith("outlive.")


def _describe(failure: BaseException) -> str:
    """Tell in one line what was raised."""
    try:
        text = str(failure)
    except Exception:  # noqa: BLE001 - a broken one is still told of
        text = "(it cannot be shown)"
    name = type(failure).__name__
    return _in_one_line(f"{name}: {text}" if text else name)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())[:_ERROR_SIZE]


def _encode(lines: list[str]) -> bytes:
    return "".join(lines).encode(errors="backslashreplace")


def _write_text(run: OwnRun, kind: Kind, data: bytes) -> None:
    """Write what nobody printed, and echo it where prints are."""
    run.write(kind, data)
    if run.buffer is not None and run.buffer.echo:
        stream = sys.stderr if kind is Kind.ERR else sys.stdout
        # In an empty context, as if there were no run.
        contextvars.Context().run(stream.write, data.decode(errors="replace"))


def _name_of(function: Callable[..., object]) -> str:
    plain = function.func if isinstance(function, functools.partial) else function
    return str(getattr(plain, "__name__", type(plain).__name__))


#: Runs for which a thread works, or writes how a task ended; those of its parent are not a child's.
_living: set[OwnRun] = set()
os.register_at_fork(after_in_child=_living.clear)
#: On loops of callers, which themselves would forget them.
_tasks: set[asyncio.Task[BaseException | None]] = set()


@functools.cache
def _follow_exit() -> None:
    # It ends the pools that work may still use, and is called after what is registered later.
    import concurrent.futures.thread  # noqa: F401

    # As pools do it: before other threads are waited for, and before `atexit`, by which what work
    # uses may be gone.
    threading._register_atexit(_wait_for_work)  # type: ignore[attr-defined]  # noqa: SLF001


def _wait_for_work() -> None:
    """Wait for all work at the interpreter's end; ask it to end where that end is a Ctrl-C."""
    was_asked = getattr(sys, "last_type", None) is KeyboardInterrupt
    if was_asked:
        _ask_to_end()
    while _is_waiting(was_asked=was_asked):
        if was_asked:
            return
        was_asked = True
        _ask_to_end()


def _is_waiting(*, was_asked: bool) -> bool:
    """Wait for all work; tells whether a Ctrl-C came before all was done."""
    told = was_asked
    try:
        while living := list(_living):
            # Not for the thread: after a Ctrl-C, one that lives is taken for dead (bpo-45274).
            if living[0].wait(_PATIENCE_SECONDS) is State.RUNNING and not told:
                told = True
                runs = "1 run" if len(living) == 1 else f"{len(living)} runs"
                _say(f"waiting for {runs} to end (Ctrl-C asks for it)")
    except KeyboardInterrupt:
        return True
    return False


def _ask_to_end() -> None:
    for run in list(_living):
        with contextlib.suppress(OutliveError):
            run.cancel()


def _say(message: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"outlive: {message}\n")
