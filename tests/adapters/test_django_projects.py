"""Django projects as they are, in several files: commands, processes of their own, reloads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from outlive import platforms
from outlive.entries import Kind, RunRecord
from outlive.stores import DirectoryStore
from tests.adapters.serving import Served, Server
from tests.adapters.test_servers import DONE
from tests.helpers import eventually

FILES = {
    "manage.py": """
import os
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
if __name__ == "__main__":
    import sys
    execute_from_command_line(sys.argv)
""",
    "shop/settings.py": """
from pathlib import Path
BASE_DIR = Path(__file__).parent.parent
DEBUG = True
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "outlive.adapters.django", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "database"}}
OUTLIVE = {"ACCESS": "outlive.adapters.django.PUBLIC"}
""",
    "shop/urls.py": """
from django.urls import include, path
urlpatterns = [path("deep/live/", include("outlive.adapters.django.urls"))]
""",
    "shop/jobs.py": """
from django.contrib.contenttypes.models import ContentType
def count():
    print(ContentType.objects.count(), "types")
""",
    "shop/management/commands/count.py": """
import outlive
from django.core.management.base import BaseCommand
from shop.jobs import count
class Command(BaseCommand):
    requires_system_checks = []
    def handle(self, **options):
        for isolation in (None, "process"):
            run = outlive.start(count, isolation=isolation)
            self.stdout.write(f"{run.wait()}: {run.text()}")
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write a project; returns its folder."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def manage(project: Path, *arguments: str) -> str:
    """Call a command of the project's, from elsewhere."""
    environment = {name: os.environ[name] for name in os.environ if name != "OUTLIVE_STORE"}
    command = [sys.executable, str(project / "manage.py"), *arguments]
    done = subprocess.run(
        command, cwd="/", env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_a_command_starts_work_that_has_its_models(project):
    """In a thread, and in a process that begins with nothing; kept in the project's folder."""
    manage(project, "migrate", "--verbosity", "0")
    assert manage(project, "count") == "succeeded: 1 types\n" * 2
    records = DirectoryStore(project / ".outlive").records()
    assert [record.title for record in records] == ["count"] * 2


def test_a_reload_ends_streams_that_the_server_has_and_leaves_no_process(project):
    """Of a run that goes on elsewhere; its viewers find the new server in the same place."""
    place = f"--pythonpath {project} --settings shop.settings 127.0.0.1:PORT"
    run = "a" * 20
    with Served(Server(f"django runserver {place}", engine="off"), project) as served:
        writer = served.store.create(RunRecord(id=run, title="x", started_at=1))
        writer.append(Kind.OUT, b"line 1\n")
        with served.ask(f"/live/runs/{run}") as viewer:
            viewer.until(b"line 1\n")
            [old] = children(served)
            # It may not have looked for the first time yet.
            eventually(lambda: (project / "shop/urls.py").touch() or old not in children(served))
            viewer.to_end()
        eventually(lambda: is_back(served))
        with served.ask(f"/live/runs/{run}") as viewer:
            viewer.until(b"line 1\n")
        writer.close(DONE)


def children(served: Served) -> set[int]:
    """List the processes that the server started."""
    found = platforms.list_processes().values()
    return {process.pid for process in found if process.parent == served.process.pid}


def is_back(served: Served) -> bool:
    """Tell whether the server listens again."""
    try:
        with served.ask("/live/") as viewer:
            return viewer.to_end().startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False
