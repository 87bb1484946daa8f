"""Commands that outlive this process: each under a supervisor of its own."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigError
from ..runs import Run, find_run
from ..settings import application_store
from ..sources.command import check_command
from ..stores import Store
from ..supervisors import Limits
from ..supervisors.launching import Order, launch, place_of

__all__ = ["start_command"]


def start_command(
    argv: Sequence[str | os.PathLike[str]],
    *,
    title: str | None = None,
    key: str | None = None,
    labels: Mapping[str, str] | None = None,
    owner: str | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    silence: float | None = None,
    quota: int | None = None,
    pipe: bool = False,
    input: bytes | str | None = None,  # noqa: A002 - as subprocess calls it
) -> Run:
    """Start a command as a run that outlives this process.

    It runs under a supervisor in a process of its own: whatever becomes of this one, a deploy, a
    crash, `kill -9`, the command goes on, its output is kept, and it can be read and cancelled
    from any process that sees the store. Raises RunError where it cannot be started.

    Args:
        argv: The command and its arguments, never a shell string.
        title: What the run is called; by default the command.
        key: Of all runs of the store with this key, one lives at a time: where one does, that is
            returned, and the command is not started.
        labels: Marks to find the run by.
        owner: Who started it.
        store: Where the run is kept: a store, its URL or a directory; by default that of
            `OUTLIVE_STORE`, otherwise `.outlive` in the current directory. Not `memory:`.
        cwd: Where the command runs; by default the current directory.
        env: Its whole environment; by default that of this process.
        timeout: Seconds that it may run.
        silence: Seconds that it may write nothing.
        quota: Bytes that it may write.
        pipe: Whether its output is two pipes, and not a terminal.
        input: What it reads on standard input; by default nothing.
    """
    words = check_command(argv)
    place = application_store(store)
    with _as_file(input) as stdin:
        order = Order(
            store=place_of(place),
            title=title or shlex.join(words),
            argv=words,
            key=key,
            labels=labels,
            owner=owner,
            cwd=_folder(cwd),
            env=_environment(env),
            pipe=pipe,
            limits=Limits(timeout, silence, quota).check(),
            stdin=stdin,
        )
        return find_run(place, launch(order))


def _folder(cwd: str | os.PathLike[str] | None) -> str:
    folder = Path(cwd or ".").absolute()
    if not folder.is_dir():
        raise ConfigError(f"cwd: there is no directory {folder}")
    return str(folder)


def _environment(env: Mapping[str, str] | None) -> dict[str, str] | None:
    try:
        return None if env is None else {os.fsdecode(k): os.fsdecode(v) for k, v in env.items()}
    except (AttributeError, TypeError) as error:
        raise ConfigError(f"env: give a mapping of texts to texts: {error}") from None


@contextmanager
def _as_file(content: bytes | str | None) -> Iterator[int | None]:
    """Put what a command is to read into a file without name; gives its descriptor."""
    if content is None:
        yield None
        return
    if not isinstance(content, str | bytes):
        raise ConfigError(f"input: give a text or bytes, not {content!r:.100}")
    with tempfile.TemporaryFile() as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.seek(0)
        yield file.fileno()
