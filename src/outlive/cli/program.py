"""The arguments of `outlive`, and what every subcommand has in common."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import ConfigError, OutliveError
from . import cancel, follow, list_runs, overview, pipe, prune, run, serve, show
from .console import say

__all__ = ["act"]

_SUBCOMMANDS = {
    "run": run,
    "pipe": pipe,
    "serve": serve,
    "list": list_runs,
    "show": show,
    "follow": follow,
    "cancel": cancel,
    "prune": prune,
}


class _Parser(argparse.ArgumentParser):
    """Answers bad usage with one line, and says where to read on."""

    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: {message} (see {self.prog} --help)")
        raise SystemExit(2)


def act(arguments: Sequence[str] | None) -> int:
    """Do what the arguments say, by default those of this process; returns the exit code."""
    _open_standard_descriptors()
    _make_streams_lenient()
    try:
        code = _act(sys.argv[1:] if arguments is None else list(arguments))
        # Here, where it can still be told what went wrong.
        print(end="", flush=True)
    except ConfigError as error:
        say(f"outlive: {error}")
        return 2
    except OutliveError as error:
        say(f"outlive: {error}")
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough: as any program then, die of SIGPIPE.
        _forget_output()
        return 128 + 13
    except OSError as error:
        _forget_output()
        say(f"outlive: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        return 128 + 2
    return code


def _make_streams_lenient() -> None:
    """Let a title that the terminal's encoding lacks be printed with question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _forget_output() -> None:
    """Keep the interpreter from trying once more, at its end, what failed."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _act(arguments: list[str]) -> int:
    parser = _Parser(prog="outlive", description="Live output of any command, in a browser.")
    subparsers = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    for name, module in _SUBCOMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        subparser = subparsers.add_parser(name, help=summary, description=summary + ".")
        module.add_arguments(subparser)
        subparser.set_defaults(act=module.act)
    overview.add_arguments(parser)
    parser.set_defaults(act=overview.act)
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as end:
        # Of `--help` or of bad usage; what was printed is still to be flushed.
        return int(end.code or 0)
    code: int = parsed.act(parsed)
    return code


def _open_standard_descriptors() -> None:
    """Occupy what is closed of 0, 1 and 2, so that no file of ours is taken for one of them."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # Not for writing: what cannot be written must fail, as it did before.
            os.open(os.devnull, os.O_RDONLY)
