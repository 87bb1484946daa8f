"""Fixtures of the tests of pumps."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlive.pumps.engine.loop import Engine
from outlive.pumps.engine.processes import ProcessHost, find_process
from outlive.stores import DirectoryStore
from tests.pumps.clients import opened, running
from tests.pumps.workers import engines_of


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Make an engine of this test's own."""
    with running() as engine:
        yield engine
    while opened:
        opened.pop().close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectoryStore]:
    """Give an empty store; end whatever engine it has."""
    store = DirectoryStore(tmp_path / "store")
    yield store
    for pid in engines_of(store.path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def host(store, monkeypatch) -> Iterator[ProcessHost]:
    """Give the host of the store's engine; this process is a worker then, and a patient one."""
    monkeypatch.setattr("outlive.pumps.engine.processes.ANSWER_SECONDS", 30)
    host = find_process(store.path)
    yield host
    host.forget()
