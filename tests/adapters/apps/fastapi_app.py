"""A FastAPI application, on uvicorn."""

import functools

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from outlive.adapters.asgi import application, receive, respond
from tests.adapters.apps.work import PREFIX, begin, count_watchers, may, measure

app = FastAPI()
app.mount(f"{PREFIX}/live", application(access=may))


@app.get(f"{PREFIX}/watchers")
async def watchers() -> PlainTextResponse:
    """Count the streams that are open."""
    return PlainTextResponse(count_watchers())


@app.api_route(f"{PREFIX}/upload/{{name}}", methods=["POST", "PUT"])
async def upload(request: Request, name: str) -> PlainTextResponse:
    """Receive a file, and tell what else was in the form."""
    await receive(request, measure, title=name)
    return PlainTextResponse(f"received {(await request.form()).get('after')}")


@app.api_route(f"{PREFIX}/{{kind}}/{{name}}", methods=["GET", "HEAD", "POST"])
async def work(request: Request, kind: str, name: str):
    """Start work, and show it."""
    start = functools.partial(begin, kind, name)
    return respond(request, start, mark=(0.3, "*** Interval\n"))
