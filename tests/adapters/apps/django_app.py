"""A Django project in one file, with all middleware that touches responses; as a program, manage.py."""

import functools
import os
import sys
import weakref
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

import outlive
from tests.adapters.apps.work import PREFIX, begin, count_watchers, measure


def query() -> None:
    """Open a connection to the database, unless there is one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def may(request, action, run) -> bool:
    """Let everybody but strangers, who are known by Django's own request, and by the database."""
    query()
    return "Stranger" not in request.headers


settings.configure(
    SECRET_KEY="x",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ.get("STEPS", "")) / "database",
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    SESSION_SAVE_EVERY_REQUEST=True,
    OUTLIVE={"ACCESS": may, "STORE": os.environ.get("OUTLIVE_STORE")},
)
django.setup()

opened: weakref.WeakSet = weakref.WeakSet()
connection_created.connect(lambda connection, **_: opened.add(connection), weak=False)


@csrf_exempt
def work(request, kind: str, name: str):
    """Start work, and show it."""
    from outlive.adapters.django import respond

    query()
    request.session["seen"] = name
    return respond(request, functools.partial(begin, kind, name), mark=(0.3, "*** Interval\n"))


async def rest(request, name: str):
    """Start async work, on the loop, and show it."""
    from outlive.adapters.django import respond

    return respond(request, functools.partial(begin, "rest", name))


@csrf_exempt
def upload(request, name: str) -> HttpResponse:
    """Receive a file, and tell a field that comes after it."""
    from outlive.adapters.django import receive

    try:
        receive(request, measure, title=name)
    except outlive.UploadFailed as error:
        return HttpResponse(str(error), status=error.status)
    return HttpResponse(f"received {request.POST.get('after')}")


def watchers(request) -> HttpResponse:
    """Count the streams that are open."""
    return HttpResponse(count_watchers())


def databases(request) -> HttpResponse:
    """Count the connections to the database that are open."""
    return HttpResponse(str(sum(one.connection is not None for one in list(opened))))


def icon(request) -> HttpResponse:
    """Answer browsers, which ask for one where they show text."""
    return HttpResponse(status=204)


urlpatterns = [
    path(f"{PREFIX[1:]}/live/", include("outlive.adapters.django.urls")),
    path(f"{PREFIX[1:]}/watchers", watchers),
    path(f"{PREFIX[1:]}/databases", databases),
    path(f"{PREFIX[1:]}/upload/<str:name>", upload),
    path(f"{PREFIX[1:]}/rest/<str:name>", rest),
    path(f"{PREFIX[1:]}/<str:kind>/<str:name>", work),
    path("favicon.ico", icon),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
else:
    wsgi, asgi = get_wsgi_application(), get_asgi_application()
