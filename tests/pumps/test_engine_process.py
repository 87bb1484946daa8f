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

from outlive.entries import BEGINNING, Kind
from outlive.errors import EngineError, TooManyViewers
from outlive.feeds import find_feed
from outlive.formats.text import TextFormat
from outlive.pumps.engine import CHUNKED, find_engine
from outlive.pumps.engine.gates import FOLDER, find_gate, name_gate
from outlive.pumps.engine.hosts import ThreadHost
from outlive.pumps.engine.messages import HandOver, encode
from outlive.pumps.engine.processes import ProcessHost, find_process
from outlive.stores import DirectoryStore, MemoryStore, Store
from outlive.viewers import Viewer
from tests.helpers import eventually, few_descriptors
from tests.pumps.workers import (
    Client,
    Worker,
    begin_run,
    end_run,
    engines_of,
    make_viewer,
    write_lines,
)

NUMBERS = [b"%d" % number for number in range(300)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectoryStore]:
    """Give an empty store; end whatever engine it has."""
    store = DirectoryStore(tmp_path / "store")
    yield store
    for pid in engines_of(store.path):
        os.kill(pid, signal.SIGKILL)


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
def host(store, monkeypatch) -> Iterator[ProcessHost]:
    """Give the host of the store's engine; this process is a worker then, and a patient one."""
    monkeypatch.setattr("outlive.pumps.engine.processes.ANSWER_SECONDS", 30)
    host = find_process(store.path)
    yield host
    host.forget()


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


