"""Flask-SSE with Redis, on gunicorn's gevent worker as its documentation says."""

from typing import ClassVar

from .base import Peer, free_port
from .environments import find_program

__all__ = ["FlaskSse"]


class FlaskSse(Peer):
    """A greenlet and a connection to Redis per viewer."""

    name = "Flask-SSE, Redis, gunicorn gevent"
    packages = ("flask", "flask-sse", "gevent")
    programs: ClassVar = {"redis-server": "redis-server"}
    _redis = 0

    @property
    def feeder(self) -> tuple[str, str]:
        return "redis", str(self._redis)

    def start(self) -> None:
        self._redis = free_port()
        redis = find_program("redis-server") or "redis-server"
        argv = [redis, "--bind", "127.0.0.1", "--port", str(self._redis), "--save", ""]
        self.launch(argv, port=self._redis)
        connections = str(self.load.viewers + 100)
        self.gunicorn(
            "with_flask_sse:app", "-k", "gevent", "--worker-connections", connections,
            REDIS=f"redis://127.0.0.1:{self._redis}",
        )  # fmt: skip
