"""A channel carries entries of any size, in order, from a process and what it forks."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.channels import Channel, ChannelEnd, Message
from outlive.entries import End, Kind, State
from tests.helpers import eventually


@pytest.fixture
def pair():
    """Make both sides of a channel."""
    channel, end = make_pair()
    yield channel, end
    channel.close()


def make_pair():
    """Make both sides of a channel in this process."""
    channel = Channel()
    return channel, ChannelEnd(os.dup(channel.other.fileno()))


def receive(channel, count):
    """Receive and answer so many messages."""
    found: list[Message] = []
    while len(found) < count:
        found.append(eventually(channel.receive))
        channel.answer(found[-1])
    return found


kinds = st.sampled_from([Kind.OUT, Kind.ERR, Kind.LOG, Kind.STAGE, Kind.EVENT])
sizes = st.one_of(st.integers(0, 100), st.sampled_from([65_535, 65_536, 65_537, 200_000]))


@given(st.lists(st.tuples(kinds, sizes, st.integers(0, 1000)), max_size=8))
def test_messages_arrive_whole_and_in_order(sent):
    """However long they are."""
    channel, end = make_pair()
    messages = [
        (kind, bytes([i % 256]) * size, origin) for i, (kind, size, origin) in enumerate(sent)
    ]
    sender = threading.Thread(target=lambda: [end.send(*message) for message in messages])
    sender.start()
    assert [tuple(one)[:3] for one in receive(channel, len(messages))] == messages
    sender.join()
    channel.close()


def test_a_sender_waits_for_its_answer(pair):
    """What it does next is behind what was written for it."""
    channel, end = pair
    done = threading.Event()

    def send():
        end.send(Kind.EVENT, b"{}")
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    message = eventually(channel.receive)
    assert not done.wait(0.05)
    channel.answer(message)
    sender.join(30)
    assert done.is_set()


def test_several_threads_and_a_fork_do_not_mix(pair):
    """Parts of one payload never meet those of another."""
    channel, end = pair
    child = os.fork()
    if child == 0:
        for _ in range(20):
            end.send(Kind.OUT, b"c" * 150_000)
        os._exit(0)
    threads = [
        threading.Thread(target=lambda i=i: [end.send(Kind.OUT, b"%d" % i * 150_000) for _ in range(20)])
        for i in range(3)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    payloads = [one.payload for one in receive(channel, 80)]
    for thread in threads:
        thread.join(30)
    os.waitpid(child, 0)
    assert sorted(payloads) == sorted(
        x * 150_000 for x in (b"0", b"1", b"2", b"c") for _ in range(20)
    )


def test_an_end_is_remembered(pair):
    """It is no entry: the supervisor has its own say."""
    channel, end = pair
    sender = threading.Thread(target=lambda: end.send(Kind.END, End(State.FAILED, 3).encode()))
    sender.start()
    eventually(lambda: channel.receive() or channel.told)
    sender.join(30)
    assert channel.told == End(State.FAILED, 3)


def test_without_supervisor_nothing_happens(pair):
    """A child whose supervisor was killed is not held up."""
    channel, end = pair
    channel.close()
    end.send(Kind.EVENT, b"{}")
