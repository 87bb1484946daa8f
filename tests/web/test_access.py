"""Who may do what on the standalone server."""

import pytest

from outlive.web.access import Guard
from tests.web.sites import BROWSER, COOKIE, ENDED, LIVING, TOKEN, headers_of, make_client

HOST = "localhost:8765"
PAGE = f"/runs/{LIVING}"
BEARER = {"authorization": f"Bearer {TOKEN}"}
KNOWN = {"cookie": f"{COOKIE}={TOKEN}"}
OURS = {"origin": f"http://{HOST}"}
THEIRS = {"origin": "http://evil.example"}


def make_guarded(*, token=TOKEN, host="127.0.0.1"):
    """Make a client of a guarded site."""
    return make_client(guard=Guard(token=token, cookie=COOKIE, host=host))


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        (PAGE, {}, 401),
        (PAGE, BEARER, 200),
        (PAGE, {"authorization": f"bearer  {TOKEN}"}, 200),
        (PAGE, {"authorization": TOKEN}, 401),
        (PAGE, {"authorization": "Basic " + TOKEN}, 401),
        (PAGE, {"authorization": "Bearer "}, 401),
        (PAGE, {"authorization": "Bearer é"}, 401),
        (f"{PAGE}?token={TOKEN}", {}, 200),
        (f"{PAGE}?token=", {}, 401),
        (f"{PAGE}?token={TOKEN}x", {}, 401),
        (PAGE, KNOWN, 200),
        (PAGE, {"cookie": f"a=b; {COOKIE}={TOKEN}; c=d"}, 200),
        (PAGE, {"cookie": f"outlive-2={TOKEN}"}, 401),
        (PAGE, {"cookie": f"{COOKIE}=x"}, 401),
        (PAGE, {"cookie": "\0;;=;" + COOKIE}, 401),
        ("/", {}, 401),
        ("/nothing", {}, 401),
        ("/static/page.css", {}, 200),
    ],
)
def test_the_token_opens_a_server(url, headers, status):
    """In a header, in the URL or in the cookie; the page's own files need none."""
    response = make_guarded().ask(url, host=HOST, **headers)
    assert response.status == status
    assert ("www-authenticate" in headers_of(response)) == (status == 401)
    assert TOKEN.encode() not in (response.body if isinstance(response.body, bytes) else b"")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("127.0.0.1:8765", True),
        ("192.168.1.7:8765", True),
        ("[::1]:8765", True),
        ("[::1]", True),
        ("build.example:8765", True),
        ("Build.Example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:127.0.0.1", False),
        ("", False),
        ("build.example.evil", False),
        ("[build.example]", False),
    ],
)
def test_a_host_that_was_not_meant_is_refused(host, allowed):
    """A name of a stranger that leads here is DNS rebinding, whatever else is right."""
    for token, headers in ((TOKEN, BEARER), (None, {})):
        client = make_guarded(token=token, host="build.example")
        assert (client.ask(PAGE, host=host, **headers).status == 200) == allowed
        assert client.ask(PAGE, host=host, **headers).status in (200, 403)


# What accompanies a POST, and whether it is proof with a token and without one.
PROOFS = [
    ({}, False, True),
    (BEARER, True, True),
    (KNOWN, False, True),
    (OURS, False, True),
    ({**KNOWN, **OURS}, True, True),
    ({**KNOWN, **THEIRS}, False, False),
    ({**BEARER, **THEIRS}, False, False),
    ({**KNOWN, "origin": "null"}, False, False),
    ({**KNOWN, "origin": "http://localhost:1"}, False, False),
    ({**KNOWN, "sec_fetch_site": "same-origin"}, True, True),
    ({**KNOWN, "sec_fetch_site": "none"}, True, True),
    ({**KNOWN, "sec_fetch_site": "same-site"}, False, False),
    ({**KNOWN, "sec_fetch_site": "cross-site"}, False, False),
    ({**KNOWN, "sec_fetch_site": "cross-site", **OURS}, False, False),
    ({**KNOWN, "sec_fetch_site": "same-origin", **THEIRS}, True, True),
    ({"sec_fetch_site": "same-origin"}, False, True),
]


@pytest.mark.parametrize(("headers", "with_token", "without"), PROOFS)
def test_what_changes_something_needs_proof_that_it_was_meant(headers, with_token, without):
    """Fetch Metadata where present, else Origin, else the token in a header."""
    for token, proven in ((TOKEN, with_token), (None, without)):
        client = make_guarded(token=token)
        response = client.ask(f"{PAGE}/cancel", "POST", host=HOST, **headers)
        assert (response.status == 202) == proven
        assert response.status in (202, 401, 403)
        assert client.site.store.journal(LIVING).cancel_requested() == proven


def test_a_token_in_the_url_is_no_proof():
    """A stranger's form may have been given the whole URL."""
    client = make_guarded()
    response = client.ask(f"{PAGE}/cancel?token={TOKEN}", "POST", host=HOST)
    assert response.status == 403
    assert client.ask(f"{PAGE}/cancel?token={TOKEN}", "POST", host=HOST, **OURS).status == 202


@pytest.mark.parametrize("url", ["/", PAGE])
def test_a_page_exchanges_the_token_for_a_cookie(url):
    """A strict one, out of reach of scripts, for this browser alone."""
    response = make_guarded().ask(f"{url}?token={TOKEN}", host=HOST, accept=BROWSER)
    name, *attributes = headers_of(response)["set-cookie"].split("; ")
    assert name == f"{COOKIE}={TOKEN}"
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        *((f"/runs/{ENDED}?token={TOKEN}&format={name}", {}) for name in ("text", "sse", "json")),
        (f"/?token={TOKEN}&format=json", {}),
        (f"{PAGE}?format=page", BEARER),
        (f"{PAGE}?format=page", KNOWN),
        (f"{PAGE}?format=page&token=wrong", KNOWN),
        (f"/nothing?token={TOKEN}", {"accept": BROWSER}),
        (f"/static/page.css?token={TOKEN}", {"accept": BROWSER}),
    ],
)
def test_nothing_else_sets_a_cookie(url, headers):
    """Programs are answered directly."""
    assert "set-cookie" not in headers_of(make_guarded().ask(url, host=HOST, **headers))


def test_without_a_token_there_is_no_cookie():
    """And any given token opens what is open anyway."""
    client = make_guarded(token=None)
    response = client.ask(f"{PAGE}?token=x&format=page", host=HOST)
    assert response.status == 200
    assert "set-cookie" not in headers_of(response)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"sec_fetch_site": "same-origin"}, 202),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"origin": "http://evil.example", "host": "app.example"}, 403),
    ],
)
def test_no_other_site_cancels_where_an_application_decides(headers, status):
    """Its access hook may let in whoever has a cookie, and cannot see who made the browser ask."""
    assert make_client().ask(f"/runs/{LIVING}/cancel", "POST", **headers).status == status
