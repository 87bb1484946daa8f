"""Which representation a client gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.web.negotiation import best_match
from tests.web.sites import BROWSER, ENDED, LIVING, make_client, shape_of


@pytest.mark.parametrize(
    ("accept", "shape"),
    [
        (None, "text"),
        ("", "text"),
        (" , ,", "text"),
        ("*/*", "text"),
        (BROWSER, "page"),
        ("text/html", "page"),
        ("TEXT/HTML", "page"),
        ("text/event-stream", "sse"),
        ("application/json", "json"),
        ("application/json, text/plain, */*", "text"),
        ("application/x-ndjson", "ndjson"),
        ("text/*", "text"),
        ("application/*", "ndjson"),
        ("text/plain;q=0, */*", "sse"),
        ("text/plain;q=0.5, text/html;q=0.6", "page"),
        ("text/*;q=0.3, text/html;q=0.7, text/plain;level=1, */*;q=0.5", "text"),
        ("text/html;q=x, application/json", "json"),
        ("application/json;q=7, text/plain", "text"),
        ("application/json;q=nan, text/html;q=0.1", "page"),
        ("application/json ; Q=0.9 , text/html; q=0.8", "json"),
        ("garbage, application/json", "json"),
    ],
)
def test_a_run_comes_as_the_client_accepts_it(accept, shape):
    """Of what it likes equally well, it gets what Outlive offers first."""
    headers = {} if accept is None else {"accept": accept}
    assert shape_of(make_client().ask(f"/runs/{ENDED}", **headers)) == shape


@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "garbage", "text/html;q=0", ";;;"])
@pytest.mark.parametrize("url", ["/", f"/runs/{LIVING}"])
def test_a_client_that_accepts_nothing_of_ours_is_told(url, accept):
    """406, with what there would be."""
    response = make_client().ask(url, accept=accept)
    assert response.status == 406
    assert b"json" in response.body


@pytest.mark.parametrize("shape", ["text", "html", "sse", "ndjson", "entries", "json", "page"])
def test_the_url_beats_the_header(shape):
    """`?format=` is for links, and for browsers, whose headers cannot be chosen."""
    response = make_client().ask(f"/runs/{LIVING}?format={shape}", accept=BROWSER)
    assert (response.status, shape_of(response)) == (200, shape)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [(BROWSER, "text/html"), ("*/*", "text/html"), ("application/json", "application/json")],
)
def test_the_list_is_a_page_or_json(accept, media_type):
    """A program asks for JSON."""
    response = make_client().ask("/", accept=accept)
    assert dict(response.headers)["Content-Type"].partition(";")[0] == media_type


@given(accept=st.text() | st.text(alphabet="*/;,=q. 019ax"))
def test_no_header_is_too_strange(accept):
    """Whatever a client accepts, it is something that was offered, or nothing."""
    assert best_match(accept, ("text/plain", "application/json")) in (
        "text/plain",
        "application/json",
        None,
    )
