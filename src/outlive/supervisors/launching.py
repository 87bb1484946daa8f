"""Starting a supervisor in a process of its own, which outlives the one that starts it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..entries import check_facts
from ..errors import ConfigError, RunError
from ..platforms import interpreter
from ..stores import DirectoryStore, Store
from .limits import NO_LIMITS, Limits

__all__ = ["Order", "launch", "place_of"]

#: Forks before anything else: nobody is the parent of what goes on, and has to wait for it. What
#: is installed beside Outlive comes last, and only Outlive is taken from there.
_PROGRAM = """
import os, sys
os.fork() and os._exit(0)
sys.path.append(sys.argv[1])
from outlive.supervisors.detached import main
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a supervisor of its own is to do; it travels as JSON."""

    store: str
    title: str
    argv: list[str]
    #: Whether `argv` is not what the run is, but a child of ours with a channel.
    is_isolated: bool = False
    labels: Mapping[str, str] | None = None
    key: str | None = None
    owner: str | None = None
    cwd: str
    env: dict[str, str] | None = None
    pipe: bool = False
    limits: Limits = NO_LIMITS
    #: The descriptor of a file that is the command's standard input.
    stdin: int | None = None

    def __post_init__(self) -> None:
        check_facts(key=self.key, title=self.title, labels=self.labels, owner=self.owner)

    def encode(self) -> bytes:
        """Write the order down."""
        return json.dumps({**asdict(self), "labels": dict(self.labels or {})}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Order:
        """Read an order."""
        facts = json.loads(data)
        return cls(**{**facts, "limits": Limits(*facts["limits"])})


def place_of(store: Store) -> str:
    """Tell other processes where a store is; raises ConfigError where they cannot see it."""
    if isinstance(store, DirectoryStore):
        return str(store.path)
    raise ConfigError(
        "a process of its own needs a store that it can see: give a directory, not memory:"
    )


def launch(order: Order) -> str:
    """Start a supervisor; returns the run's id once what it supervises has begun.

    Raises RunError where it cannot begin.
    """
    command = [interpreter(), "-I", "-S", "-c", _PROGRAM, str(Path(__file__).parents[2])]
    try:
        # A session of its own: no terminal, and no signal that is meant for this process's group.
        process = subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=() if order.stdin is None else (order.stdin,),
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(f"cannot start a supervisor: {error}") from None
    with process:
        answer, _ = process.communicate(order.encode())
    return _take_answer(answer)


def _take_answer(answer: bytes) -> str:
    try:
        facts = json.loads(answer)
    except ValueError:
        told = answer.decode(errors="replace").split("\n")
        why = next((line for line in reversed(told) if line.strip()), "it said nothing")
        raise RunError(f"the supervisor could not begin: {why}") from None
    if facts["error"] is not None:
        raise RunError(facts["error"])
    return str(facts["run"])
