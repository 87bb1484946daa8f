"""What a store's activity tells of one run: its stages, not too many of them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable

from ..entries import Kind, RunRecord

__all__ = ["STAGE_SECONDS", "StageAnnouncer"]

#: Between two stages of one run.
STAGE_SECONDS = 0.25


class StageAnnouncer:
    """Announces the stages of a run, at most four a second; the last one always."""

    def __init__(self, record: RunRecord, announce: Callable[[Kind, bytes], None]) -> None:
        self._sender = record.as_sender()
        self._announce = announce
        self._lock = threading.Lock()
        self._waiting: bytes | None = None
        self._timer: threading.Timer | None = None
        self._next_at = 0.0

    def add(self, payload: bytes) -> None:
        """Announce a stage, now or when it is time, unless another one follows before."""
        with self._lock:
            self._waiting = payload
            if self._timer is not None:
                return
            left = self._next_at - time.monotonic()
            if left > 0:
                self._timer = threading.Timer(left, self.flush)
                self._timer.daemon = True
                self._timer.start()
                return
        self.flush()

    def flush(self) -> None:
        """Announce what waits."""
        with self._lock:
            payload, self._waiting = self._waiting, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if payload is None:
                return
            self._next_at = time.monotonic() + STAGE_SECONDS
            # With the lock, so that stages stay in order; what is no stage is nobody's news.
            with contextlib.suppress(ValueError, TypeError):
                self._announce(Kind.STAGE, json.dumps(json.loads(payload) | self._sender).encode())
