"""Processes that a run's work starts with `multiprocessing` write into the run, too.

However it was started (fork, forkserver, spawn), a child connects to a socket of its parent's run
and hands over what it writes; a thread of the parent adds that to the run, with an origin of the
child's own. The run's end waits for children that are ending. A child of `os.fork` alone writes to
the console.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import os
import pickle
import select
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from struct import Struct
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from .entries import End, Kind, RunRecord, State
from .errors import RunError
from .journals.base import JournalWriter, Unwritten
from .journals.memory import MemoryJournal
from .runs import OwnRun, current_run
from .sources.logs import capture_logs
from .sources.progress import ProgressFinder
from .sources.stdout import route_streams
from .sources.threads import follow_threads
from .stores import MemoryStore

if TYPE_CHECKING:
    import socket
    from multiprocessing.process import BaseProcess

__all__ = ["follow_processes"]

#: How long the end of a run waits for children that are left.
_PATIENCE_SECONDS = 2.0
#: What the dead wrote is there and only to be read, beside whatever else this machine does.
_REST_SECONDS = 30.0
#: Between two looks whether a child that has not connected yet lives.
_LOOK_SECONDS = 0.005
#: Kind, origin in the child, size of the payload, which follows.
_FRAME = Struct("<BHI")
#: No child starts its run: what it sends as that is an event for the activity, in its order.
_EVERYWHERE = Kind.START
_PROCESSES = "multiprocessing.process"
#: What lasts as long as this process, where that is a child.
_kept = contextlib.ExitStack()


def follow_processes() -> None:
    """Let processes write into the run that starts them; once, harmless outside of runs.

    Does not import `multiprocessing`: who needs it does.
    """
    module = sys.modules.get(_PROCESSES)
    if module is not None:
        _wrap_start(module)
    elif _hook not in sys.meta_path:
        sys.meta_path.insert(0, _hook)


class _ImportHook:
    """Waits for the module of processes to be imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, _: object = None
    ) -> ModuleSpec | None:
        if name != _PROCESSES:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_wrap(module: ModuleType) -> None:
                execute(module)
                _wrap_start(module)

            spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


_hook = _ImportHook()
#: What others put there before us; empty before the first run.
_original_start: list[Callable[[BaseProcess], None]] = []


def _wrap_start(module: Any) -> None:  # noqa: ANN401 - a module that may not be imported yet
    if not _original_start:
        _original_start.append(module.BaseProcess.start)
        module.BaseProcess.start = _start_inside


def _start_inside(self: BaseProcess) -> None:
    run = current_run()
    if run is None or run.buffer is None or run.buffer.closed:
        _original_start[0](self)
        return
    try:
        family = _family_of(run)
    except OSError as error:
        line = f"outlive: this process prints to the console, as it cannot be heard: {error}\n"
        run.write(Kind.ERR, line.encode())
        _original_start[0](self)
        return
    kept = vars(self).get("run")
    # Here it is found by a forked child, and by the pickle that others get.
    vars(self)["run"] = _Inside(self, kept, run, family.address)
    try:
        _original_start[0](self)
    finally:
        del vars(self)["run"]
        if kept is not None:
            vars(self)["run"] = kept
    family.add(self)


class _Inside:
    """Enters the run in the child, and then does what the process is for."""

    def __init__(
        self, process: BaseProcess, work: Callable[[], object] | None, run: OwnRun, address: str
    ) -> None:
        self._process = process
        self._work = work
        self._record = run.record
        self._address = address
        buffer = run.buffer
        self._echo = buffer is not None and buffer.echo
        recorder = None if buffer is None else buffer.recorder
        self._takes_logs = recorder is not None
        self._level = getattr(recorder, "asked_level", None)
        self._formatter = _if_picklable(None if recorder is None else recorder.formatter)

    def __call__(self) -> None:
        relay = _Relay(self._record, self._address)
        # Not ended: what is printed afterwards, the traceback of a failure, belongs to it, too.
        run = _ChildRun(MemoryStore(), self._record, relay)
        buffer = run.collect(echo=self._echo)
        route_streams()
        follow_threads()
        follow_processes()
        if self._takes_logs:
            logs = capture_logs(buffer, level=self._level, formatter=self._formatter)
            _kept.enter_context(logs)
        run.enter()
        process = self._process
        (self._work or type(process).run.__get__(process))()


