"""The process that is nothing but a supervisor: of one command, for whoever ordered it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

from ..channels import Channel
from ..entries import End, RunRecord
from ..errors import OutliveError
from ..runs import OwnRun, claim_run
from ..settings import store_quota
from ..sources.command import CommandSource, explain_failure
from ..stores import open_store
from .consoles import NoConsole
from .launching import Order
from .loops import Supervisor
from .wakes import Wakes

__all__ = ["main"]

#: Lines and columns of a terminal that nobody sees.
_SIZE = (24, 80)


def main() -> None:
    """Read an order on standard input, answer on standard output, and carry it out."""
    _reset_signals()
    with open(0, "rb", closefd=False) as orders:
        content = orders.read()
    if not content:
        # Whoever was about to order is gone.
        return
    try:
        _supervise(Order.decode(content))
    except OutliveError as error:
        _answer(error=str(error))


def _reset_signals() -> None:
    """Obey signals, whatever the thread that started this had blocked or ignored."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _supervise(order: Order) -> None:
    with Wakes() as wakes:
        run = claim_run(
            open_store(order.store, quota=store_quota()),
            key=order.key,
            title=order.title,
            labels=order.labels,
            command=None if order.is_isolated else order.argv,
            owner=order.owner,
        )
        if isinstance(run, RunRecord):
            _answer(run=run.id)
            return
        source = _begin(order, run)
        if isinstance(source, End):
            run.end(source)
            _answer(run=run.id, error=source.error)
            return
        _answer(run=run.id)
        run.end(_watch(run, source, order, wakes))


def _watch(run: OwnRun, source: CommandSource, order: Order, wakes: Wakes) -> End:
    return Supervisor(run, source, NoConsole(), wakes, limits=order.limits).supervise()


def _begin(order: Order, run: OwnRun) -> CommandSource | End:
    channel, argv = None, order.argv
    if order.is_isolated:
        channel = Channel()
        channel.begin(run.record.encode())
        argv = [*argv, str(channel.other.fileno())]
    try:
        return CommandSource(
            argv,
            terminal=None if order.pipe else _SIZE,
            stdin=subprocess.DEVNULL if order.stdin is None else order.stdin,
            cwd=order.cwd,
            env=order.env,
            channel=channel,
            adopts=True,
        )
    except (OSError, ValueError) as error:
        return explain_failure(order.argv[0], error)
    finally:
        if order.stdin is not None:
            # A large file would stay for as long as the command runs.
            os.close(order.stdin)


def _answer(*, run: str | None = None, error: str | None = None) -> None:
    """Answer once, and let go of whoever ordered: it may be gone already."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps({"run": run, "error": error}).encode())
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)
