"""A generator without an end, live in the browser: a Django project in one file."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.urls import include, path

import outlive
from outlive.adapters.django import PUBLIC, respond

settings.configure(
    ROOT_URLCONF=__name__,
    BASE_DIR=Path(__file__).parent,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    OUTLIVE={"ACCESS": PUBLIC},
)
LINES = ["Little brown lady", "Jumped into the blue water", "And smiled"]


def recite(seconds: float) -> Iterator[str]:
    """Give the lines over and over, and say when."""
    began = time.time()
    for number in itertools.count(1):
        yield f"[{time.time() - began:>10.0f} s] {LINES[number % 3 - 1]}"
        time.sleep(seconds)
        if number % 3 == 0:
            yield "=========== Here we go again ==========="


def streamed(request: HttpRequest) -> HttpResponse:
    """Show the lines, `?sleep=` seconds apart, to everybody who asks for the same."""
    text = request.GET.get("sleep", "10")
    if not text.isdecimal() or not int(text):
        return HttpResponseBadRequest("sleep: a number of seconds\n", content_type="text/plain")
    key = f"recite every {int(text)} s"
    return respond(request, lambda: outlive.start(recite, int(text), title=key, key=key))


urlpatterns = [
    path("streamed", streamed),
    path("live/", include("outlive.adapters.django.urls")),
]


def main() -> None:
    """Serve until Ctrl-C."""
    address = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
    execute_from_command_line([__file__, "runserver", "--noreload", address])


if __name__ == "__main__":
    main()
