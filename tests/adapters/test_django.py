"""What is Django's own: settings, connections to databases, middleware, commands, both protocols."""

import asyncio
import subprocess
import sys
import types
import weakref
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path, reverse
from django.views.decorators.csrf import csrf_exempt

import outlive
from outlive.adapters.django import PUBLIC, receive, respond
from outlive.entries import RunRecord
from outlive.errors import ConfigError
from outlive.stores import DirectoryStore
from tests.adapters.serving import ALL, Served
from tests.adapters.test_servers import EVENTS, new_name
from tests.helpers import eventually

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "", "TEST": {}}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()


@pytest.fixture
def opened(tmp_path, monkeypatch) -> Iterator[weakref.WeakSet]:
    """Have a database; tells the connections to it."""
    monkeypatch.setitem(connections.settings["default"], "NAME", tmp_path / "database")
    found: weakref.WeakSet = weakref.WeakSet()

    def add(connection, **_: object) -> None:
        found.add(connection)

    connection_created.connect(add)
    yield found
    connection_created.disconnect(add)
    connections.close_all()


def count(opened: weakref.WeakSet) -> int:
    """Count the connections that are open."""
    return sum(one.connection is not None for one in list(opened))


def query() -> None:
    """Use the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.fixture
def project(tmp_path) -> Iterator[types.ModuleType]:
    """Have a project in a folder; its URLs are those of a module without any."""
    urls = types.ModuleType("urls_of_test")
    urls.urlpatterns = []  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF=urls, BASE_DIR=tmp_path, OUTLIVE={"ACCESS": PUBLIC}):
        yield urls


def show(project: types.ModuleType, view) -> None:
    """Give the project a view."""
    project.urlpatterns.append(path("view", view))


def body_of(response) -> bytes:
    """Read a response, streamed or not."""
    return b"".join(response)


def print_hello() -> None:
    """Print a line."""
    print("hello")


@pytest.mark.parametrize("setting", [{}, {"STORE": "runs"}])
def test_runs_are_kept_where_the_settings_say(project, tmp_path, monkeypatch, setting):
    """Or in the project's directory; also those that a command starts."""
    monkeypatch.chdir("/")
    setting = {name: tmp_path / value for name, value in setting.items()}
    show(project, lambda request: respond(request, lambda: outlive.start(print_hello)))
    with override_settings(OUTLIVE=setting):
        assert body_of(Client().get("/view")) == b"hello\n"
        outlive.start(print_hello).wait()
    store = DirectoryStore(setting.get("STORE", tmp_path / ".outlive"))
    assert [record.title for record in store.records()] == ["print_hello"] * 2


def test_a_view_may_refuse_while_it_starts(project):
    """In Django's own way."""

    def refuse() -> outlive.Run:
        raise PermissionDenied

    show(project, lambda request: respond(request, refuse))
    assert Client().get("/view").status_code == 403


@pytest.mark.parametrize("kind", ["thread", "own loop", "task"])
def test_connections_of_work_are_its_own_and_closed_at_its_end(project, opened, kind):
    """However it works, and whatever it left open."""
    query()
    [mine] = opened

    async def query_in_task() -> None:
        await sync_to_async(query)()
        print(count(opened))

    def query_and_tell() -> None:
        query()
        print(count(opened))

    async def start_task() -> outlive.Run:
        run = outlive.start(query_in_task)
        await asyncio.to_thread(run.wait)
        return run

    if kind == "task":
        run = asyncio.run(start_task())
    else:
        run = outlive.start(query_and_tell if kind == "thread" else query_in_task)
    assert run.wait() == "succeeded", run.text()
    assert run.text() == "2\n"
    eventually(lambda: [one for one in opened if one.connection is not None] == [mine])


def test_a_stream_does_not_end_the_transaction_of_a_test(project, opened):
    """As those of Django's TestCase, around all that a test does."""

    def view(request):
        query()
        return respond(request, lambda: outlive.start(print_hello))

    show(project, view)
    with atomic():
        assert body_of(Client().get("/view")) == b"hello\n"
        query()


def test_views_under_asgi_stream_as_well(project):
    """Whether they are async or not."""

    async def view(request):
        return respond(request, lambda: outlive.start(print_hello))

    show(project, view)
    project.urlpatterns.append(
        path("sync", lambda request: respond(request, lambda: outlive.start(print_hello)))
    )

    async def read(url: str) -> bytes:
        response = await AsyncClient().get(url)
        assert response.is_async
        return b"".join([part async for part in response.streaming_content])

    for url in ("/view", "/sync"):
        assert asyncio.run(read(url)) == b"hello\n"


