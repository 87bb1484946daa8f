"""Runs for the tests of stores."""

import secrets
from typing import Any

from outlive.entries import End, RunRecord, State
from outlive.stores import Store

DONE = End(State.SUCCEEDED, exit_code=0)


def record(run: str = "", started_at: int = 1, **facts: Any) -> RunRecord:
    """Make a run's record."""
    facts = {"title": "a run", **facts}
    return RunRecord(id=run or secrets.token_hex(10), started_at=started_at, **facts)


def finish(store: Store, run: str = "", started_at: int = 1, **facts: Any) -> str:
    """Make a run that has ended, and return its id."""
    writer = store.create(record(run, started_at, **facts))
    writer.close(DONE)
    return writer.journal.run
