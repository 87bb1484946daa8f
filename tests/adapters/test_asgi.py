"""The ASGI application, driven as a server drives it."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import MutableMapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import starlette.requests
from fastapi import FastAPI, HTTPException

import outlive
from outlive.adapters.asgi import PUBLIC, Application, application, respond
from outlive.entries import RunRecord
from outlive.errors import ConfigError
from outlive.web.messages import Request
from tests.web.sites import BROWSER, ENDED, LIVING, Client, make_client


class Exchange:
    """One request to an application, and what it sends."""

    def __init__(self, client: Client, path: str, **more: Any) -> None:
        path, _, query = path.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": path,
            "root_path": "",
            "query_string": query.encode(),
            "headers": [],
            **more,
        }
        self.application = Application(client.site)
        self.sent: list[MutableMapping[str, Any]] = []
        self.news = asyncio.Event()
        self.gone = asyncio.Event()
        self.asked = False
        self.task = asyncio.ensure_future(self.application(self.scope, self.receive, self.send))

    async def receive(self) -> dict[str, Any]:
        """Give the request's empty body, and then the news that the client has gone."""
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a message."""
        self.sent.append(message)
        self.news.set()

    @property
    def body(self) -> bytes:
        """What was sent of the body."""
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_complete(self) -> bool:
        """Whether the body was ended properly."""
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)

    async def until(self, text: bytes) -> None:
        """Wait for a part of the body."""
        async with asyncio.timeout(30):
            while text not in self.body:
                self.news.clear()
                await self.news.wait()

    async def over(self) -> None:
        """Wait until the application returns."""
        async with asyncio.timeout(30):
            await asyncio.wait({self.task})


def watchers(client: Client) -> int:
    """Count who watches the living run."""
    return len(client.site.store.journal(LIVING)._watchers)


def test_a_short_answer_is_one_message():
    """Head and whole body."""

    async def main() -> None:
        exchange = Exchange(make_client(), f"/runs/{LIVING}?format=json")
        await exchange.over()
        start, body = exchange.sent
        assert (start["type"], start["status"]) == ("http.response.start", 200)
        assert (b"content-length", b"%d" % len(body["body"])) in start["headers"]
        assert exchange.is_complete

    asyncio.run(main())


@pytest.mark.parametrize("path", [f"/deep/runs/{ENDED}", f"/runs/{ENDED}"])
def test_the_prefix_is_taken_off(path):
    """Whether or not a server leaves it in the path."""

    async def main() -> None:
        exchange = Exchange(make_client(), path, root_path="/deep")
        await exchange.over()
        assert exchange.body == b"one\ntwo\n"

    asyncio.run(main())


def test_access_may_refuse_as_a_view_does(tmp_path):
    """With an answer of the framework's."""

    def refuse(request: Request, action: str, run: RunRecord | None) -> bool:
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})

    async def main() -> None:
        app = FastAPI()
        app.mount("/live", application(access=refuse, store=tmp_path))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.get("/live/")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Basic")

    asyncio.run(main())


