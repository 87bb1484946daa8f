"""What `run` and `pipe` share: a run, its page, the loop, the end, the summary."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ..entries import End, RunRecord
from ..errors import ConfigError
from ..runs import Run, create_run
from ..settings import HOST
from ..sources.base import DescriptorSource
from ..standalone.server import Server, is_loopback
from ..stores import DirectoryStore, Store
from ..supervisors import Supervisor
from .arguments import exit_code, render_duration, render_end, short_id, store_of
from .console import TerminalConsole, say

__all__ = ["make_server", "show_live"]


def make_server(arguments: argparse.Namespace, store: Store) -> Server:
    """Make the server that the arguments ask for; raises ConfigError."""
    host = arguments.host or HOST.value()
    if arguments.no_auth and not is_loopback(host):
        raise ConfigError(f"--no-auth is for loopback addresses only, not for {host}")
    port = arguments.port
    if port is None:
        port = int(arguments.port_option.value())
    return Server(store, host=host, port=port, auth=not arguments.no_auth)


def show_live(
    arguments: argparse.Namespace,
    *,
    title: str,
    command: Sequence[str] | None,
    console: TerminalConsole,
    begin: Callable[[], DescriptorSource | End],
    timeout: float | None = None,
) -> int:
    """Run a source to its end with its page beside it; returns the exit code."""
    store = store_of(arguments)
    # Before the run, so that what cannot be served is not recorded as failed.
    registered = _registered_url(arguments, store)
    server = None if registered else make_server(arguments, store)
    run = create_run(
        store,
        title=arguments.title or title,
        labels=dict(arguments.label),
        command=command,
        on_trouble=lambda error: say(
            f"outlive: cannot write the log: {error.strerror}; the work goes on, "
            "and the log will tell what is missing"
        ),
    )
    if server is not None:
        server.show_only(run.id)
    say(f"outlive: {server.page(run.id) if server else _page_at(registered or '', run.id)}")
    end = _supervise(run, console, begin, server, timeout)
    run.end(end)
    if server is not None:
        _linger(server, arguments.linger)
    record = RunRecord.of(run.journal.start(), run.journal.end())
    say(_summary(store, run, record, end))
    return exit_code(end)


def _supervise(
    run: Run,
    console: TerminalConsole,
    begin: Callable[[], DescriptorSource | End],
    server: Server | None,
    timeout: float | None,
) -> End:
    source = begin()
    if server is not None:
        server.start()
    if isinstance(source, End):
        say(f"outlive: {source.error}")
        return source
    with console:
        return Supervisor(run, source, console, timeout=timeout).supervise()


def _registered_url(arguments: argparse.Namespace, store: Store) -> str | None:
    """Get the URL of a running `outlive serve`, unless a server of one's own was asked for."""
    if arguments.host or arguments.port is not None or arguments.no_auth:
        return None
    return store.server_url() if isinstance(store, DirectoryStore) else None


def _page_at(registered: str, run: str) -> str:
    url, _, query = registered.partition("?")
    return f"{url}runs/{run}" + (f"?{query}" if query else "")


def _linger(server: Server, seconds: float) -> None:
    """Serve on for a while, or until a signal says that it is enough."""
    enough = threading.Event()
    with _ending_at_signals(enough):
        if seconds:
            say(f"outlive: the page stays up for {render_duration(seconds)} (Ctrl-C ends it)")
            enough.wait(seconds)
        server.stop(drain=not enough.is_set())


@contextlib.contextmanager
def _ending_at_signals(enough: threading.Event) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    taken = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: enough.set()) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(store: Store, run: Run, record: RunRecord, end: End) -> str:
    """Sum a run up in a line."""
    tail, _ = run.journal.tail()
    lines = tail.line - 1 + tail.open
    seconds = ((record.ended_at or time.time_ns()) - record.started_at) / 1e9
    parts = [
        render_end(end),
        render_duration(seconds),
        f"{lines:,} {'line' if lines == 1 else 'lines'}",
        f"outlive show {short_id(store, run.id)}",
    ]
    return " · ".join(parts)
