"""What `run` and `pipe` share: a run, its page, the loop, the end, the summary."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Sequence

from ..entries import End
from ..errors import ConfigError, OutliveError
from ..runs import OwnRun, create_run
from ..settings import HOST
from ..sources.base import DescriptorSource
from ..standalone.server import Server, is_loopback
from ..stores import Store
from ..supervisors import NO_LIMITS, Limits, NoConsole, Supervisor, Wakes
from .arguments import (
    duration_of,
    exit_code,
    parse_port,
    render_duration,
    render_end,
    render_hint,
    short_ids,
    store_of,
)
from .console import TerminalConsole, say
from .detached import Detachment

__all__ = ["make_server", "show_live"]


def make_server(arguments: argparse.Namespace, store: Store) -> Server:
    """Make the server that the arguments ask for; raises ConfigError."""
    host = arguments.host or HOST.value()
    if arguments.no_auth and not is_loopback(host):
        raise ConfigError(f"--no-auth is for loopback addresses only, not for {host}")
    port = arguments.port
    if port is None:
        port = parse_port(arguments.port_option.value())
    return Server(store, host=host, port=port, auth=not arguments.no_auth)


def show_live(
    arguments: argparse.Namespace,
    *,
    title: str,
    command: Sequence[str] | None,
    console: TerminalConsole | NoConsole,
    begin: Callable[[], DescriptorSource | End],
    limits: Limits = NO_LIMITS,
    detachment: Detachment | None = None,
) -> int:
    """Run a source to its end with its page beside it; returns the exit code.

    With a `detachment`, the terminal is let go once the source has begun.
    """
    store = store_of(arguments)
    # Before the run, so that what cannot be served is not recorded as failed.
    registered = _registered_url(arguments, store)
    server = None if registered else make_server(arguments, store)
    # From here on a signal ends the run, not this process.
    with Wakes() as wakes:
        run = create_run(
            store,
            title=arguments.title or title,
            labels=dict(arguments.label),
            command=command,
            on_trouble=_warn,
        )
        if server is not None:
            server.show_only(run.id)
        say(f"outlive: {server.page(run.id) if server else _page_at(registered or '', run.id)}")
        source = begin()
        if server is not None:
            server.start()
        if isinstance(source, End):
            end = source
        else:
            if detachment is not None:
                say(f"outlive: running · {_hint(arguments, 'follow', store, run)}")
                detachment.release()
            with console:
                end = Supervisor(run, source, console, wakes, limits=limits).supervise()
        if end.error:
            say(f"outlive: {end.error}")
        summary = _end(arguments, store, run, end)
        if server is not None:
            _linger(arguments.linger, wakes)
            server.stop(wakes.enough)
    say(summary)
    return exit_code(end)


def _end(arguments: argparse.Namespace, store: Store, run: OwnRun, end: End) -> str:
    """End a run; returns a line that sums it up."""
    lines = _count_lines(run)
    run.end(end)
    # The end may bring a gap. The work's exit code counts, even where it took the store away.
    with contextlib.suppress(OutliveError):
        lines = _count_lines(run)
    parts = [
        render_end(end),
        render_duration(duration_of(run.record, time.time_ns())),
        f"{lines:,} {'line' if lines == 1 else 'lines'}",
    ]
    with contextlib.suppress(OutliveError):
        parts.append(_hint(arguments, "show", store, run))
    return " · ".join(parts)


def _warn(error: OSError) -> None:
    say(
        f"outlive: cannot write the log: {error.strerror}; the work goes on, "
        "and the log will tell what is missing"
    )


def _registered_url(arguments: argparse.Namespace, store: Store) -> str | None:
    """Get the URL of a running `outlive serve`, unless a server of one's own was asked for."""
    if arguments.host or arguments.port is not None or arguments.no_auth:
        return None
    return store.server_url()


def _page_at(registered: str, run: str) -> str:
    url, _, query = registered.partition("?")
    return f"{url}runs/{run}" + (f"?{query}" if query else "")


def _linger(seconds: float, wakes: Wakes) -> None:
    """Serve on for a while, or until a signal says that it is enough."""
    wakes.enough.clear()
    if seconds and not wakes.leaving:
        say(f"outlive: the page stays up for {render_duration(seconds)} (Ctrl-C ends it)")
        wakes.enough.wait(seconds)


def _count_lines(run: OwnRun) -> int:
    tail, _ = run.journal.tail()
    return tail.lines


def _hint(arguments: argparse.Namespace, subcommand: str, store: Store, run: OwnRun) -> str:
    return render_hint(arguments, subcommand, short_ids(store.ids()).get(run.id, run.id))
