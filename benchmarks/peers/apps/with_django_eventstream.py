"""django-eventstream: `send_event` for each line; with `DATABASE`, its storage in SQLite."""

import os

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.urls import include, path
from hub import Hub, with_hub

database = os.environ.get("DATABASE")
storage = "django_eventstream.storage.DjangoModelStorage"
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django_eventstream"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}}
    if database
    else {},
    **({"EVENTSTREAM_STORAGE_CLASS": storage} if database else {}),
)
django.setup()
if database:
    call_command("migrate", verbosity=0)
urlpatterns = [path("stream", include("django_eventstream.urls"), {"channels": ["lines"]})]


class Sender(Hub):
    """Hands the lines to django-eventstream, which knows the viewers."""

    async def _take(self, reader: "object", _: object) -> None:
        from django_eventstream import send_event

        # In a thread only where it is needed: for the database.
        send = sync_to_async(send_event) if database else None
        while line := await reader.readline():  # type: ignore[attr-defined]
            arguments = ("lines", "message", line.decode().rstrip("\n"))
            if send:
                await send(*arguments, json_encode=False)
            else:
                send_event(*arguments, json_encode=False)


app = with_hub(get_asgi_application(), Sender())
