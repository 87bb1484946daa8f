"""List the runs, or tell how to start one."""

from __future__ import annotations

import argparse

from .arguments import add_store, existing_store_of
from .list_runs import print_runs

__all__ = ["act", "add_arguments"]

_EXAMPLES = """There are no runs yet. Three ways to make one:

  outlive run -- make all          run a command and watch it on a page
  make all 2>&1 | outlive pipe     the same with what a program pipes in
  outlive serve                    one page for all runs, also of other terminals
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `outlive` alone."""
    parser.add_argument("--version", action="store_true", help="print the version")
    add_store(parser)


def act(arguments: argparse.Namespace) -> int:
    """Print the runs, or examples, or the version."""
    if arguments.version:
        from importlib.metadata import version

        print(f"outlive {version('outlive')}")
        return 0
    if not print_runs(existing_store_of(arguments, may_lack=True)):
        print(_EXAMPLES, end="")
    return 0
