"""Fixtures of the tests of pumps."""

from collections.abc import Iterator

import pytest

from outlive.pumps.engine.loop import Engine
from tests.pumps.clients import opened, running


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Make an engine of this test's own."""
    with running() as engine:
        yield engine
    while opened:
        opened.pop().close()