def _if_picklable(formatter: logging.Formatter | None) -> logging.Formatter | None:
    """Get a formatter unless it would keep the process from starting."""
    try:
        pickle.dumps(formatter)
    except Exception:  # noqa: BLE001 - whatever a formatter raises; the default does, then
        return None
    return formatter


class _ChildRun(OwnRun):
    """The run in a child, which knows nothing of its store: the parent tells what is for all."""

    def wait(self, timeout: float | None = None) -> State:  # noqa: ARG002 - the parent can
        self._refuse()

    def text(self) -> str:
        self._refuse()

    def cancel(self) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RunError(f"run {self.id} is its parent's: use it there, or open it from its store")

    def announce(self, kind: Kind, data: Mapping[str, object]) -> None:  # noqa: ARG002 - an event
        if self.buffer is not None:
            self.buffer.add(_EVERYWHERE, json.dumps(data).encode())


class _Relay(JournalWriter):
    """Hands entries to the parent; where that is over, text goes to the console."""

    def __init__(self, record: RunRecord, address: str) -> None:
        import socket

        self.journal = MemoryJournal(record)
        self._mutex = threading.Lock()
        self._connection = socket.socket(socket.AF_UNIX)
        _inherited.add(self._connection)
        # Refused where the run has ended: then the first append notices.
        with contextlib.suppress(OSError):
            self._connection.connect(address)
            threading.Thread(target=self._listen, name="outlive-relay", daemon=True).start()

    def append_all(self, entries: Sequence[Unwritten]) -> None:
        with self._mutex:
            for kind, payload, origin in entries:
                try:
                    self._connection.sendall(_FRAME.pack(kind, origin, len(payload)) + payload)
                except OSError:
                    _write_through(kind, payload)

    def _listen(self) -> None:
        """Wait to be told that the run was asked to end."""
        with contextlib.suppress(OSError):
            if self._connection.recv(1):
                self.journal.request_cancel()

    def sync(self) -> None:
        """Do nothing: the parent does."""

    def close(self, end: End) -> None:
        """Do nothing: the parent tells how the run ended."""


def _write_through(kind: Kind, payload: bytes) -> None:
    # Other handlers had the record.
    stream = {Kind.OUT: sys.stdout, Kind.ERR: sys.stderr}.get(kind)
    if stream is not None:
        # In an empty context, as if there were no run.
        outside = contextvars.Context()
        outside.run(stream.write, payload.decode(errors="surrogateescape"))
        outside.run(stream.flush)


