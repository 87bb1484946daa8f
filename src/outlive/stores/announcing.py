"""What a store's activity tells of one run: its stages, not too many of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ..entries import Kind, RunRecord

__all__ = ["STAGE_SECONDS", "StageAnnouncer"]

#: For each stage of one run: four a second.
STAGE_SECONDS = 0.25
#: Stages of one run that are known by name: of more, the first ones are forgotten.
KNOWN = 100


class StageAnnouncer:
    """Announces the stages of a run, at most four a second; the last one always.

    What is left out is what another stage followed; the stages around one are announced before it,
    and the end of one that was announced always: so that whoever follows the activity knows where
    the run is, and has no bar that stays.
    """

    def __init__(self, record: RunRecord, announce: Callable[[Kind, bytes], None]) -> None:
        self._sender = record.as_sender()
        self._announce = announce
        self._lock = threading.Lock()
        #: By name, as their parents are known; those that were not announced as they are now.
        self._stages: dict[str, _Stage] = {}
        self._changed: set[str] = set()
        #: Those that were announced and not done then.
        self._open: set[str] = set()
        self._newest = ""
        self._timer: threading.Timer | None = None
        self._next_at = 0.0

    def add(self, payload: bytes) -> None:
        """Announce a stage, now or when it is time, unless another one follows before."""
        try:
            stage = json.loads(payload)
            name = str(stage["name"])
        except (ValueError, TypeError, LookupError):
            # What is no stage is nobody's news.
            return
        with self._lock:
            self._take(name, stage)
            if self._timer is not None:
                return
            left = self._next_at - time.monotonic()
            if left > 0:
                self._timer = threading.Timer(left, self.flush)
                self._timer.daemon = True
                self._timer.start()
                return
        self.flush()

    def _take(self, name: str, stage: _Stage) -> None:
        # To the end of those known, as the newest.
        self._stages.pop(name, None)
        self._stages[name] = stage
        self._changed.add(name)
        self._newest = name
        if len(self._stages) > KNOWN:
            first = next(iter(self._stages))
            del self._stages[first]
            self._changed.discard(first)
            self._open.discard(first)

    def flush(self) -> None:
        """Announce what waits."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            path = self._path()
            news = [*self._left(path), *(name for name in path if name in self._changed)]
            self._changed.clear()
            self._next_at = time.monotonic() + STAGE_SECONDS * len(news)
            # With the lock, so that stages stay in order.
            for name in news:
                stage = self._stages[name]
                (self._open.discard if stage.get("done") else self._open.add)(name)
                self._announce(Kind.STAGE, json.dumps(stage | self._sender).encode())

    def _left(self, path: list[str]) -> list[str]:
        """Name what was announced, is done by now, and is not where the run is."""
        elsewhere = self._open & self._changed - set(path)
        return [
            name for name in self._stages if name in elsewhere and self._stages[name].get("done")
        ]

    def _path(self) -> list[str]:
        """Name the newest stage and those around it, the outermost first."""
        path: list[str] = []
        name: object = self._newest
        while isinstance(name, str) and name in self._stages and name not in path:
            path.insert(0, name)
            name = self._stages[name].get("parent")
        return path


#: As its entry has it.
_Stage = dict[str, Any]
