"""Functions in a process of their own: how they get there, and what they find there."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from ..buffers import CURRENT_BUFFER, Buffer, encode_text
from ..channels import ChannelEnd
from ..children import follow_processes
from ..entries import End, Kind, RunRecord
from ..errors import ConfigError
from ..journals.base import Journal, JournalWriter, Unwritten
from ..platforms import interpreter
from ..runs import OwnRun, Run, find_run
from ..sources.logs import capture_logs
from ..sources.threads import follow_threads
from ..stores import Store, open_store
from ..supervisors.launching import Order, launch, place_of
from ..surroundings import setups
from .functions import conclude, consume

__all__ = ["IsolatedRun", "Work", "start_isolated", "work_alone"]

#: As `spawn` of multiprocessing: a fresh interpreter, in which nothing is half done.
_PROGRAM = """
import sys
sys.path.append(sys.argv[1])
from outlive.work.isolation import work_alone
work_alone(int(sys.argv[2]))
"""


class Work(NamedTuple):
    """A function of no arguments, and which records of logging are taken how."""

    function: Callable[[], object]
    level: int | None
    formatter: logging.Formatter | None


def start_isolated(
    store: Store,
    work: Work,
    *,
    title: str,
    key: str | None,
    labels: Mapping[str, str] | None,
    owner: str | None,
) -> Run:
    """Start work in a process of its own, under a supervisor that outlives this one."""
    place = place_of(store)
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(place).encode() + b"\n")
        _dump(work, file)
        file.seek(0)
        order = Order(
            store=place,
            title=title,
            argv=[
                interpreter(),
                *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
                # Also C libraries keep nothing back then.
                "-u", "-c", _PROGRAM, str(Path(__file__).parents[2]),
            ],
            is_isolated=True,
            labels=labels,
            key=key,
            owner=owner,
            cwd=str(Path.cwd()),
            pipe=True,
            stdin=file.fileno(),
        )  # fmt: skip
        return find_run(store, launch(order))


def _dump(work: Work, file: Any) -> None:  # noqa: ANN401 - a binary file
    """Write down what the child needs: how this program is made up, and the work."""
    from multiprocessing import process, spawn

    if getattr(process.current_process(), "_inheriting", False):
        raise ConfigError(
            "this process is still importing its main module: what starts processes there "
            'belongs below `if __name__ == "__main__":`'
        )
    preparation: dict[str, Any] = spawn.get_preparation_data("outlive")
    # It refuses to be pickled for anything but a child of multiprocessing itself.
    preparation["authkey"] = bytes(preparation["authkey"])
    try:
        content = pickle.dumps(work)
    except Exception as error:
        raise ConfigError(
            f"a process of its own cannot be given this work: {error} (a function of a module, "
            "and arguments that pickle takes, can)"
        ) from error
    if b"__main__" in content and not preparation.keys() & _MAIN_KEYS:
        raise ConfigError(
            "a process of its own cannot find what was defined here: put it into a module"
        )
    pickle.dump(preparation, file)
    pickle.dump(setups(), file)
    file.write(content)


_MAIN_KEYS = {"init_main_from_name", "init_main_from_path"}


def work_alone(fd: int) -> None:
    """Be the process that a function was started in: do its work, and tell how that ended."""
    run, load = _enter(fd)
    follow_threads()
    follow_processes()
    failure: BaseException | None = None
    try:
        with run.current():
            work = load()
            with capture_logs(run.collect(), level=work.level, formatter=work.formatter):
                failure = consume(run, work.function())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is how the work ended
        failure = error
    conclude(run, failure)


def _enter(fd: int) -> tuple[IsolatedRun, Callable[[], Work]]:
    """Begin in the child: returns its run, and what loads its work.

    The work is loaded within the run, as its modules may print, and may fail.
    """
    channel = ChannelEnd(fd)
    with os.fdopen(os.dup(0), "rb") as orders:
        place, content = json.loads(orders.readline()), io.BytesIO(orders.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    record = RunRecord(**json.loads(channel.take_facts()))
    run = IsolatedRun(open_store(place), record, channel)
    signal.signal(signal.SIGTERM, run.on_signal)
    os.register_at_fork(
        before=_hold_sigterm, after_in_parent=_take_sigterm, after_in_child=_obey_sigterm
    )
    prints: Any = _Prints(1, "w", closefd=False)
    errors: Any = _Errors(channel)
    sys.stdout = io.TextIOWrapper(prints, "utf-8", "surrogateescape", write_through=True)
    sys.stderr = io.TextIOWrapper(errors, "utf-8", "backslashreplace", write_through=True)
    return run, lambda: _load(content)


def _hold_sigterm() -> None:
    # A child that gets one before it obeys would have forgotten it.
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _take_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _obey_sigterm() -> None:
    # By which pools, for example, end their workers.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _take_sigterm()


#: What the thread that forks let through before.
_held = threading.local()


def _load(content: io.BytesIO) -> Work:
    from multiprocessing import process, spawn

    # As multiprocessing marks it: while the main module is imported, nothing may be started.
    this: Any = process.current_process()
    this._inheriting = True  # noqa: SLF001 - there is no other way
    try:
        spawn.prepare(pickle.load(content))  # noqa: S301 - our own
        for setup in pickle.load(content):  # noqa: S301 - as before
            setup()
        work: Work = pickle.load(content)  # noqa: S301 - as before
    finally:
        del this._inheriting  # noqa: SLF001 - as before
    return work


class IsolatedRun(OwnRun):
    """The run of a child, which writes through its supervisor and is asked to end by SIGTERM."""

    def __init__(self, store: Store, record: RunRecord, channel: ChannelEnd) -> None:
        super().__init__(store, record, _ChannelWriter(store.journal(record.id), channel))
        self.buffer = _ChannelBuffer(channel)
        self._callbacks: set[Callable[[], None]] = set()

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.add(callback)
        if self._cancelled.is_set():
            callback()
        return lambda: self._callbacks.discard(callback)

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """Tell the work that it is to end."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            for callback in list(self._callbacks):
                callback()


