"""The files of the page."""

import re
from importlib.resources import files
from urllib.parse import urljoin

import pytest

from tests.web.sites import BROWSER, LIVING, body_of, headers_of, make_client

PAGES = {"/": "runs.html", f"/runs/{LIVING}": "run.html"}
NAMES = sorted(file.name for file in files("outlive.web").joinpath("page").iterdir())
ASSETS = [name for name in NAMES if not name.endswith(".html")]


def links_of(text: str) -> list[str]:
    """Find what a file of the page refers to."""
    return re.findall(r"""(?:href|src|from)\s*=?\s*"([^"#?][^"?]*)["?]""", text)


@pytest.mark.parametrize("prefix", ["", "/deep/prefix"])
@pytest.mark.parametrize("url", PAGES)
def test_whatever_a_page_refers_to_is_there_under_any_prefix(url, prefix):
    """All links are relative."""
    client = make_client()
    text = body_of(client.ask(url, accept=BROWSER)).decode()
    links = [link for link in links_of(text) if not link.startswith("http")]
    assert any("static/" in link for link in links)
    for link in links:
        target = urljoin(f"http://h{prefix}{url}", link).removeprefix("http://h")
        assert target.startswith(prefix)
        assert client.ask(target.removeprefix(prefix), accept=BROWSER).status == 200, link


@pytest.mark.parametrize("name", ASSETS)
def test_a_file_of_the_page_says_what_it_is(name):
    """And is asked for again at each visit, since an upgrade changes several at once."""
    response = make_client().ask(f"/static/{name}")
    headers = headers_of(response)
    types = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert response.status == 200
    assert headers["content-type"].partition(";")[0] == types[name.rpartition(".")[2]]
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert response.body


@pytest.mark.parametrize("name", [name for name in ASSETS if name.endswith(".js")])
def test_a_script_imports_only_what_is_served(name):
    """Modules name each other relatively."""
    client = make_client()
    text = body_of(client.ask(f"/static/{name}")).decode()
    for link in re.findall(r"""from "([^"]+)";""", text):
        assert client.ask(urljoin(f"/static/{name}", link)).status == 200


@pytest.mark.parametrize("url", PAGES)
def test_a_page_has_nothing_that_its_policy_forbids(url):
    """No inline script, style or handler."""
    text = body_of(make_client().ask(url, accept=BROWSER)).decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
