"""Who may watch at once, in all, one run, and from one address; a model says who is refused."""

import contextlib
import gc
import os
import random
import resource
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive import seats, settings
from outlive.errors import ConfigError, TooManyViewers
from outlive.seats import Limits, OwnSeats, Seat, SeatTable, read_limits
from outlive.stores import MemoryStore

OPTIONS = (settings.VIEWERS, settings.VIEWERS_PER_RUN, settings.VIEWERS_PER_ADDRESS)
HOSTS = ("192.0.2.1", "2001:db8::1", "fe80::1%eth0")
NOBODY = ("", "<local>", "localhost")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch) -> None:
    """Let no limit hold but those of the test."""
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


def try_to_take(table: SeatTable, run: str | None, address: str, limits: Limits) -> Seat | None:
    """Take a seat, or none."""
    try:
        return table.take(run, address, limits)
    except TooManyViewers:
        return None


class Model:
    """A plain list of who sits, with their run and address, beside a table."""

    def __init__(self, limits: Limits) -> None:
        self.table = SeatTable()
        self.limits = limits
        self.sitting: list[list[Any]] = []

    def is_free(self, run: str | None, address: str) -> bool:
        """Count who sits there, where that has a limit."""
        same_run = sum(run == other for _, other, _ in self.sitting) if run else 0
        same_host = [other for _, _, other in self.sitting if other == address in HOSTS]
        counts = (len(self.sitting), same_run, len(same_host))
        return all(
            most is None or count < most for count, most in zip(counts, self.limits, strict=True)
        )

    def take(self, run: str | None, address: str) -> None:
        """Take a seat, if there should be one."""
        expected = self.is_free(run, address)
        seat = try_to_take(self.table, run, address, self.limits)
        assert (seat is not None) == expected
        if seat is not None:
            self.sitting.append([seat, run, address])

    def name(self, run: str, number: int) -> None:
        """Name the run of somebody who had none."""
        seat, known, _ = self.sitting[number % len(self.sitting)]
        if known is not None:
            return
        most, others = self.limits.per_run, sum(run == other for _, other, _ in self.sitting)
        if most is not None and others >= most:
            with pytest.raises(TooManyViewers):
                seat.name_run(run)
        else:
            seat.name_run(run)
            self.sitting[number % len(self.sitting)][1] = run

    def leave(self, times: int, number: int) -> None:
        """Leave twice, once, or not at all: as garbage, a seat is free as well."""
        seat, *_ = self.sitting.pop(number % len(self.sitting))
        for _ in range(times):
            seat.leave()


limit = st.none() | st.integers(1, 4)
runs = st.sampled_from("ab")
steps = st.one_of(
    st.tuples(st.just("take"), st.none() | runs, st.sampled_from(HOSTS + NOBODY)),
    st.tuples(st.just("name"), runs, st.integers(0, 20)),
    st.tuples(st.just("leave"), st.integers(0, 2), st.integers(0, 20)),
)


@given(st.builds(Limits, limit, limit, limit), st.lists(steps, max_size=60))
def test_whoever_comes_and_goes_no_limit_is_exceeded_and_no_seat_lost(limits, steps):
    """A seat is given if, and only if, a plain count of those who sit allows it."""
    model = Model(limits)
    for what, first, second in steps:
        if what == "take" or model.sitting:
            getattr(model, what)(first, second)


def test_no_seat_is_given_twice():
    """Of many threads that come at once, as many find one as there are."""
    table, start = SeatTable(), threading.Barrier(30)

    def come(number: int) -> Seat | None:
        start.wait()
        return try_to_take(table, "a", f"192.0.2.{number % 6}", Limits(None, 10, 2))

    with ThreadPoolExecutor(30) as pool:
        taken = [seat for seat in pool.map(come, range(30)) if seat is not None]
    assert len(taken) == 10