class _ChannelBuffer(Buffer):
    """Keeps nothing back: a crash may come at any moment."""

    __slots__ = ("_channel",)

    def __init__(self, channel: ChannelEnd) -> None:
        self.closed = self.echo = False
        self.recorder = None
        self.write = self.take
        self._channel = channel

    def take(self, text: str) -> int | None:
        return len(text) if self.add(Kind.OUT, encode_text(text)) else None

    def add(self, kind: Kind, payload: bytes, origin: int = 0) -> bool:
        # Asked once: it may be closed meanwhile.
        if self.closed:
            return False
        self._channel.send(kind, payload, origin)
        return True

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class _ChannelWriter(JournalWriter):
    """What is written beside the buffer: the end."""

    def __init__(self, journal: Journal, channel: ChannelEnd) -> None:
        self.journal = journal
        self._channel = channel

    def append(self, kind: Kind, payload: bytes, origin: int = 0) -> None:
        self._channel.send(kind, payload, origin)

    def append_all(self, entries: Sequence[Unwritten]) -> None:
        for entry in entries:
            self.append(*entry)

    def sync(self) -> None:
        pass

    def close(self, end: End) -> None:
        self._channel.send(Kind.END, end.encode())


def _is_told() -> bool:
    """Tell whether this is written by a handler of logging, of a record that the run has already."""
    return CURRENT_BUFFER.get(_NONE) is None


#: Where there is a run, or none was ever entered.
_NONE: Any = object()


class _Prints(io.FileIO):
    """Standard output: each piece leaves at once, for a crash may be next."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - anything that has bytes
        size, rest = len(data), memoryview(data)
        # A signal may come amid a write, which then is short.
        while rest and not _is_told():
            rest = rest[super().write(rest) :]
        return size


class _Errors(io.RawIOBase):
    """Standard error, in its order among all that this process writes."""

    def __init__(self, channel: ChannelEnd) -> None:
        self._channel = channel

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - anything that has bytes
        content = bytes(data)
        if not _is_told():
            self._channel.send(Kind.ERR, content)
        return len(content)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2
