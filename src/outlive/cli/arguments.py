"""Arguments that several subcommands take, and what they have in common to say."""

from __future__ import annotations

import argparse
import math
import re
import shlex
import signal
import threading
from collections.abc import Iterable
from itertools import pairwise

from .. import settings
from ..entries import End, RunRecord, State
from ..errors import ConfigError
from ..settings import HOST, STORE, Option, default_store
from ..stores import Store, is_store, open_store
from .console import say

__all__ = [
    "add_label",
    "add_labels",
    "add_linger",
    "add_run_name",
    "add_server",
    "add_store",
    "duration_of",
    "existing_store_of",
    "exit_code",
    "find_run",
    "parse_age",
    "parse_count",
    "parse_port",
    "parse_seconds",
    "parse_size",
    "render_duration",
    "render_end",
    "render_hint",
    "short_ids",
    "store_of",
]


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`, which stands before the subcommand or after it."""
    parser.add_argument(
        "--store",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help=f"{STORE.help} (environment: {STORE.variable}; default: one per user)",
    )


def store_of(arguments: argparse.Namespace) -> Store:
    """Open the store that was asked for; where there is none, make it."""
    return open_store(_store_name(arguments), quota=settings.store_quota())


def existing_store_of(arguments: argparse.Namespace, *, may_lack: bool = False) -> Store:
    """Open the store that was asked for, only to look at it: where there is none, make none.

    With `may_lack`, one that nobody named may be missing without a word.
    """
    name = _store_name(arguments)
    if is_store(name):
        return open_store(name)
    if hasattr(arguments, "store") or not may_lack:
        # The wrong one, or a slip of the pen, would look like a store without runs.
        say(f"outlive: there is no store at {name} yet")
    return open_store("memory:")


def _store_name(arguments: argparse.Namespace) -> str:
    return getattr(arguments, "store", "") or STORE.value() or default_store()


def add_server(parser: argparse.ArgumentParser, port: Option) -> None:
    """Add `--host`, `--port` and `--no-auth`."""
    for option, metavar in ((HOST, "HOST"), (port, "PORT")):
        parser.add_argument(
            f"--{option.name}",
            metavar=metavar,
            type=parse_port if option is port else str,
            help=f"{option.help} (environment: {option.variable}; default: {option.default})",
        )
    parser.add_argument(
        "--no-auth", action="store_true", help="ask for no token (on a loopback address only)"
    )
    parser.set_defaults(port_option=port)


def parse_port(text: str) -> int:
    """Read the number of a port, from an argument or from the environment."""
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise ConfigError(f"a port is a number from 0 to 65535, not {text[:40]!r}")
    return int(text)


def add_linger(parser: argparse.ArgumentParser) -> None:
    """Add `--linger`."""
    parser.add_argument(
        "--linger",
        metavar="SECONDS",
        type=parse_seconds,
        default=0.0,
        help="keep the page up for so long after the end (default: 0)",
    )


def add_labels(parser: argparse.ArgumentParser, title: str) -> None:
    """Add `--title`, by default what `title` says, and `--label`."""
    parser.add_argument("--title", help=f"what the run is called (default: {title})")
    add_label(parser, "mark the run; may be given several times")


def add_label(parser: argparse.ArgumentParser, help: str) -> None:  # noqa: A002 - as argparse calls it
    """Add `--label`, which may be given several times."""
    parser.add_argument(
        "--label", metavar="KEY=VALUE", type=_parse_label, action="append", default=[], help=help
    )


def _parse_label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"a label is KEY=VALUE, not {text!r}")
    return key, value


def parse_seconds(text: str) -> float:
    """Read a number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"give a number of seconds, not {text!r}")
    return seconds


def parse_size(text: str) -> int:
    """Read a number of bytes: 500MB, 2GiB, 4096."""
    try:
        return settings.parse_size(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", re.IGNORECASE)


def parse_age(text: str) -> int:
    """Read a duration as nanoseconds: 7d, 12h, 1.5h, 30m, 45s, 2w."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"give a duration as in 7d, 12h or 30m, not {text!r}")
    return int(float(match[1]) * _UNITS[match[2].lower()] * 1e9)


def parse_count(text: str) -> int:
    """Read a number of runs."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"give a number, not {text!r}")
    return int(text)


def add_run_name(parser: argparse.ArgumentParser) -> None:
    """Add `RUN`."""
    parser.add_argument("run", metavar="RUN", help="an id, the beginning of one, or: last")


def find_run(arguments: argparse.Namespace) -> tuple[Store, str]:
    """Find the run that was named."""
    store = existing_store_of(arguments, may_lack=True)
    return store, store.find(arguments.run)


def render_hint(arguments: argparse.Namespace, subcommand: str, run: str) -> str:
    """Write what can be typed next, of the store that was asked for."""
    store = ["--store", arguments.store] if hasattr(arguments, "store") else []
    return shlex.join(["outlive", subcommand, *store, run])


def short_ids(runs: Iterable[str]) -> dict[str, str]:
    """Shorten ids to what is enough to name each among them."""
    ids = sorted(runs)
    # In order, an id shares most with one of its neighbours.
    needed = [3, *(_count_shared(*pair) + 1 for pair in pairwise(ids)), 3]
    # Without runs, `needed` still has one pair.
    sides = zip(ids, pairwise(needed), strict=False)
    return {run: run[: max(pair)] for run, pair in sides}


def _count_shared(one: str, other: str) -> int:
    """Count the characters at the beginning that two ids share, at least two."""
    size = 2
    while one[: size + 1] == other[: size + 1]:
        size += 1
    return size


def exit_code(end: End) -> int:
    """Tell what a process that stands for a run exits with."""
    if end.exit_code is not None:
        return end.exit_code
    if end.signal is not None:
        number = signal.Signals.__members__.get(end.signal)
        return 128 + (number or int(end.signal.removeprefix("SIG")))
    return 0 if end.state is State.SUCCEEDED else 1


def render_end(end: End) -> str:
    """Tell in a word or two how a run ended."""
    if end.state is State.SUCCEEDED or end.state is State.RUNNING:
        return end.state.value
    detail = end.signal if end.exit_code is None else str(end.exit_code)
    return f"{end.state.value} ({detail})" if detail else end.state.value


def render_duration(seconds: float) -> str:
    """Write a duration with its two largest units."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    while len(units) > 1 and not units[0][0]:
        del units[0]
    return " ".join(f"{number}{unit}" for number, unit in units[:2])


def duration_of(record: RunRecord, now: int) -> float:
    """Count the seconds that a run took, or has taken by now (nanoseconds since 1970)."""
    return max(0, (record.ended_at or now) - record.started_at) / 1e9
