"""Servers that all tests share: to start one takes a second."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.adapters.serving import ALL, SERVERS, Served

Serve = Callable[[str], Served]


@pytest.fixture(scope="session")
def serve(tmp_path_factory) -> Iterator[Serve]:
    """Give what starts a server, once."""
    started: dict[str, Served] = {}
    with ExitStack() as stack:

        def start(name: str) -> Served:
            if name not in started:
                folder = tmp_path_factory.mktemp("served")
                started[name] = stack.enter_context(Served(ALL[name], folder))
            return started[name]

        yield start


@pytest.fixture(params=SERVERS)
def served(request, serve) -> Served:
    """Give each server in turn; what its row says that it cannot must fail."""
    reason = ALL[request.param].cannot.get(request.node.originalname)
    if reason is not None:
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    return serve(request.param)
