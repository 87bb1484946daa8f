"""Connections to databases: work has its own, and an open stream none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

__all__ = ["leave_thread", "own_connections", "release_connections"]


@contextmanager
def own_connections() -> Iterator[None]:
    """Have work use no connections of a request, and close its own at its end."""
    context = ThreadSensitiveContext()
    token = SyncToAsync.thread_sensitive_context.set(context)
    try:
        yield
    finally:
        SyncToAsync.thread_sensitive_context.reset(token)
        _leave(context)
        connections.close_all()


def release_connections() -> None:
    """Close the connections of this thread, but for those amid a transaction: a test's, then."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def leave_thread() -> None:
    """Let the thread go in which Django does what this request does without await."""
    _leave(SyncToAsync.thread_sensitive_context.get(None))


def _leave(context: ThreadSensitiveContext | None) -> None:
    """Let the thread go in which a context did what is not async, and close its connections."""
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor is not None:
        executor.submit(connections.close_all)
        executor.shutdown(wait=False)