def mount(project: types.ModuleType, prefix: str = "live/") -> Client:
    """Mount the page."""
    project.urlpatterns.append(path(prefix, include("outlive.adapters.django.urls")))
    return Client(enforce_csrf_checks=True)


@pytest.mark.parametrize("prefix", ["", "live/", "live"])
def test_the_page_is_there_under_any_prefix(project, prefix):
    """With links that are relative, and a name to link to it."""
    client = mount(project, prefix)
    place = f"/{prefix}".removesuffix("/") + "/"
    assert client.get(place, headers={"Accept": "text/html"}).status_code == 200
    assert client.get(f"{place}static/page.css").status_code == 200
    assert client.get(f"{place}runs/x").status_code == 404
    assert reverse("outlive", args=["runs/x"]) == f"/{prefix}runs/x"


def test_a_cancel_needs_proof_but_no_token_of_a_form(project, tmp_path):
    """The proof is that no other site asked for it."""
    client = mount(project)
    run = DirectoryStore(tmp_path / ".outlive").create(
        RunRecord(id="a" * 20, title="x", started_at=1)
    )
    for site, status in (("cross-site", 403), ("same-origin", 202)):
        url = f"/live/runs/{'a' * 20}/cancel"
        assert client.post(url, headers={"Sec-Fetch-Site": site}).status_code == status
    assert run.journal.cancel_requested()


def may_list(request: HttpRequest, action: str, run: object) -> bool:
    """Let everybody list, who asks for it in Django's way."""
    return isinstance(request, HttpRequest) and action == "list"


def ask_as(user: object, project: types.ModuleType) -> int:
    """Ask for the list of runs as somebody; tells the status."""

    def let_in(get_response):
        def serve(request):
            request.user = user
            return get_response(request)

        return serve

    sys.modules["middleware_of_test"] = types.ModuleType("middleware_of_test")
    sys.modules["middleware_of_test"].let_in = let_in  # type: ignore[attr-defined]
    with override_settings(MIDDLEWARE=["middleware_of_test.let_in"]):
        return Client().get("/live/", headers={"Accept": "application/json"}).status_code


def test_by_default_the_runs_are_for_the_staff(project):
    """Whoever else comes may nothing."""
    from django.contrib.auth.models import AnonymousUser, User

    with override_settings(OUTLIVE={}):
        mount(project)
        staff = User(is_staff=True)
        assert ask_as(staff, project) == 200
        staff.is_active = False
        assert [ask_as(user, project) for user in (staff, User(), AnonymousUser())] == [403] * 3


def test_without_users_nobody_can_be_staff(project):
    """Whoever runs this is told, and nobody else."""
    with (
        override_settings(OUTLIVE={}),
        pytest.raises(ConfigError, match="AuthenticationMiddleware"),
    ):
        mount(project).get("/live/")


@pytest.mark.parametrize("may", [may_list, f"{__name__}.may_list"])
def test_access_is_a_function_or_where_it_is(project, may, monkeypatch):
    """It gets Django's own request."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[may_list.__module__])
    with override_settings(OUTLIVE={"ACCESS": may}):
        client = mount(project)
        assert client.get("/live/", headers={"Accept": "application/json"}).status_code == 200
        assert client.get("/live/activity?format=x").status_code == 400


def test_access_may_refuse_as_a_view_does(project):
    """Django answers, also with pages of the project's own."""

    def refuse(*_: object) -> bool:
        raise PermissionDenied

    def ask_who(request: HttpRequest, exception: Exception) -> HttpResponse:
        return HttpResponse("who are you?", status=403)

    project.handler403 = ask_who
    with override_settings(OUTLIVE={"ACCESS": refuse}):
        assert mount(project).get("/live/").content == b"who are you?"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ACCESS": True}, "access: give a function"),
        ({"ACESS": PUBLIC}, "STORE and ACCESS, not 'ACESS'"),
        ({"ACCESS": "nowhere"}, r'OUTLIVE\["ACCESS"\] in the settings leads nowhere: nowhere'),
        (
            {"ACCESS": "os.nothing"},
            r'OUTLIVE\["ACCESS"\] in the settings leads nowhere: .*"nothing"',
        ),
        ("os.nothing", "OUTLIVE in the settings is as"),
        ({}, "ACCESS"),
    ],
)
def test_wrong_settings_are_told(project, options, message, monkeypatch):
    """When the URLs are read, and so before the first request."""
    monkeypatch.delitem(sys.modules, "outlive.adapters.django.urls", raising=False)
    apps = ["django.contrib.auth", "django.contrib.contenttypes"] if options else []
    told = pytest.raises(ConfigError, match=message)
    with override_settings(OUTLIVE=options, INSTALLED_APPS=apps), told:
        mount(project)