def test_seats_are_left_and_taken_by_many_threads_at_once():
    """However they come to be free, all are, in the end."""
    table, limits = SeatTable(), Limits(20, 5, 5)

    def come_and_go(number: int) -> None:
        dice = random.Random(number)
        mine: list[Seat] = []
        for _ in range(300):
            seat = try_to_take(table, dice.choice("abcd"), dice.choice(HOSTS), limits)
            mine += [] if seat is None else [seat]
            if mine and dice.random() < 0.5:
                gone = mine.pop()
                if dice.random() < 0.5:
                    gone.leave()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))
    everybody = [table.take("abcd"[number // 5], "", limits) for number in range(20)]
    assert try_to_take(table, None, "", limits) is None
    del everybody


def test_a_seat_is_left_amid_anything():
    """Garbage may be collected while a seat is taken, in the same thread."""

    class Circle:
        """Only a collection finds it."""

        def __init__(self, seat: Seat) -> None:
            self.seat, self.me = seat, self

    table, limits = SeatTable(), Limits(3)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            Circle(table.take("a", HOSTS[0], Limits(None, 1000, 1000)))
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    everybody = [table.take("a", "", limits) for _ in range(3)]
    assert try_to_take(table, "a", "", limits) is None
    del everybody


def test_a_seat_is_small():
    """There may be many thousands of viewers."""
    table, limits = SeatTable(), Limits(10_000, 10_000)
    table.take("a", "", limits)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        everybody = [table.take("a", "", limits) for _ in range(1000)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(everybody) < 200


def test_a_forked_child_has_no_viewers_yet(monkeypatch):
    """Those of its parent are not its own, and leave a table of the parent's."""
    monkeypatch.setenv("OUTLIVE_VIEWERS", "2")
    monkeypatch.setattr(seats, "_own", SeatTable())
    journal = MemoryStore().activity()
    mine = [OwnSeats().take(journal, None, "") for _ in range(2)]
    child = os.fork()
    if not child:
        wrong = True
        with contextlib.suppress(TooManyViewers):
            theirs = [OwnSeats().take(journal, None, "") for _ in range(2)]
            mine.clear()
            try:
                OwnSeats().take(journal, None, "")
            except TooManyViewers:
                wrong = len(theirs) != 2
        os._exit(wrong)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(TooManyViewers):
        OwnSeats().take(journal, None, "")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(in_all=1), "as many watch here as may at once (1; OUTLIVE_VIEWERS sets it)"),
        (Limits(per_run=1), "watch this run as may at once (1; OUTLIVE_VIEWERS_PER_RUN sets it)"),
        (
            Limits(per_address=1),
            "from this address as may at once (1; OUTLIVE_VIEWERS_PER_ADDRESS sets it)",
        ),
    ],
)
def test_a_refusal_tells_which_limit_it_was_and_what_sets_it(limits, told):
    """By the name of an option that there is."""
    table = SeatTable()
    seat = table.take("a", HOSTS[0], limits)
    with pytest.raises(TooManyViewers) as caught:
        table.take("a", HOSTS[0], limits)
    assert told in str(caught.value)
    assert str(caught.value).endswith(": try again soon")
    assert sum(f"{option.variable} sets it" in told for option in OPTIONS) == 1
    seat.leave()
    table.take("a", HOSTS[0], limits)


def test_the_limit_in_all_is_the_users_the_servers_or_a_sane_one(monkeypatch):
    """In this order; and half of the files that may be open."""

    def in_all(capacity: int | None) -> int | None:
        return read_limits().within(capacity).in_all

    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 4096))
    assert (in_all(None), in_all(1000), in_all(7)) == (2048, 1000, 7)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert (in_all(None), in_all(1000), in_all(7)) == (512, 512, 7)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert (in_all(None), in_all(7)) == (None, 7)
    monkeypatch.setenv("OUTLIVE_VIEWERS", "20")
    assert (in_all(None), in_all(7)) == (20, 20)


def test_a_thousand_watch_in_a_process_that_tells_nothing(monkeypatch):
    """So many threads do no harm."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    monkeypatch.setattr(seats, "_own", SeatTable())
    journal = MemoryStore().activity()
    everybody = [OwnSeats().take(journal, None, "") for _ in range(1000)]
    with pytest.raises(TooManyViewers, match="1,000"):
        OwnSeats().take(journal, None, "")
    del everybody


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
@pytest.mark.parametrize("text", ["many", "-1", "1.5", "²"])
def test_what_is_no_number_is_refused(option, text, monkeypatch):
    """With the name of what is set, and what it is set to."""
    monkeypatch.setenv(option.variable, text)
    with pytest.raises(ConfigError, match=f"^{option.variable}: give a number, not '{text}'$"):
        read_limits()
