"""The README's few lines for each framework do what is said of them."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import blocks_of
from tests.seeds.running import Example

README = Path(__file__).parents[1] / "README.md"
WORK = """
def fit():
    print("epoch 1")
    print("epoch 2")
"""

#: What an application has besides: its beginning, its end, and how it is run.
APPLICATIONS = {
    "Flask": ("import flask\napp = flask.Flask(__name__)", "app.run(port=0)"),
    "Django": (
        """
        import sys
        import django.conf, django.core.management, django.urls
        django.conf.settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=True)
        """,
        """
        urlpatterns = [django.urls.path("train", train)]
        if __name__ == "__main__":
            django.core.management.execute_from_command_line(["", "runserver", "--noreload", "0"])
        """,
    ),
    "FastAPI": (
        "import fastapi, uvicorn\napp = fastapi.FastAPI()",
        "uvicorn.run(app, port=0)",
    ),
}


def lines_of(framework: str) -> str:
    """Get the lines that the README has for a framework."""
    [found] = [code for _, code in blocks_of(README) if code.startswith(f"# {framework}")]
    return found


@pytest.fixture(params=APPLICATIONS)
def example(request, tmp_path) -> Iterator[Example]:
    """Serve an application with these lines in it, on its framework's own server."""
    beginning, end = map(textwrap.dedent, APPLICATIONS[request.param])
    program = tmp_path / "app.py"
    program.write_text("\n".join([beginning, WORK, lines_of(request.param), end]))
    with Example([str(program)], tmp_path) as example:
        yield example


@pytest.mark.parametrize("framework", APPLICATIONS)
def test_six_lines_are_enough(framework):
    """With the imports, and without the name of the framework."""
    lines = [line for line in lines_of(framework).splitlines() if line and line[0] != "#"]
    assert len(lines) <= 6


def test_the_lines_for_a_framework_show_work(example):
    """As text, and in a browser as a page; each visit here is one more run, for it is over by then."""
    with example.ask("/train") as viewer:
        assert viewer.head()[0] == 200
        assert b"epoch 1\nepoch 2\n" in viewer.to_end()
    browser = {"Accept": "text/html,*/*;q=0.8", "Sec_Fetch_Mode": "navigate"}
    with example.ask("/train", **browser) as viewer:
        status, headers = viewer.head()
        assert status == 303
    for _ in range(2):
        with example.ask("/train" + headers["location"], **browser) as viewer:
            assert viewer.head()[1]["content-type"].startswith("text/html")
            assert b"epoch 2" in viewer.to_end()
    assert len(example.store.records()) == 2
