"""A long import that logs, live in the browser: a Django project in one file."""

import logging
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
log = logging.getLogger("clients")
FORMAT = logging.Formatter("%(asctime)s - %(levelname)s - %(message)s")


def import_clients() -> None:
    """Import, and log how far it is."""
    for number in range(1, 11):
        log.info("log %d", number)
        time.sleep(1)


def start_import() -> outlive.Run:
    """Start the import, of which one goes on at a time, and take its records from INFO on."""
    return outlive.start(import_clients, key="import", level=logging.INFO, formatter=FORMAT)


def show_import(request: HttpRequest) -> HttpResponse:
    """Show the import that goes on, or start one."""
    return respond(request, start_import)


urlpatterns = [path("import/", show_import)]


def main() -> None:
    """Serve until Ctrl-C."""
    address = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
    execute_from_command_line([__file__, "runserver", "--noreload", address])


if __name__ == "__main__":
    main()
