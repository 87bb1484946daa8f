"""What work yields as a source: each item is a line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from ..buffers import encode_text

__all__ = ["write_async_items", "write_items"]


def write_items(
    items: Iterator[object], write: Callable[[bytes], None], cancelled: Callable[[], bool]
) -> None:
    """Write each item, until somebody wants no more: that is asked before each.

    Text gets its line end where it has none; bytes are written as they are. In the end a generator
    is closed, so that what it wants done in the end is done.
    """
    try:
        while not cancelled():
            try:
                item = next(items)
            except StopIteration:
                return
            write(_encode_item(item))
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


async def write_async_items(items: AsyncIterator[object], write: Callable[[bytes], None]) -> None:
    """Write each item as `write_items` does, until the task is cancelled."""
    try:
        async for item in items:
            write(_encode_item(item))
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


def _encode_item(item: object) -> bytes:
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    text = str(item)
    return encode_text(text if text.endswith("\n") else text + "\n")
