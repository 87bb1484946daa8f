"""Django, a thread for each visit, prints taken from `sys.stdout`, a loop that asks a queue for them.

Written anew from what the seed says it does: one printer for the whole process with a queue for
each thread that is registered, and a view that asks its queue again and again until its thread ends.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread, current_thread

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path
from work import work

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])


class Printer:
    """What `sys.stdout` is."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue[str]] = {}

    def write(self, text: str) -> None:
        """Put text into the queue of this thread, or else to the terminal."""
        queue = self.queues.get(current_thread().name)
        if queue:
            queue.put(text)
        elif sys.__stdout__:
            sys.__stdout__.write(text)

    def flush(self) -> None:
        """Django asks for it."""


printer = Printer()


def job() -> None:
    """Print the lines."""
    for data in work(os.environ["GO"], os.environ["RATE"], os.environ["LINES"]):
        for line in data.decode().splitlines():
            print(line)


def follow(thread: Thread, queue: "Queue[str]") -> Iterator[str]:
    """Yield what the thread prints."""
    thread.start()
    while thread.is_alive():
        with contextlib.suppress(Empty):
            yield f"{queue.get_nowait()}<br>"
    yield "End"


def stream(_: HttpRequest) -> StreamingHttpResponse:
    """Start the job, and show what it prints."""
    thread = Thread(target=job)
    queue = printer.queues[thread.name] = Queue[str]()
    return StreamingHttpResponse(follow(thread, queue))


urlpatterns = [path("stream", stream)]

if __name__ == "__main__":
    sys.stdout = printer
    execute_from_command_line(sys.argv)
