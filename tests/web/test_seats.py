"""One viewer too many is told to come again, and a place is free once its viewer is gone."""

import gc
import json
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from outlive.errors import ConfigError, TooManyViewers
from outlive.pumps.blocking import BlockingPump
from outlive.settings import viewer_limit
from outlive.web.messages import Response, Stream
from outlive.web.seats import Seat
from tests.web.sites import ENDED, LIVING, Client, body_of, headers_of, make_client

PLACES = 3


@pytest.fixture(autouse=True)
def empty(monkeypatch) -> None:
    """Let no other test's viewers count."""
    monkeypatch.setattr(Seat, "_taken", set())


@pytest.fixture
def client(monkeypatch) -> Client:
    """Make a site where three can watch at once."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", str(PLACES))
    return make_client()


def watch(client: Client, count: int = 1) -> list[Response]:
    """Ask for streams, and keep them."""
    return [client.ask(f"/runs/{LIVING}?format=sse") for _ in range(count)]


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
        "as many watch here as can at once (3 in this process): try again soon\n"
    )
    refused = client.ask("/activity", accept="application/json")
    assert refused.status == 406
    refused = client.ask("/activity?format=ndjson", accept="application/json")
    assert json.loads(body_of(refused))["error"].startswith("as many watch here")


def test_what_is_no_stream_needs_no_place(client):
    """Pages, records, lists, and the answer to who has everything."""
    viewers = watch(client, PLACES)
    for url in ("/", f"/runs/{LIVING}?format=page", f"/runs/{LIVING}?format=json"):
        assert client.ask(url).status == 200
    assert is_full(client)
    del viewers
    assert not is_full(client)


def test_a_head_holds_no_place(client):
    """Nothing follows it."""
    for _ in range(2 * PLACES):
        assert client.ask(f"/runs/{LIVING}?format=sse", "HEAD").status == 200


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


def test_no_place_is_given_twice():
    """Of many threads that come at once, as many find one as there are."""

    def come(seat: Seat) -> bool:
        start.wait()
        try:
            seat.take(10)
        except TooManyViewers:
            return False
        return True

    start = threading.Barrier(30)
    wanting = [Seat() for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        assert sum(pool.map(come, wanting)) == 10


def test_a_place_is_taken_once():
    """A view takes it before it starts work."""
    seat, other = Seat(), Seat()
    seat.take(2)
    seat.take(2)
    other.take(2)


def test_a_forked_child_has_no_viewers_yet(client):
    """Those of its parent are not its own."""
    viewers = watch(client, PLACES)
    child = os.fork()
    if not child:
        os._exit(is_full(client))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_full(client)
    del viewers


def test_the_limit_is_the_users_the_servers_or_a_sane_one(monkeypatch):
    """In this order; what is no number is refused with a reason."""
    monkeypatch.delenv("OUTLIVE_VIEWERS", raising=False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 4096))
    assert (viewer_limit(None), viewer_limit(7)) == (1000, 7)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert (viewer_limit(None), viewer_limit(7)) == (512, 7)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert viewer_limit(None) == 1000
    monkeypatch.setenv("OUTLIVE_VIEWERS", "20")
    assert (viewer_limit(None), viewer_limit(7)) == (20, 20)
    monkeypatch.setenv("OUTLIVE_VIEWERS", "many")
    with pytest.raises(ConfigError, match="OUTLIVE_VIEWERS: give a number, not 'many'"):
        viewer_limit(7)
