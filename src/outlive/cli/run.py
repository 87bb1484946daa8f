"""Run a command and show its output live on a page, too."""

from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..entries import End
from ..errors import ConfigError
from ..settings import PORT
from ..sources.command import CommandSource, explain_failure
from ..supervisors import Limits, NoConsole
from .arguments import add_labels, add_linger, add_server, add_store, parse_seconds, parse_size
from .console import TerminalConsole, has_terminal, in_background, window_size
from .detached import Detachment
from .live import show_live

__all__ = ["act", "add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive run`."""
    parser.usage = "outlive run [options] -- COMMAND …"
    add_store(parser)
    add_labels(parser, "the command")
    add_server(parser, PORT)
    add_linger(parser)
    parser.add_argument(
        "--pipe", action="store_true", help="give the command pipes, not a terminal"
    )
    _add_limits(parser)
    parser.add_argument("--cwd", metavar="DIR", help="where the command runs (default: here)")
    parser.add_argument(
        "-d", "--detach", action="store_true", help="return at once, and leave the command running"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for name, metavar, read, reason in (
        ("timeout", "SECONDS", parse_seconds, "so long"),
        ("silence", "SECONDS", parse_seconds, "so long without output"),
        ("quota", "SIZE", parse_size, "so much output, as in 500MB or 2GiB"),
    ):
        parser.add_argument(
            f"--{name}", metavar=metavar, type=read, help=f"end the command after {reason}"
        )


def act(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if arguments.cwd is not None and not Path(arguments.cwd).is_dir():
        raise ConfigError(f"--cwd: there is no directory {arguments.cwd}")
    command = arguments.command[arguments.command[:1] == ["--"] :]
    if not command:
        raise ConfigError("nothing to run: outlive run [options] -- COMMAND …")
    detachment = Detachment() if arguments.detach else None
    if detachment is not None and (code := detachment.split()) is not None:
        return code
    console = NoConsole() if detachment else TerminalConsole(_keyboard(arguments))
    return show_live(
        arguments,
        title=shlex.join(command),
        command=command,
        console=console,
        begin=lambda: _begin(command, arguments, console),
        detachment=detachment,
        limits=Limits(arguments.timeout, arguments.silence, arguments.quota),
    )


def _keyboard(arguments: argparse.Namespace) -> int | None:
    return 0 if has_terminal() and not arguments.pipe else None


def _begin(
    command: Sequence[str], arguments: argparse.Namespace, console: TerminalConsole | NoConsole
) -> CommandSource | End:
    """Start the command, or tell why it cannot be."""
    try:
        source = CommandSource(
            command,
            terminal=None if arguments.pipe else window_size(),
            keyboard=console.keyboard,
            # A command in a session of its own is not stopped when it reads in the background.
            stdin=subprocess.DEVNULL if arguments.detach or in_background() else None,
            cwd=arguments.cwd,
            adopts=True,
        )
    except (OSError, ValueError) as error:
        return explain_failure(command[0], error)
    if isinstance(console, TerminalConsole):
        console.command = source
    return source
