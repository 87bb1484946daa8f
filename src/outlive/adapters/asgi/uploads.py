"""Uploads to views of FastAPI and Starlette, received as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from ...errors import UploadFailed
from ...runs import Run
from ...work.receptions import CHUNK_SIZE, Reception, no_file
from ..base import comes_in_form

__all__ = ["receive_upload"]

#: Makes what is received of a file's name.
Open = Callable[[str], "_File"]


async def receive_upload(
    request: Request, field: str | None, begin: Callable[..., Reception]
) -> Run:
    """Receive what a request brings; what does not come whole is answered with an error."""
    size = _size_of(request)
    async with contextlib.AsyncExitStack() as stack:

        def open_file(name: str) -> _File:
            file = _File(partial(begin, name=name, size=size))
            stack.push_async_callback(file.close)
            return file

        try:
            file = await _take(request, field, open_file)
            return await file.start()
        except UploadFailed as error:
            raise HTTPException(error.status, str(error)) from None


async def _take(request: Request, field: str | None, open_file: Open) -> _File:
    """Take the file of a form, or a body that is none."""
    try:
        if comes_in_form(request.headers, field):
            return await _take_of_form(request, field, open_file)
        return await _copy(request.stream(), open_file("upload"))
    except ClientDisconnect:
        raise UploadFailed("the client is gone") from None
    except MultiPartException as error:
        raise UploadFailed(f"the form is damaged: {error.message}") from None


async def _take_of_form(request: Request, field: str | None, open_file: Open) -> _File:
    if request._form is not None:  # noqa: SLF001 - it was parsed before, by a dependency for example
        for name, item in request._form.multi_items():  # noqa: SLF001
            if isinstance(item, UploadFile) and item.filename and field in (None, name):
                return await _copy(_chunks_of(item), open_file(item.filename))
        raise no_file(field)
    parts = _Parts(request, field, open_file)
    # Where a view will look for the rest.
    request._form = await parts.parse()  # noqa: SLF001
    if parts.received is None:
        raise no_file(field)
    if not parts.is_whole:
        raise UploadFailed("the form is damaged: it has no end")
    return parts.received


async def _copy(chunks: AsyncIterator[bytes], file: _File) -> _File:
    async for chunk in chunks:
        await file.write(chunk)
    return file


async def _chunks_of(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_SIZE):
        yield chunk


def _size_of(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdigit() else None


class _File:
    """What a form's parser writes a file into, and closes when its request comes to an end.

    A run is claimed, and chunks are written, in threads: nobody else waits for the disk.
    """

    def __init__(self, begin: Callable[[], Reception]) -> None:
        self._begin = begin
        self._reception: Reception | None = None
        self._is_closed = False
        # A thread may be at it when the request is cancelled.
        self._lock = threading.Lock()

    async def write(self, chunk: bytes) -> None:
        """Take what has arrived."""
        await asyncio.to_thread(self._write, chunk)

    async def seek(self, _: int) -> None:
        """Be told that this was all of it."""

    async def start(self) -> Run:
        """Start the work, on this loop where it is `async`."""
        # Of an empty file, nothing was written.
        return (await asyncio.to_thread(self._write, b"")).finish()

    def _write(self, chunk: bytes) -> Reception:
        with self._lock:
            if self._is_closed:
                raise UploadFailed("the request is over")
            self._reception = self._reception or self._begin()
            self._reception.write(chunk)
            return self._reception

    async def close(self) -> None:
        """Give up what was not started."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._reception is not None:
                self._reception.abort()


class _Parts(MultiPartParser):
    """Parses a form as Starlette does, but one file of it is received by a run."""

    def __init__(self, request: Request, field: str | None, open_file: Open) -> None:
        super().__init__(request.headers, request.stream())
        self.received: _File | None = None
        #: Starlette takes what there is, also where it stops within a file.
        self.is_whole = False
        self._field, self._open = field, open_file

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if self.received or not part.file or not part.file.filename:
            return
        if self._field in (None, part.field_name):
            part.file.file.close()
            self.received = self._open(part.file.filename)
            part.file = self.received  # type: ignore[assignment]

    def on_part_end(self) -> None:
        if not isinstance(self._current_part.file, _File):
            super().on_part_end()

    def on_end(self) -> None:
        self.is_whole = True
