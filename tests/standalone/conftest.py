"""Fixtures of the tests of the server."""

import pytest

from tests.programs import Outlive


@pytest.fixture
def outlive(tmp_path):
    """Give the program, with a store of its own."""
    program = Outlive(tmp_path / "store")
    yield program
    program.close()
