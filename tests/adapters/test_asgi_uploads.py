"""Uploads in views of Starlette and FastAPI: what others have no counterpart of."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from outlive import ReceivedFile, Run
from outlive.adapters.asgi import receive
from outlive.entries import State
from outlive.stores import DirectoryStore
from tests.adapters.test_uploads import part

FORM = part("first", b"", "empty.txt") + part("file", b"abc", "x.csv") + b"--limit--\r\n"
FORM_TYPE = "multipart/form-data; boundary=limit"


@pytest.fixture
def store(tmp_path) -> DirectoryStore:
    """Make a store."""
    return DirectoryStore(tmp_path)


def make_request(*messages: dict[str, Any], kind: str = FORM_TYPE) -> Request:
    """Make a request whose body comes in these messages."""
    coming = iter(messages)

    async def get() -> dict[str, Any]:
        message = next(coming, None)
        return message or await asyncio.get_running_loop().create_future()

    headers = [(b"content-type", kind.encode()), (b"transfer-encoding", b"chunked")]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, get)


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    """Make the message that brings a part of a body."""
    return {"type": "http.request", "body": content, "more_body": more}


def show(file: ReceivedFile) -> None:
    """Print what came."""
    print(file.name, file.read())


def tell(store: DirectoryStore, ask: Callable[[], Awaitable[Run]]) -> str:
    """Get the output of the run that a request ended with."""

    async def main() -> Run:
        return await ask()

    run = asyncio.run(main())
    assert run.wait(30) is State.SUCCEEDED
    return run.text()


@pytest.mark.parametrize(
    ("field", "output"), [(None, "empty.txt b''\n"), ("file", "x.csv b'abc'\n")]
)
@pytest.mark.parametrize("is_parsed", [False, True])
def test_the_file_that_a_view_asks_for_is_received(store, field, output, is_parsed):
    """The first, though it is empty, or another; also where somebody has parsed the form before."""

    async def ask() -> Run:
        request = make_request(body(FORM))
        if is_parsed:
            await request.form()
        run = await receive(request, show, field=field, store=store)
        # As frameworks do.
        await request.close()
        return run

    assert tell(store, ask) == output


def test_async_work_has_the_loop_of_the_view(store):
    """As it has from `outlive.start`."""

    async def work(file: ReceivedFile) -> None:
        print(threading.current_thread() is threading.main_thread(), file.read())

    async def ask() -> Run:
        run = await receive(make_request(body(b"abc"), kind="text/csv"), work, store=store)
        async with asyncio.timeout(30):
            while run.state is State.RUNNING:
                await asyncio.sleep(0.01)
        return run

    assert tell(store, ask) == "True b'abc'\n"


@pytest.mark.parametrize("ending", ["leaves", "is cancelled"])
def test_a_request_that_ends_amid_the_upload_starts_nothing(store, tmp_path: Path, ending):
    """Nor does one stay that would be waited for."""

    async def main() -> None:
        gone = [{"type": "http.disconnect"}] if ending == "leaves" else []
        request = make_request(body(b"abc", more=True), *gone, kind="text/csv")
        task = asyncio.ensure_future(receive(request, show, store=store))
        async with asyncio.timeout(30):
            while not store.records():
                await asyncio.sleep(0.01)
        if not gone:
            task.cancel()
        with pytest.raises(HTTPException if gone else asyncio.CancelledError):
            await task

    asyncio.run(main())
    [record] = store.records()
    assert record.end.state is State.FAILED
    assert str(record.end.error).startswith("the upload ended after ")
    assert list(tmp_path.rglob("upload*")) == []
