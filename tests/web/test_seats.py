"""One viewer too many is told to come again, and a place is free once its viewer is gone."""

import gc
import json

import pytest

from outlive import seats
from outlive.errors import TooManyViewers
from outlive.pumps.blocking import BlockingPump
from outlive.web.answers import complete
from outlive.web.messages import Request, Response, Stream
from tests.web.sites import ENDED, LIVING, Client, body_of, headers_of, make_client

PLACES = 3


@pytest.fixture(autouse=True)
def empty(monkeypatch) -> None:
    """Let no other test's viewers count."""
    monkeypatch.setattr(seats, "_own", seats.SeatTable())


@pytest.fixture
def client(monkeypatch) -> Client:
    """Make a site where three can watch at once."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", str(PLACES))
    return make_client()


def watch(client: Client, count: int = 1, address: str = "") -> list[Response]:
    """Ask for streams, and keep them."""
    return [client.ask(f"/runs/{LIVING}?format=sse", address=address) for _ in range(count)]


def pump_of(response: Response) -> BlockingPump:
    """Make the pump of a stream."""
    assert isinstance(response.body, Stream)
    return BlockingPump(*response.body)


def is_full(client: Client) -> bool:
    """Ask for a stream, and forget it."""
    return client.ask(f"/runs/{LIVING}?format=text").status == 503


def test_one_too_many_is_told_to_come_again(client):
    """In one line that says why."""
    viewers = watch(client, PLACES)
    assert [viewer.status for viewer in viewers] == [200] * PLACES
    (refused,) = watch(client)
    assert refused.status == 503
    assert headers_of(refused)["retry-after"] == "5"
    assert body_of(refused).decode() == (
        "as many watch here as may at once (3; OUTLIVE_VIEWERS sets it): try again soon\n"
    )
    refused = client.ask("/activity", accept="application/json")
    assert refused.status == 406
    refused = client.ask("/activity?format=ndjson", accept="application/json")
    assert json.loads(body_of(refused))["error"].startswith("as many watch here")


@pytest.mark.parametrize(("method", "again"), [("GET", "5"), ("POST", None)])
def test_a_browser_that_shows_a_refusal_comes_again(method, again):
    """By itself, as the page does; but what it posted it would only ask for."""

    def refuse() -> Response:
        raise TooManyViewers(PLACES)

    refused = complete(Request(method=method, path="/train"), refuse)
    assert (refused.status, headers_of(refused).get("refresh")) == (503, again)


def test_each_run_has_a_limit_of_its_own(client, monkeypatch):
    """One that everybody watches keeps nobody from another; the activity is no run."""
    monkeypatch.setenv("OUTLIVE_VIEWERS_PER_RUN", "1")
    monkeypatch.setenv("OUTLIVE_VIEWERS", "4")
    viewers = watch(client)
    refused = client.ask(f"/runs/{LIVING}?format=text")
    assert (refused.status, headers_of(refused)["retry-after"]) == (503, "5")
    assert body_of(refused).decode() == (
        "as many watch this run as may at once (1; OUTLIVE_VIEWERS_PER_RUN sets it): "
        "try again soon\n"
    )
    viewers += [client.ask(f"/runs/{ENDED}?format=sse")]
    viewers += [client.ask("/activity?format=sse") for _ in range(2)]
    assert [viewer.status for viewer in viewers] == [200] * 4
    assert b"OUTLIVE_VIEWERS sets" in body_of(client.ask("/activity?format=sse"))


def test_each_address_has_a_limit_of_its_own(client, monkeypatch):
    """One that tells none of its own, as through a Unix socket, has no other than all."""
    monkeypatch.setenv("OUTLIVE_VIEWERS_PER_ADDRESS", "1")
    monkeypatch.setenv("OUTLIVE_VIEWERS", "4")
    first, second = "192.0.2.1", "2001:db8::1"
    viewers = watch(client, address=first)
    for url in (f"/runs/{ENDED}?format=text", "/activity?format=sse"):
        refused = client.ask(url, address=first)
        assert (refused.status, headers_of(refused)["retry-after"]) == (503, "5")
        assert body_of(refused).decode() == (
            "as many watch from this address as may at once (1; OUTLIVE_VIEWERS_PER_ADDRESS "
            "sets it): try again soon\n"
        )
    viewers += watch(client, address=second) + watch(client, 2)
    assert [viewer.status for viewer in viewers] == [200] * 4
    assert b"OUTLIVE_VIEWERS sets" in body_of(*watch(client, address="192.0.2.3"))
    viewers.clear()
    assert watch(client, address=first)[0].status == 200


def test_what_is_no_stream_needs_no_place(client):
    """Pages, records, lists, and the answer to who has everything."""
    viewers = watch(client, PLACES)
    for url in ("/", f"/runs/{LIVING}?format=page", f"/runs/{LIVING}?format=json"):
        assert client.ask(url).status == 200
    assert is_full(client)
    del viewers
    assert not is_full(client)


def test_a_head_holds_no_place(client):
    """Nothing follows it, and it needs none."""
    for _ in range(2 * PLACES):
        assert client.ask(f"/runs/{LIVING}?format=sse", "HEAD").status == 200
    viewers = watch(client, PLACES)
    assert client.ask(f"/runs/{LIVING}?format=sse", "HEAD").status == 200
    del viewers


def test_what_was_closed_holds_no_place(client):
    """Though whoever served it still has it, and whether or not it had begun."""
    pumps = [pump_of(viewer) for viewer in watch(client, PLACES)]
    next(pumps[0])
    for pump in pumps[:2]:
        assert is_full(client)
        pump.close()
        pump.close()
        pumps.append(pump_of(*watch(client)))
    assert is_full(client)


def test_what_came_to_its_end_holds_no_place(client):
    """Of its own accord."""
    pumps = [pump_of(client.ask(f"/runs/{ENDED}?format=text")) for _ in range(PLACES)]
    assert is_full(client)
    assert list(pumps[0])
    assert not is_full(client)


@pytest.mark.parametrize("begun", [False, True])
def test_what_was_dropped_holds_no_place(client, begun):
    """Not every server closes what it iterates over."""
    pumps = [pump_of(viewer) for viewer in watch(client, PLACES)]
    if begun:
        next(pumps[-1])
    assert is_full(client)
    pumps.pop()
    gc.collect()
    assert not is_full(client)
