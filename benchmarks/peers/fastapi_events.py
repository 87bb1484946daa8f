"""FastAPI's EventSourceResponse on uvicorn."""

from .base import Peer

__all__ = ["FastApiEvents"]


class FastApiEvents(Peer):
    """A queue per viewer."""

    name = "FastAPI EventSourceResponse, uvicorn"
    packages = ("fastapi",)

    def start(self) -> None:
        self.uvicorn("with_fastapi_events:app")
