"""Work that prints, live in the browser: a Django project in one file."""

import os
import time
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path

import outlive
from outlive.adapters.django import respond

settings.configure(
    ROOT_URLCONF=__name__, BASE_DIR=Path(__file__).parent, ALLOWED_HOSTS=["127.0.0.1", "localhost"]
)


def job(times: int) -> None:
    """Do some tasks, a second each."""
    for i in range(times):
        print(f"Task #{i}")
        time.sleep(1)
    print("Done")


def stream(request: HttpRequest) -> HttpResponse:
    """Start the job, once per visit, and show what it prints."""
    return respond(request, lambda: outlive.start(job, 10))


urlpatterns = [path("stream/", stream)]


def main() -> None:
    """Serve until Ctrl-C."""
    address = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
    execute_from_command_line([__file__, "runserver", "--noreload", address])


if __name__ == "__main__":
    main()
