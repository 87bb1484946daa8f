"""sse-starlette on uvicorn."""

from .base import Peer

__all__ = ["SseStarlette"]


class SseStarlette(Peer):
    """A queue per viewer."""

    name = "sse-starlette, uvicorn"
    packages = ("sse-starlette",)

    def start(self) -> None:
        self.uvicorn("with_sse_starlette:app")
