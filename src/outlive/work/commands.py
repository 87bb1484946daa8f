"""Commands that work starts: their output joins the run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from ..entries import End, State
from ..runs import current_run
from ..sources.command import CommandSource, check_command
from ..supervisors import CANCEL, LIMIT_EXIT_CODE, Limits, NoConsole, Supervisor, Wakes
from .interrupts import HeldInterrupts

__all__ = ["command"]

#: Lines and columns, where nobody has a window: what programs expect.
_WINDOW = (24, 80)


def command(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    pipe: bool = False,
) -> int:
    """Run a command to its end; what it writes is output of the current run. Returns its exit code.

    That is the negative number of the signal it died of, as of `subprocess.call`, which this is
    outside of runs; 124 at the time limit. Each command has an origin of its own in the run, so that
    several at once, from threads or with `asyncio.to_thread`, can be told apart. It ends when the
    run is cancelled, with all that it started, and nothing can be typed to it. Ctrl-C goes to the
    command first, and on from here when that is over; a second one kills it.

    Args:
        argv: The program and its arguments, never a shell string.
        cwd: Where it runs; by default here.
        env: Its environment; by default that of this process.
        timeout: Seconds after which it is ended; None for no limit.
        pipe: Give it pipes, not a terminal: standard error is told apart, and no bar is drawn.
    """
    words, limits = check_command(argv), Limits(timeout).check()
    run = current_run()
    # Work that was left over by its run, or forked, is outside of it.
    if run is None or run.buffer is None or run.buffer.closed:
        return _call(words, cwd=cwd, env=env, timeout=timeout)

    def start() -> Future[End]:
        source = CommandSource(
            words,
            terminal=None if pipe else _WINDOW,
            stdin=subprocess.DEVNULL,
            cwd=None if cwd is None else os.fspath(cwd),
            env=env,
        )
        try:
            return _begin(Supervisor(run, source, NoConsole(), wakes, limits=limits, origin=origin))
        except BaseException:
            # There may be too many threads: nobody would look after it.
            source.send_signal(signal.SIGKILL)
            source.end()
            source.close()
            raise

    origin = run.new_origin()
    with Wakes(signals=False) as wakes:
        end = _supervise(start, wakes)
    if end.state is State.CANCELLED and run.journal.cancel_requested():
        run.was_told = True
    return _exit_code(end)


def _call(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    timeout: float | None,
) -> int:
    try:
        return subprocess.call(argv, cwd=cwd, env=env, timeout=timeout)
    except subprocess.TimeoutExpired:
        return LIMIT_EXIT_CODE


def _begin(supervisor: Supervisor) -> Future[End]:
    """Supervise in a thread: the loop would not survive an exception of a signal handler."""
    future: Future[End] = Future()
    threading.Thread(
        target=_work, args=(supervisor, future), name="outlive-command", daemon=True
    ).start()
    return future


def _supervise(start: Callable[[], Future[End]], wakes: Wakes) -> End:
    """Start it, wait until it is over, and only then let go on what came between."""
    future: Future[End] | None = None
    failure: BaseException | None = None
    while future is None or not future.done():
        try:
            if future is None:
                with HeldInterrupts():
                    future = start()
            future.exception()
        except BaseException as error:
            if future is None:
                raise
            failure = error
            wakes.add(signal.SIGINT if isinstance(error, KeyboardInterrupt) else CANCEL)
    if failure is not None:
        raise failure
    return future.result()


def _work(supervisor: Supervisor, future: Future[End]) -> None:
    try:
        future.set_result(supervisor.supervise())
    except BaseException as error:  # noqa: BLE001 - it is raised where this is waited for
        future.set_exception(error)


def _exit_code(end: End) -> int:
    if end.exit_code is not None:
        return end.exit_code
    name = end.signal or ""
    number = signal.Signals.__members__.get(name)
    return -int(number or name.removeprefix("SIG"))
