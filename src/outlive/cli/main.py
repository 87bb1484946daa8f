"""The arguments of `outlive`, and what every subcommand has in common."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import ConfigError, OutliveError
from . import cancel, follow, list_runs, overview, pipe, run, serve, show

__all__ = ["main"]

_SUBCOMMANDS = {
    "run": run,
    "pipe": pipe,
    "serve": serve,
    "list": list_runs,
    "show": show,
    "follow": follow,
    "cancel": cancel,
}


class _Parser(argparse.ArgumentParser):
    """Answers bad usage with one line, and says where to read on."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    _open_standard_descriptors()
    try:
        return _main(sys.argv[1:] if arguments is None else list(arguments))
    except ConfigError as error:
        print(f"outlive: {error}", file=sys.stderr)
        return 2
    except OutliveError as error:
        print(f"outlive: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough: as any program then, die of SIGPIPE.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2


def _main(arguments: list[str]) -> int:
    parser = _Parser(prog="outlive", description="Live output of any command, in a browser.")
    subparsers = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    for name, module in _SUBCOMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        subparser = subparsers.add_parser(name, help=summary, description=summary + ".")
        module.add_arguments(subparser)
        subparser.set_defaults(act=module.act)
    overview.add_arguments(parser)
    parser.set_defaults(act=overview.act)
    code: int = (parsed := parser.parse_args(arguments)).act(parsed)
    return code


def _open_standard_descriptors() -> None:
    """Occupy what is closed of 0, 1 and 2, so that no file of ours is taken for one of them."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            # Not for writing: what cannot be written must fail, as it did before.
            os.open(os.devnull, os.O_RDONLY)
