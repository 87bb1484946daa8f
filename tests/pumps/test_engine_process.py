"""The engine in a process of its own: it outlives its workers, and its death is no one's loss."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from outlive.entries import Kind
from outlive.errors import EngineError, TooManyViewers
from outlive.pumps.engine import CHUNKED, find_engine
from outlive.pumps.engine.gates import FOLDER, find_gate, name_gate
from outlive.pumps.engine.hosts import ThreadHost
from outlive.pumps.engine.processes import ProcessHost
from outlive.stores import DirectoryStore, MemoryStore
from tests.helpers import eventually
from tests.pumps.workers import (
    Client,
    Worker,
    begin_run,
    end_run,
    engines_of,
    hand_over,
    make_viewer,
    write_lines,
)

NUMBERS = [b"%d" % number for number in range(300)]


@pytest.fixture
def start(store) -> Iterator[Callable[..., Worker]]:
    """Give how to start workers."""
    workers: list[Worker] = []

    def start(*arguments: object, **env: str) -> Worker:
        workers.append(Worker(store.path, *arguments, **env))  # type: ignore[arg-type]
        return workers[-1]

    yield start
    for worker in workers:
        worker.end(signal.SIGKILL)


@pytest.fixture
def watch() -> Iterator[Callable[..., Client]]:
    """Give how to make clients."""
    with contextlib.ExitStack() as clients:
        yield lambda *arguments: clients.enter_context(closing(Client(*arguments)))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Give a socket that listens, as a server's main process has it, whatever becomes of workers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener


def test_viewers_outlive_the_workers_that_handed_them_over(store, start, watch, listener):
    """Two workers have one engine; when both are killed amid the stream, each line comes once."""
    writer = begin_run(store)
    workers = [start(listener), start(listener)]
    clients = [watch(listener.getsockname(), writer.journal.run) for _ in range(4)]
    write_lines(writer, range(150))
    for client in clients:
        client.wait_for(b"data: 149\n")
    # Who came second to start one may be about to leave.
    eventually(lambda: len(engines_of(store.path)) == 1)
    for worker in workers:
        worker.end(signal.SIGKILL)
    write_lines(writer, range(150, 300))
    end_run(writer)
    for client in clients:
        assert client.wait_for_end().endswith(b"\r\n0\r\n\r\n")
        assert client.lines() == NUMBERS


def test_the_death_of_an_engine_is_told_once_and_costs_no_line(store, start, watch, listener):
    """Viewers come again with their cursors, and the worker starts another."""
    writer = begin_run(store)
    worker = start(listener)
    clients = [watch(listener.getsockname(), writer.journal.run) for _ in range(3)]
    write_lines(writer, range(150))
    for client in clients:
        client.wait_for(b"data: 149\n")
    (engine,) = engines_of(store.path)
    os.kill(engine, signal.SIGKILL)
    for client in clients:
        client.wait_for_end()
        client.connect()
    write_lines(writer, range(150, 300))
    end_run(writer)
    for client in clients:
        client.wait_for_end()
        assert client.lines() == NUMBERS
    assert worker.told().count("died: another is started, its viewers reconnect") == 1
    assert "Traceback" not in worker.told()


def test_workers_that_start_at_once_have_one_engine(store, start, watch, listener):
    """Though what one left that was killed is in their way."""
    writer = begin_run(store)
    (store.path / FOLDER).mkdir()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale,
        find_gate(store.path) as address,
    ):
        stale.bind(address)
    workers = [start() for _ in range(4)]
    clients = [watch(worker.address, writer.journal.run) for worker in workers]
    for client in clients:
        client.wait_for(b"event: start\n")
    eventually(lambda: len(engines_of(store.path)) == 1)
    write_lines(writer, range(300))
    end_run(writer)
    for client in clients:
        client.wait_for_end()
        assert client.lines() == NUMBERS


def test_a_server_that_is_stopped_ends_its_streams_and_then_the_engine_leaves(store, start, watch):
    """But not those of another server, nor before nobody is there any more."""
    writer = begin_run(store)
    stopped, other = start(), start()
    clients = [watch(each.address, writer.journal.run) for each in (stopped, other)]
    for client in clients:
        client.wait_for(b"event: start\n")
    stopped.end()
    # A proper end: they come again by themselves.
    assert clients[0].wait_for_end().endswith(b"\r\n0\r\n\r\n")
    write_lines(writer, range(300))
    end_run(writer)
    clients[1].wait_for_end()
    assert clients[1].lines() == NUMBERS
    assert len(engines_of(store.path)) == 1
    clients[1].close()
    other.end()
    eventually(lambda: not engines_of(store.path))
    assert not (store.path / FOLDER / name_gate()[0]).exists()


def test_an_engine_that_is_asked_to_end_ends_its_streams_in_order(store, start, watch):
    """Completely where the client comes again by itself; and is gone itself."""
    writer = begin_run(store)
    worker = start()
    client = watch(worker.address, writer.journal.run)
    client.wait_for(b"event: start\n")
    (engine,) = engines_of(store.path)
    os.kill(engine, signal.SIGTERM)
    assert client.wait_for_end().endswith(b"\r\n0\r\n\r\n")
    eventually(lambda: not engines_of(store.path))


def test_an_engine_leaves_with_its_store(store, start, watch):
    """Nobody would find it any more."""
    writer = begin_run(store)
    worker = start()
    client = watch(worker.address, writer.journal.run)
    client.wait_for(b"event: start\n")
    shutil.rmtree(store.path)
    client.wait_for_end()
    eventually(lambda: not engines_of(store.path))


def test_a_forked_child_has_a_connection_of_its_own(store, host):
    """As under gunicorn's preload: neither takes the other's answers."""
    writer = begin_run(store)
    write_lines(writer, range(1))

    def check() -> None:
        for _ in range(100):
            with hand_over(host, store, writer.journal.run) as client:
                assert client.recv(99) == b"2\r\n0\n\r\n"

    with hand_over(host, store, writer.journal.run) as first:
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                check()
                os._exit(0)
            os._exit(1)
        try:
            check()
        finally:
            _, status = os.waitpid(child, 0)
        assert status == 0
        assert first.recv(99) == b"2\r\n0\n\r\n"
    assert len(engines_of(store.path)) == 1


def test_threads_hand_over_at_once(store, host):
    """Each gets its own answer, whoever leaves a seat meanwhile."""
    writer = begin_run(store)
    write_lines(writer, range(1))
    got: list[bytes] = []

    def work() -> None:
        for _ in range(10):
            with hand_over(host, store, writer.journal.run) as client:
                got.append(client.recv(99))

    seats = [host.take(None, "") for _ in range(2000)]

    def leave() -> None:
        for seat in seats:
            seat.leave()

    threads = [threading.Thread(target=each) for each in [work] * 4 + [leave]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == [b"2\r\n0\n\r\n"] * 40


def test_hostile_bytes_harm_nobody(store, start, host, watch):
    """Whoever sends them is let go, all others' streams go on, and a worker's log tells of it."""
    writer = begin_run(store)
    worker = start()
    watch(worker.address, writer.journal.run).wait_for(b"event: start\n")
    with hand_over(host, store, writer.journal.run) as client:
        for data in (b"", b"\0", b"\x80\x04.", b"x" * 100_000, b"cos\nnothing\n."):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hostile:
                with find_gate(store.path) as address:
                    hostile.connect(address)
                hostile.settimeout(30)
                socket.send_fds(hostile, [data], [0])
                with contextlib.suppress(ConnectionResetError):
                    assert hostile.recv(99) == b""
        write_lines(writer, range(1))
        assert client.recv(99) == b"2\r\n0\n\r\n"
    hand_over(host, store, writer.journal.run).close()
    assert worker.told().count("outlive engine: a message to the engine is no such") == 4


def test_descriptors_that_run_out_are_told(store, start, host, watch, listener):
    """Who cannot be served by the engine is by the worker; those it has are served on.

    Once there are some again, the next worker is let in.
    """
    writer = begin_run(store)
    start(listener, "prlimit", "--nofile=40:40", OUTLIVE_VIEWERS="1000")
    address, run = listener.getsockname(), writer.journal.run
    clients = [watch(address, run) for _ in range(40)]
    write_lines(writer, range(300))
    eventually(
        lambda: all(b"299" in client.read() or b"refused" in client.data for client in clients)
    )
    served = [client for client in clients if b"refused" not in client.data]
    assert 10 < len(served) < 40
    assert all(client.lines() == NUMBERS for client in served)
    refused = next(client for client in clients if b"refused" in client.data)
    assert b"open files" in refused.data
    with contextlib.ExitStack() as others:
        for _ in range(3):
            other = others.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            with find_gate(store.path) as path:
                other.connect(path)
        writer.append(Kind.OUT, b"300\n")
        for client in served:
            client.wait_for(b"data: 300\n")
    for client in served:
        client.close()

    def is_let_in() -> bool:
        host.forget()
        with contextlib.suppress(EngineError):
            hand_over(host, store, run).close()
            return True
        return False

    eventually(is_let_in)


def test_seats_are_counted_over_all_workers(store, host, monkeypatch):
    """They are free again with their viewers, or with the worker that handed nobody over."""
    monkeypatch.setenv("OUTLIVE_VIEWERS_PER_RUN", "2")
    other = ProcessHost(store.path)
    writer = begin_run(store)
    run = writer.journal.run
    ours, theirs = socket.socketpair()
    viewer = make_viewer(store.journal(run))
    viewer.seat = host.take(run, "")
    host.adopt(ours, viewer, CHUNKED)
    del viewer
    seat = other.take(run, "")
    with pytest.raises(TooManyViewers) as refusal:
        host.take(run, "")
    assert (refusal.value.limit, refusal.value.limited) == (2, "run")
    unnamed = host.take(None, "")
    with pytest.raises(TooManyViewers):
        unnamed.name_run(run)
    other.forget()
    eventually(lambda: takes(host, run))
    assert takes(host, run)
    with pytest.raises(TooManyViewers):
        unnamed.name_run(run) or host.take(run, "")
    theirs.close()
    eventually(lambda: takes(host, run))
    del seat


def takes(host: ProcessHost, run: str) -> bool:
    """Tell whether there is a seat, which is left at once."""
    try:
        host.take(run, "")
    except TooManyViewers:
        return False
    return True


def test_errors_are_told_where_a_worker_is(store, host):
    """And nowhere once none is: the pipe of a server that is gone must not stay open."""
    with hand_over(host, store, begin_run(store).journal.run):
        (engine,) = engines_of(store.path)

        errors = Path(f"/proc/{engine}/fd/2")
        assert errors.samefile("/proc/self/fd/2")
        host.forget()
        eventually(lambda: errors.samefile(os.devnull))


def test_a_store_may_lie_deep(tmp_path):
    """An address of a Unix socket has room for 107 bytes only."""
    store = DirectoryStore(tmp_path / ("x" * 100) / ("y" * 100))
    host = ProcessHost(store.path)
    writer = begin_run(store)
    write_lines(writer, range(1))
    with hand_over(host, store, writer.journal.run) as client:
        assert client.recv(99) == b"2\r\n0\n\r\n"
    host.forget()
    eventually(lambda: not engines_of(store.path))


@pytest.mark.parametrize(
    ("setting", "kind"), [("process", ProcessHost), ("thread", ThreadHost), ("off", type(None))]
)
def test_the_setting_says_where_the_engine_is(store, setting, kind, monkeypatch):
    """What is in memory no other process can send."""
    monkeypatch.setenv("OUTLIVE_ENGINE", setting)
    journal = begin_run(store).journal
    assert type(find_engine(journal)) is kind
    in_memory = begin_run(MemoryStore()).journal
    assert type(find_engine(in_memory)) is (type(None) if setting == "off" else ThreadHost)


def test_where_there_is_no_engine_adapters_can_be_imported_nevertheless():
    """Other systems have neither epoll nor the flags of Linux's sockets."""
    program = """
import select, socket, sys
sys.platform = "darwin"
for library, prefix in ((select, "epoll"), (select, "EPOLL"), (socket, "MSG_NOSIGNAL")):
    for name in [name for name in vars(library) if name.startswith(prefix)]:
        delattr(library, name)
import outlive.pumps.engine.exchanges, outlive.pumps.engine.interposing
assert outlive.pumps.engine.find_engine(None) is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)
