"""FastAPI's own EventSourceResponse: a path operation that yields events."""

from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from hub import Hub, with_hub

hub = Hub()
api = FastAPI()


@api.get("/stream", response_class=EventSourceResponse)
async def stream() -> AsyncIterable[ServerSentEvent]:
    """Send each line as an event."""
    async for line in hub.lines():
        yield ServerSentEvent(raw_data=line)


app = with_hub(api, hub)
