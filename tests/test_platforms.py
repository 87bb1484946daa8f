"""What the operating system is asked for: locks, processes, and news of changes."""

import os
import select
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from outlive import platforms
from outlive.platforms import describe_process, is_alive, is_locked, take_lock
from tests.helpers import eventually
from tests.journals.model import count_calls


@pytest.fixture(params=["_InotifyWatcher", "_Watcher"], ids=["notified", "polling"])
def watcher(request) -> platforms._Watcher:
    """Make a watcher of each kind."""
    return getattr(platforms, request.param)()


def test_a_process_is_alive_until_it_ends():
    """A process is known by its number and its start: another one of that number is not it."""
    process = subprocess.Popen(["sleep", "600"])
    facts = describe_process(process.pid)
    assert is_alive(facts)
    assert not is_alive(facts | {"started": facts["started"] + 1})
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(facts), "a zombie writes nothing"
    process.wait()
    assert not is_alive(facts)


def test_what_cannot_be_known_may_be_alive():
    """Of another boot nothing lives; of another process namespace nothing can be told."""
    facts = describe_process(os.getpid())
    assert not is_alive(facts | {"boot": "another"})
    assert is_alive(facts | {"space": "another", "started": 1})
    assert is_alive({})


@pytest.mark.parametrize("ofd", [True, False])
def test_a_lock_belongs_to_one_description(tmp_path, monkeypatch, ofd):
    """Of several who open a file one has the lock, until it closes it; looking changes nothing."""
    if not ofd:
        monkeypatch.setattr(platforms, "_OFD", False)
    path = tmp_path / "lock"
    path.touch()
    with path.open("r+b") as first, path.open("r+b") as second, path.open("rb") as reader:
        assert not is_locked(reader.fileno())
        assert take_lock(first.fileno())
        assert is_locked(reader.fileno())
        assert is_locked(second.fileno())
        assert not take_lock(second.fileno())
        # Unlike a lock of the process, it survives the closing of another description.
        second.close()
        assert is_locked(reader.fileno())
        first.close()
        assert not is_locked(reader.fileno())


def test_changes_are_told(watcher, tmp_path):
    """Who watches a folder hears of files that come, grow and go, and of no other folder."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    calls, callback = count_calls()
    others, other = count_calls()
    stop = watcher.add(here, callback, writes=True)
    stop_other = watcher.add(there, other, writes=True)
    # A watcher that polls may tell of the beginning.
    (there / "y").touch()
    eventually(lambda: others)
    path = here / "x"
    for change in (path.touch, lambda: path.write_text("x"), path.unlink):
        del calls[:]
        change()
        eventually(lambda: calls)
    stop()
    stop()
    del calls[:], others[:]
    path.write_text("again")
    (there / "x").touch()
    eventually(lambda: others)
    assert not calls
    stop_other()


def test_several_may_watch_one_folder(watcher, tmp_path):
    """Each hears of changes until it stops, also where they call the folder by other names."""
    folder = tmp_path / "folder"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder)
    counts = [count_calls() for _ in range(3)]
    paths = (folder, link, folder)
    stops = [
        watcher.add(path, callback, writes=True)
        for path, (_, callback) in zip(paths, counts, strict=True)
    ]
    for i, stop in enumerate(stops):
        for calls, _ in counts:
            del calls[:]
        (folder / str(i)).touch()
        for calls, _ in counts[i:]:
            eventually(lambda: calls)  # noqa: B023
        stop()
    stops[0]()
    assert not watcher._callbacks


def test_who_waits_for_names_is_not_woken_by_writes(tmp_path):
    """A writer that waits to be cancelled is not woken by what it writes itself."""
    watcher = platforms._InotifyWatcher()
    file = (tmp_path / "x").open("ab", buffering=0)
    calls, callback = count_calls()
    stop = watcher.add(tmp_path, callback, writes=False)
    file.write(b"x")
    file.close()
    (tmp_path / "cancel").touch()
    eventually(lambda: calls)
    assert len(calls) == 1
    stop()


def test_no_news_is_lost_when_there_is_too_much_of_it(tmp_path):
    """When the kernel drops events, all who watch are told to look."""
    watcher = platforms._InotifyWatcher()
    loud, quiet = tmp_path / "loud", tmp_path / "quiet"
    loud.mkdir()
    quiet.mkdir()
    told, go_on, busy = threading.Event(), threading.Event(), threading.Event()

    def be_busy() -> None:
        busy.set()
        assert go_on.wait(60)

    stops = [
        watcher.add(loud, be_busy, writes=True),
        watcher.add(quiet, told.set, writes=True),
    ]
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    files = [(loud / name).open("wb", buffering=0) for name in "ab"]
    assert busy.wait(60)
    for _ in range(limit // 2 + 100):
        for file in files:
            file.write(b"x")
    (quiet / "x").touch()
    go_on.set()
    assert told.wait(60)
    for file in files:
        file.close()
    for stop in stops:
        stop()


def test_without_watches_folders_are_looked_at(tmp_path, monkeypatch):
    """Where the limit on watches is reached, news come all the same."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "no watches left")

    monkeypatch.setattr(platforms._InotifyWatcher, "_begin", refuse)
    calls, callback = count_calls()
    stop = platforms.watch(tmp_path, callback)
    (tmp_path / "x").touch()
    eventually(lambda: calls)
    stop()


def test_the_end_of_a_child_can_be_waited_for():
    """A descriptor becomes readable when a child exits, and the child can still be reaped."""
    process = subprocess.Popen(["sh", "-c", "exit 3"])
    fd = platforms.exit_descriptor(process.pid)

    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLHUP)
    assert poll.poll(30_000)
    os.close(fd)
    assert process.wait() == 3


@pytest.mark.parametrize("unread", [b"", b"x"])
def test_a_connection_tells_that_its_other_end_has_gone(unread):
    """Also before what it sent is read, and not while it may send."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    with served:
        client.sendall(unread)
        assert not platforms.is_left(served.fileno())
        client.close()
        eventually(lambda: platforms.is_left(served.fileno()))


def test_a_connection_that_was_closed_here_is_left():
    """A server may have done so already."""
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    assert platforms.is_left(ours.fileno())
