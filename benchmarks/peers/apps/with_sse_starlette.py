"""sse-starlette: an EventSourceResponse over a queue per viewer, as its documentation has it."""

from collections.abc import AsyncIterator

from hub import Hub, with_hub
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

hub = Hub()


async def stream(_: Request) -> Response:
    """Send each line as an event."""

    async def events() -> AsyncIterator[dict[str, str]]:
        async for line in hub.lines():
            yield {"data": line}

    response: Response = EventSourceResponse(events())
    return response


app = with_hub(Starlette(routes=[Route("/stream", stream)]), hub)
