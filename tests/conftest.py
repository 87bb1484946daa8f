"""Fixtures that tests of several modules share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.browsers import browser, complaints, page
from tests.programs import Outlive

__all__ = ["browser", "complaints", "outlive", "page"]

# A shell has what it starts with `&` ignore Ctrl-C, nohup a hang-up, and so would all that tests
# start in turn.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# No test asserts how fast it is, and the machines that run this are busy with other things.
settings.register_profile("outlive", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("outlive")


@pytest.fixture
def outlive(tmp_path: Path) -> Iterator[Outlive]:
    """Give the program, with an empty store; end what it started."""
    program = Outlive(tmp_path / "store")
    yield program
    program.close()
