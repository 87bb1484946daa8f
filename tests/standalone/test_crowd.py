"""A crowd of viewers of one run, who come and go: each gets every line, once."""

import random
import threading

import pytest

from outlive.entries import Kind
from tests.event_streams import EventStream
from tests.helpers import eventually
from tests.standalone.servers import RUN, SUCCEEDED, Connection, Served, serving


class Wanderer:
    """A viewer who leaves in the middle of anything, and comes back with what it got last."""

    def __init__(self, served: Served, seed: int) -> None:
        self.lines: list[str] = []
        self._served = served
        self._random = random.Random(seed)
        self._cursor = ""
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        is_over = False
        while not is_over:
            with self._served.connect() as connection:
                headers = {"Last-Event-ID": self._cursor} if self._cursor else {}
                # In HTTP/1.0 a body has no chunks.
                connection.ask(f"/runs/{RUN}?format=sse", version="1.0", **headers)
                connection.head()
                is_over = self._read(connection, self._random.choice([1, 10, 300, 3000]))

    def _read(self, connection: Connection, count: int) -> bool:
        """Read about so many events; tells whether the end was among them."""
        stream, data = EventStream(), bytes(connection.received)
        while count > 0:
            for event in stream.feed(data):
                self._cursor = event.last_id or self._cursor
                self.lines += [event.data] if event.name == "message" else []
                count -= 1
                if event.name == "end":
                    return True
            data = connection.more()
            assert data, "only behind the end is there nothing more"
        return False

    def join(self) -> None:
        """Wait until it has the end."""
        self._thread.join(300)
        assert not self._thread.is_alive()


def follow(wanderer: Wanderer, lines: int) -> None:
    """Wait until a viewer has so many lines."""
    eventually(lambda: len(wanderer.lines) >= lines)


def wander(viewers: int, lines: int) -> None:
    """Let viewers wander while lines are written, in pieces that end anywhere."""
    text = b"".join(b"%d %b\n" % (number, b"x" * (number % 90)) for number in range(lines))
    chance = random.Random(1)
    with serving() as served:
        wanderers = [Wanderer(served, seed) for seed in range(viewers)]
        place = 0
        while place < len(text):
            size = chance.choice([1, 20, 100, 1000, 30_000])
            served.writer.append(Kind.OUT, text[place : place + size])
            place += size
            # Now and then the head is waited for; others are anywhere.
            if chance.random() < 0.3:
                follow(chance.choice(wanderers), text.count(b"\n", 0, place))
        served.writer.close(SUCCEEDED)
        for wanderer in wanderers:
            wanderer.join()
    expected = text.decode().splitlines()
    assert all(wanderer.lines == expected for wanderer in wanderers)


def test_who_comes_and_goes_gets_every_line_once():
    """Whether he meets the others within a line, behind, or at the head."""
    wander(20, 20_000)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_large_crowd_comes_and_goes():
    """The same for long, and with more of them."""
    wander(100, 100_000)
