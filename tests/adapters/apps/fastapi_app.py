"""A FastAPI application, on uvicorn."""

import functools

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from outlive.adapters.asgi import application, respond
from tests.adapters.apps.work import PREFIX, begin, count_watchers, may

app = FastAPI()
app.mount(f"{PREFIX}/live", application(access=may))


@app.get(f"{PREFIX}/watchers")
async def watchers() -> PlainTextResponse:
    """Count the streams that are open."""
    return PlainTextResponse(count_watchers())


@app.api_route(f"{PREFIX}/{{kind}}/{{name}}", methods=["GET", "HEAD", "POST"])
async def work(request: Request, kind: str, name: str):
    """Start work, and show it."""
    start = functools.partial(begin, kind, name)
    return respond(request, start, mark=(0.3, "*** Interval\n"))
