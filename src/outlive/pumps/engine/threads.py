"""The engine in a thread of this process: begun when it is needed, and anew in a forked child."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading

from ...errors import EngineError
from ...viewers import Viewer
from .connections import Done
from .framings import Framing
from .loop import Engine

__all__ = ["adopt", "forget", "stop"]

#: Seconds that all streams have to end in when the process does.
_STOP = 2.0


class _Host:
    """An engine and its thread."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.thread = threading.Thread(target=self._work, name="outlive-engine", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.engine.run()
        except Exception:
            logging.getLogger("outlive").exception("the engine died, and cut its streams")


_host: _Host | None = None
_lock = threading.Lock()


def adopt(
    sock: socket.socket,
    viewer: Viewer,
    framing: Framing,
    done: Done = lambda _: None,
    *,
    head: bytes = b"",
) -> None:
    """Have the engine of this process send a viewer's bytes to a socket; raises EngineError."""
    _find().engine.adopt(sock, viewer, framing, done, head=head)


def _find() -> _Host:
    global _host  # noqa: PLW0603 - one per process
    with _lock:
        if _host is None or not _host.thread.is_alive():
            try:
                _host = _Host()
            except (OSError, RuntimeError) as error:
                # There is no descriptor for it, or no thread.
                raise EngineError(f"an engine cannot be started: {error}") from error
        return _host


def stop() -> None:
    """End all streams of this process."""
    global _host
    host, _host = _host, None
    if host is not None:
        host.engine.stop()
        if threading.current_thread() is not host.thread:
            host.thread.join(_STOP)


def forget() -> None:
    """Let go, in a forked child, of what is its parent's."""
    global _host, _lock
    # Another thread of the parent may have held the lock.
    host, _host, _lock = _host, None, threading.Lock()
    if host is not None:
        host.engine.forget()


atexit.register(stop)
os.register_at_fork(after_in_child=forget)