def tell(file: outlive.ReceivedFile) -> None:
    """Tell what was received."""
    print(file.name, file.read())


def upload(project, view):
    """Send a form with two files to a view, as a browser that has a form's token."""
    show(project, view)
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = token = "t" * 32
    first = SimpleUploadedFile("a.csv", b"1,2\n")
    second = SimpleUploadedFile("b.csv", b"3,4\n")
    form = {"first": first, "user": "Ada", "second": second, "csrfmiddlewaretoken": token}
    return client.post("/view", form)


@pytest.mark.parametrize("exempt", [True, False])
@pytest.mark.parametrize(
    ("field", "name", "rest"), [(None, "a.csv", b"3,4\n"), ("second", "b.csv", b"1,2\n")]
)
def test_one_file_of_a_form_is_received_and_the_rest_is_there(project, exempt, field, name, rest):
    """Whether or not the form was read before, to check its token."""
    runs = []

    def view(request):
        runs.append(receive(request, tell, field=field))
        other = request.FILES["first" if field else "second"]
        return HttpResponse(request.POST["user"].encode() + other.read())

    response = upload(project, csrf_exempt(view) if exempt else view)
    assert response.content == b"Ada" + rest
    runs[0].wait()
    assert runs[0].text().startswith(name)


def test_an_upload_leads_to_its_run(project):
    """As whatever a POST starts."""
    response = upload(project, lambda request: respond(request, lambda: receive(request, tell)))
    assert response.status_code == 303
    shown = Client().get(f"/view{response['Location']}")
    assert body_of(shown) == b"a.csv b'1,2\\n'\n"


@pytest.mark.parametrize("exempt", [True, False])
def test_what_is_not_received_is_told(project, exempt):
    """By `respond` as it was; otherwise by Django, to which all of it is a bad request."""

    def view(request):
        return respond(request, lambda: receive(request, tell, limit=2))

    response = upload(project, csrf_exempt(view) if exempt else view)
    assert (response.status_code, response.content) == (413, b"the upload is larger than 2 bytes\n")
    project.urlpatterns.clear()
    assert upload(project, lambda request: receive(request, tell, limit=2)).status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "Django on runserver",
        "Django on runserver, without the engine",
        "Django on gunicorn gthread, without the engine",
        "Django on uvicorn",
    ],
)
def test_an_open_stream_holds_no_connection_to_a_database(name, tmp_path):
    """Neither that of its view, though those are to be kept, nor those of its access hook."""
    work, other = new_name(), new_name()
    with (
        Served(ALL[name], tmp_path) as served,
        served.ask(f"/steps/{work}") as run,
        served.ask("/live/activity", **EVENTS) as activity,
    ):
        for number in range(1, 4):
            served.step(work, number)
            run.until(b"line %d" % number)
        with served.ask(f"/count/{other}") as viewer:
            viewer.to_end()
        activity.until(other.encode())
        eventually(lambda: count_databases(served) == 0)
        served.step(work, "end")


def count_databases(served) -> int:
    """Ask how many connections to a database the server has."""
    with served.ask("/databases") as viewer:
        viewer.head()
        return int(viewer.to_end().split()[-1])


@pytest.mark.parametrize("name", ["Django on runserver", "Django on uvicorn"])
def test_who_takes_gzip_gets_streams_as_they_are(serve, name):
    """Django's middleware would keep them until their end."""
    served, work = serve(name), new_name()
    headers = {"Accept_Encoding": "gzip"}
    with served.ask(f"/steps/{work}", **headers) as viewer:
        served.step(work, 1)
        viewer.until(b"line 1\n")
        served.step(work, "end")
        viewer.to_end()
    with served.ask("/live/static/page.css", **headers) as viewer:
        assert viewer.head()[1]["content-encoding"] == "gzip"


def test_a_process_without_a_project_is_left_as_it_is(tmp_path):
    """It may import the adapter all the same."""
    code = (
        "import outlive.adapters.django, outlive; run = outlive.start(print, 'hello');"
        "run.wait(); print(run.text())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "hello\n\n"
    assert Path(tmp_path / ".outlive").is_dir()
