"""The pages on frameworks, and on uploads, can be typed as they stand."""

from pathlib import Path

import pytest

from tests.documents import perform
from tests.helpers import free_port

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "asgi.md": 3,
    "cherrypy.md": 3,
    "django.md": 3,
    "flask.md": 3,
    "http-server.md": 3,
    "wsgi.md": 3,
}


@pytest.mark.parametrize(("name", "count"), [*PAGES.items(), ("uploads.md", 4)])
def test_a_page_can_be_typed_as_it_stands(name, count, tmp_path):
    """Every command prints what is shown; only the port is another one."""
    page = tmp_path / name
    page.write_text((DOCS / name).read_text("utf-8").replace("8000", str(free_port())))
    assert perform(page, tmp_path) == count


def test_the_pages_have_the_same_headings():
    """What is known of one framework is found for another."""
    found = {
        tuple(line for line in (DOCS / name).read_text("utf-8").splitlines() if line[:3] == "## ")
        for name in PAGES
    }
    assert len(found) == 1