def hand_over(host: ProcessHost, store: Store, run: str, form: str = "text") -> socket.socket:
    """Have a viewer's socket handed over by this process; gives the client's end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    try:
        host.adopt(ours, make_viewer(store.journal(run), form), CHUNKED)
    except EngineError:
        ours.close()
        theirs.close()
        raise
    return theirs


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


def kill_engine(store: DirectoryStore) -> None:
    """Kill the one that is there."""
    (engine,) = engines_of(store.path)
    os.kill(engine, signal.SIGKILL)
    eventually(lambda: not engines_of(store.path))


def test_who_is_handed_over_as_an_engine_dies_is_begun_by_the_next(store, host):
    """The one that took it, and no other, is told that it may begin."""
    writer = begin_run(store)
    write_lines(writer, range(1))
    hand_over(host, store, writer.journal.run).close()
    kill_engine(store)
    with hand_over(host, store, writer.journal.run) as client:
        assert client.recv(99) == b"2\r\n0\n\r\n"


def test_a_seat_that_went_with_its_engine_is_no_trouble_of_the_next(store, host, caplog):
    """Work may take long to start: meanwhile anything may have happened."""
    run = begin_run(store).journal.run
    seat = host.take(None, "")
    kill_engine(store)
    seat.name_run(run)
    seat.leave()
    host.take(run, "").leave()
    assert caplog.text.count("died") == 1
    assert "no engine for" not in caplog.text


def test_who_is_interrupted_amid_a_question_gets_no_answer_later(store, host):
    """As by a signal that limits the time of a view: what is asked next has its own answer."""
    viewer = make_viewer(store.journal(begin_run(store).journal.run))
    host.take(None, "").leave()
    (engine,) = engines_of(store.path)

    def interrupt() -> None:
        eventually(host._lock.locked)
        os.kill(os.getpid(), signal.SIGUSR1)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGUSR1, fail)
    os.kill(engine, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(ZeroDivisionError):
            host.take(None, "")
        thread.join(30)
    finally:
        os.kill(engine, signal.SIGCONT)
        signal.signal(signal.SIGUSR1, before)
    assert ask_without_descriptor(host, viewer) == "the engine has no descriptor left"


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


def ask_without_descriptor(host: ProcessHost, viewer: Viewer) -> str:
    """Hand a viewer over without its socket; gives why that is refused."""
    with host._asking():
        return host._ask(encode(HandOver.of(viewer, CHUNKED, b"", None))).refusal


def test_an_engine_that_does_not_answer_is_left_alone(store, host):
    """Its worker goes on by itself, and nothing is sent twice when it wakes up."""
    writer = begin_run(store)
    write_lines(writer, range(1))
    hand_over(host, store, writer.journal.run).close()
    (engine,) = engines_of(store.path)
    assert host._link is not None
    host._link.sock.settimeout(0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        viewer = make_viewer(store.journal(writer.journal.run), "text")
        os.kill(engine, signal.SIGSTOP)
        try:
            with pytest.raises(EngineError, match="does not answer"):
                host.adopt(ours, viewer, CHUNKED)
            with pytest.raises(EngineError, match="a short while ago"):
                host.take(None, "")
        finally:
            os.kill(engine, signal.SIGCONT)
        host._retry_at = 0.0
        assert ask_without_descriptor(host, viewer).startswith("the engine has no descriptor")
        ours.sendall(b"by the worker")
        ours.close()
        assert theirs.recv(99) == b"by the worker"
        assert theirs.recv(99) == b""


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


def test_what_comes_without_its_descriptor_is_refused(store, host):
    """The kernel drops it where the engine has none left for it."""
    viewer = make_viewer(store.journal(begin_run(store).journal.run))
    assert ask_without_descriptor(host, viewer) == "the engine has no descriptor left"


def test_another_version_has_an_engine_of_its_own(store, host, monkeypatch):
    """What they tell each other need not be understood by any other."""
    writer = begin_run(store)
    with hand_over(host, store, writer.journal.run):
        monkeypatch.setattr("outlive.__version__", "0.0.0")
        host.forget()
        monkeypatch.setattr("outlive.pumps.engine.processes.START_SECONDS", 0.5)
        # It is of this version nevertheless, and told to be found by that name.
        with pytest.raises(EngineError, match=r"no engine: .* in time"):
            hand_over(host, store, writer.journal.run)


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


def test_a_worker_without_descriptors_goes_on_by_itself(store, host):
    """It has none to find the engine by."""
    with few_descriptors(), pytest.raises(EngineError, match="open files"):
        host.take(None, "")


def test_errors_are_told_where_a_worker_is(store, host):
    """And nowhere once none is: the pipe of a server that is gone must not stay open."""
    with hand_over(host, store, begin_run(store).journal.run):
        (engine,) = engines_of(store.path)

        errors = Path(f"/proc/{engine}/fd/2")
        assert errors.samefile("/proc/self/fd/2")
        host.forget()
        eventually(lambda: errors.samefile(os.devnull))


def test_each_version_in_each_place_has_a_gate_and_a_lock(monkeypatch):
    """Of its own: what one tells its engine another need not understand."""
    gates = [name_gate()]
    with monkeypatch.context() as patch:
        patch.setattr("outlive.__version__", "0.0.0")
        gates.append(name_gate())
    monkeypatch.setattr("outlive.pumps.engine.gates.__file__", "/elsewhere/gates.py")
    gates.append(name_gate())
    names, locks = map(set, zip(*gates, strict=True))
    assert len(names) == len(locks) == 3


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


def test_what_only_its_own_process_can_send_stays_there(store, host):
    """A format that asks who may see what, and one that cannot be written down."""
    writer = begin_run(store)
    for name, value in (("asks", True), ("secret", lambda: None)):
        form = TextFormat(writer.journal.run, (99, name))
        setattr(form, name, value)
        feed = find_feed(store.journal(writer.journal.run), form)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            with pytest.raises(EngineError):
                host.adopt(ours, Viewer(feed, feed.begin(BEGINNING), b"", 0.0), CHUNKED)
            ours.sendall(b"still here")
            assert theirs.recv(99) == b"still here"


def test_what_cannot_be_started_is_told_once(store, host, monkeypatch, caplog):
    """And not tried again for each viewer."""
    monkeypatch.setattr("outlive.platforms.interpreter", lambda: "/nothing/here")
    writer = begin_run(store)
    for _ in range(3):
        with pytest.raises(EngineError):
            hand_over(host, store, writer.journal.run)
    assert caplog.text.count("no engine for") == 1


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