@pytest.mark.parametrize("root", ["", "/outer"])
def test_it_is_at_home_in_an_application_within_another(root, tmp_path):
    """Wherever the proxy has that: links and redirections are relative to what the client asked."""
    inner, outer = FastAPI(), FastAPI()
    inner.mount("/live", application(access=PUBLIC, store=tmp_path))

    @inner.get("/count")
    async def count(request: starlette.requests.Request) -> Any:
        return respond(request, lambda: outlive.start(print, "1", store=tmp_path), store=tmp_path)

    outer.mount("/sub", inner)

    async def ask(path: str, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=outer, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://x{root}") as client:
            return await client.get(path, headers=headers)

    async def main() -> None:
        browser = {"Accept": BROWSER, "Sec-Fetch-Mode": "navigate"}
        shown = await ask("/sub/count", **browser)
        assert shown.status_code == 303
        assert shown.headers["location"].startswith("?from=")
        again = await ask(f"/sub/count{shown.headers['location']}", **browser)
        assert (again.status_code, again.text.count("1\n")) == (200, 1)
        listed = await ask("/sub/live/", Accept="application/json")
        assert [run["title"] for run in listed.json()["runs"]] == ["print"]
        assert (await ask("/sub/live/static/page.css")).status_code == 200
        bare = await ask("/sub/live")
        assert urljoin(str(bare.url), bare.headers["location"]).endswith(f"{root}/sub/live/")

    asyncio.run(main())


def test_headers_are_known_by_their_names_in_lower_case():
    """Of one that comes twice, the first counts."""

    async def main() -> None:
        headers = [(b"Accept", BROWSER.encode()), (b"accept", b"application/json")]
        exchange = Exchange(make_client(), f"/runs/{ENDED}", headers=headers)
        await exchange.over()
        assert b"<html" in exchange.body

    asyncio.run(main())


def test_a_stream_goes_on_until_the_end_of_the_run():
    """Each line is sent when it is written; the last message says that it is the last."""

    async def main() -> None:
        client = make_client()
        exchange = Exchange(client, f"/runs/{LIVING}?format=text")
        await exchange.until(b"two\n")
        client.write(LIVING, b"three\n")
        await exchange.until(b"three\n")
        assert not exchange.is_complete
        client.close(LIVING)
        await exchange.over()
        assert exchange.is_complete
        assert exchange.body == b"one\ntwo\nthree\n"

    asyncio.run(main())


def test_a_client_that_leaves_ends_its_pump():
    """Nothing of it stays: no task, no watcher."""

    async def main() -> None:
        client = make_client()
        exchange = Exchange(client, f"/runs/{LIVING}?format=sse")
        await exchange.until(b"two")
        assert watchers(client) == 1
        exchange.gone.set()
        await exchange.over()
        assert not exchange.is_complete
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert watchers(client) == 0

    asyncio.run(main())


def test_a_server_that_gives_up_ends_the_pump():
    """It cancels the request."""

    async def main() -> None:
        client = make_client()
        exchange = Exchange(client, f"/runs/{LIVING}?format=sse")
        await exchange.until(b"two")
        exchange.task.cancel()
        await exchange.over()
        await asyncio.sleep(0)
        assert watchers(client) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


STRANGER = {"headers": [(b"stranger", b"yes")]}
PATHS = [f"/runs/{LIVING}?format=json", "/activity?format=ndjson"]
user = contextvars.ContextVar("user", default="nobody")


@pytest.mark.parametrize("path", PATHS)
def test_who_decides_slowly_holds_up_nobody_else(path):
    """A hook may ask a database, and knows what middleware has set; also while a stream is open."""
    release, seen = threading.Event(), set()

    def may(request: Request, action: str, run: RunRecord | None) -> bool:
        seen.add(user.get())
        if "stranger" in request.headers and (run is not None or "activity" not in path):
            assert release.wait(30)
        return True

    async def main() -> None:
        client = make_client()
        client.site = replace(client.site, access=may)
        user.set("somebody")
        slow, quick = Exchange(client, path, **STRANGER), Exchange(client, path)
        if "activity" in path:
            await slow.until(b"start")
            await quick.until(b"start")
            client.site.store.create(RunRecord(id="c" * 20, title="new", started_at=3))
            await quick.until(b"new")
            assert b"new" not in slow.body
            release.set()
            await slow.until(b"new")
        else:
            await quick.over()
            assert not slow.task.done()
            release.set()
            await slow.over()
        for exchange in (slow, quick):
            exchange.gone.set()
            await exchange.over()

    asyncio.run(main())
    assert seen == {"somebody"}


def test_head_sends_no_body_and_watches_nothing():
    """It is over at once."""

    async def main() -> None:
        client = make_client()
        exchange = Exchange(client, f"/runs/{LIVING}?format=sse", method="HEAD")
        await exchange.over()
        assert exchange.sent[0]["status"] == 200
        assert exchange.body == b""
        assert exchange.is_complete
        assert watchers(client) == 0

    asyncio.run(main())


def test_a_mistake_of_ours_cuts_the_stream_and_is_reported(caplog, monkeypatch):
    """The client sees that something is missing, whoever runs this sees what went wrong."""

    async def main() -> None:
        client = make_client()
        exchange = Exchange(client, f"/runs/{LIVING}?format=text")
        await exchange.until(b"two")

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(client.site.store.journal(LIVING), "scan", fail)
        client.write(LIVING, b"three\n")
        await exchange.over()
        assert not exchange.is_complete

    with caplog.at_level(logging.ERROR, "outlive"):
        asyncio.run(main())
    assert "a stream was cut short" in caplog.text


def test_what_is_no_http_is_left_alone():
    """A server then refuses it."""

    async def main() -> None:
        exchange = Exchange(make_client(), "/", type="websocket")
        await exchange.over()
        assert exchange.sent == []
        assert exchange.task.exception() is None

    asyncio.run(main())


def test_the_life_of_a_server_is_answered():
    """So that none logs that an application cannot do that."""
    asked = iter(("startup", "shutdown"))
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": f"lifespan.{next(asked)}"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    asyncio.run(Application(make_client().site)({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_view_needs_no_framework():
    """What `respond` gives is called as an application is; what was put behind it comes after it."""
    done: list[bool] = []

    async def main() -> None:
        exchange = Exchange(make_client(), "/nothing")
        await exchange.over()
        exchange.sent.clear()

        async def finish() -> None:
            done.append(exchange.is_complete)

        run = outlive.start(print, "one", store=exchange.application.site.store)
        answer = respond(SimpleNamespace(scope=exchange.scope), run)
        answer.background = finish
        await answer(exchange.scope, exchange.receive, exchange.send)
        assert exchange.body == b"one\n"

    asyncio.run(main())
    assert done == [True]


def test_access_must_be_given():
    """Nothing is open by mistake."""
    store = make_client().site.store
    assert application(access=PUBLIC, store=store).site.store is store
    with pytest.raises(ConfigError, match="access"):
        application(access=None, store=store)  # type: ignore[arg-type]

    async def forbid(*_: object) -> bool:
        return False

    # What it returns is true, whatever that would be once it was awaited.
    with pytest.raises(ConfigError, match="not async"):
        application(access=forbid, store=store)  # type: ignore[arg-type]
