"""What the applications of the tests do, told by files that the test makes."""

import asyncio
import functools
import itertools
import os
import sys
from hashlib import sha256
from pathlib import Path

import outlive
from outlive import feeds, settings, viewers
from tests.helpers import eventually

# A client that went is found out by writing to it, where the server does not tell.
viewers.HEARTBEAT = float(os.environ.get("HEARTBEAT", viewers.HEARTBEAT))

PREFIX = "/deep"


def any_exists(files: tuple[Path, ...]) -> bool:
    """Tell whether one of these files is there."""
    return any(file.exists() for file in files)


def steps(name: str) -> None:
    """Print what is in each file that appears, in turn, or a line; end with `end`, or `fail`."""
    folder = Path(os.environ["STEPS"]) / name
    for number in itertools.count(1):
        files = (folder / str(number), folder / "end", folder / "fail")
        eventually(functools.partial(any_exists, files), seconds=60)
        if files[0].exists():
            sys.stdout.write(files[0].read_text("utf-8") or f"line {number}\n")
        elif files[1].exists():
            return
        else:
            raise ArithmeticError("the work broke")


def count(name: str) -> None:
    """Print many numbers."""
    for number in range(20_000):
        print(number)


def measure(file: outlive.ReceivedFile) -> None:
    """Tell what was received."""
    print(file.name, file.size, sha256(file.read()).hexdigest())


async def rest(name: str) -> None:
    """Go on for ever."""
    print("resting")
    await asyncio.Event().wait()


def begin(kind: str, name: str) -> outlive.Run:
    """Start work; of one name, one at a time."""
    work = functools.partial({"steps": steps, "count": count, "rest": rest}[kind], name)
    return outlive.start(work, title=name, key=name)


def count_watchers() -> str:
    """Count the streams that this process pumps."""
    journals = list(settings.application_store(None)._journals.values())
    found = [feed for journal in journals for feed in feeds._feeds.get(journal, {}).values()]
    return str(sum(feed._viewers for feed in found))


def may(request, action, run) -> bool:
    """Let everybody but strangers, and nobody cancel what must go on."""
    return "stranger" not in request.headers