class _Family:
    """The children of one run: a socket that they find, a thread for each that is connected."""

    def __init__(self, run: OwnRun) -> None:
        import socket
        from multiprocessing import process, util

        self._run = run
        self._processes: list[weakref.ref[BaseProcess]] = []
        self._links: dict[socket.socket, threading.Thread] = {}
        self._connected = 0
        # Its folder is private, and removed by who made it and not by a forked child.
        self.address = f"{util.get_temp_dir()}/outlive-{os.getpid()}-{run.id}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(128)
        self._listener.settimeout(0)
        self._stopping, self._stop = os.pipe()
        _inherited.add(self._listener)
        self._acceptor = threading.Thread(target=self._accept, name="outlive-family", daemon=True)
        self._acceptor.start()
        settle: Callable[[], object] = self._settle
        if process.parent_process() is not None:
            # Where this is a child itself: after it has joined its own, before it is flushed; unless a
            # run of its own has ended before, for this is done once.
            settle = util.Finalize(None, self._settle, exitpriority=-1)
        run.before_end(settle)
        self._stop_listening = run.on_cancel(self._pass_on)

    def add(self, process: BaseProcess) -> None:
        """Take notice of a child that was started."""
        self._processes.append(weakref.ref(process))

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        stops = False
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                if stops:
                    return
                stops = any(fd == self._stopping for fd, _ in poll.poll())
                continue
            except OSError:
                # No descriptor is left: it waits, and so does the child.
                time.sleep(_LOOK_SECONDS)
                continue
            connection.settimeout(None)
            _inherited.add(connection)
            thread = threading.Thread(
                target=self._read, args=(connection,), name="outlive-child", daemon=True
            )
            self._links[connection] = thread
            self._connected += 1
            thread.start()
            if self._run.cancelled:
                self._pass_on()

    def _read(self, connection: socket.socket) -> None:
        finder = ProgressFinder()
        # A child may be killed at any moment.
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            self._add_all(stream, finder)
        self._add(finder.finish())
        self._links.pop(connection, None)

    def _add_all(self, stream: BinaryIO, finder: ProgressFinder) -> None:
        origins: dict[int, int] = {}
        while len(head := stream.read(_FRAME.size)) == _FRAME.size:
            kind, origin, size = _FRAME.unpack(head)
            payload = stream.read(size)
            if len(payload) < size:
                return
            if origin not in origins:
                origins[origin] = self._run.new_origin()
            entry = Kind(kind), payload, origins[origin]
            self._add([entry])
            if not origin:
                # What others wrote was looked through where it came to the child.
                self._add(finder.find(*entry, time.monotonic()))

    def _add(self, entries: Sequence[Unwritten]) -> None:
        for entry in entries:
            kind, payload, _ = entry
            if kind is _EVERYWHERE:
                self._run.announce(Kind.EVENT, json.loads(payload))
            elif self._run.buffer is not None:
                self._run.buffer.add(*entry)

    def _pass_on(self) -> None:
        for connection in list(self._links):
            with contextlib.suppress(OSError):
                connection.send(b"c")

    def _settle(self) -> None:
        """Wait until all that children wrote is there; not for ever for children that are left."""
        began = time.monotonic()
        while self._connected < len(self._processes) and self._lives() and self._is_patient(began):
            time.sleep(_LOOK_SECONDS)
        os.write(self._stop, b"s")
        self._acceptor.join()
        self._listener.close()
        Path(self.address).unlink(missing_ok=True)
        while self._links and self._is_patient(began):
            time.sleep(_LOOK_SECONDS)
        self._part()
        for fd in (self._stopping, self._stop):
            os.close(fd)
        self._stop_listening()
        # A circle: it holds what it stops, which is ours.
        del self._stop_listening

    def _is_patient(self, began: float) -> bool:
        seconds = _PATIENCE_SECONDS if self._lives() else _REST_SECONDS
        return time.monotonic() - began < seconds

    def _lives(self) -> int:
        return sum(map(_lives, self._processes))

    def _part(self) -> None:
        """Let children that are left write to the console, and say so."""
        unheard = len(self._processes) - self._connected
        left = len(self._links)
        # One that is heard no more may live for a moment.
        left += max(0, min(unheard, self._lives() - left))
        if left:
            what = "process is" if left == 1 else "processes are"
            line = f"outlive: {left} {what} left over, and written to the console from here on\n"
            self._run.write(Kind.ERR, line.encode())
        for connection, thread in list(self._links.items()):
            import socket

            with contextlib.suppress(OSError):
                # unix(7): what was sent before is still read; who sends later is told.
                connection.shutdown(socket.SHUT_RD)
            thread.join(_PATIENCE_SECONDS)


def _lives(reference: weakref.ref[BaseProcess]) -> bool:
    process = reference()
    try:
        return process is not None and process.exitcode is None
    except ValueError:
        # It was closed, which only one can be that has ended.
        return False


#: By their runs, which keep them.
_families: weakref.WeakValueDictionary[str, _Family] = weakref.WeakValueDictionary()
_families_lock = threading.Lock()
#: Sockets that a forked child must not keep open.
_inherited: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _family_of(run: OwnRun) -> _Family:
    with _families_lock:
        family = _families.get(run.id)
        if family is None:
            family = _families[run.id] = _Family(run)
        return family


def _forget_all() -> None:
    global _families_lock  # noqa: PLW0603 - it may have been held in the parent
    _families_lock = threading.Lock()
    _families.clear()
    for connection in list(_inherited):
        connection.close()
    _inherited.clear()


os.register_at_fork(after_in_child=_forget_all)
