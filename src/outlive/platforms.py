"""What differs between operating systems: locks, notification, identity of processes.

Linux has it all. Elsewhere locks fall back to `flock`, notification to looking every 50 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import select
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .errors import ConfigError

__all__ = [
    "Process",
    "adopt_orphans",
    "describe_process",
    "disown_orphans",
    "exit_descriptor",
    "interpreter",
    "is_alive",
    "is_left",
    "is_locked",
    "keep_freed_memory",
    "list_processes",
    "locked",
    "network_filesystem",
    "reap_orphans",
    "release_lock",
    "take_lock",
    "watch",
]

#: Not by `hasattr`: the layout below is Linux's.
_OFD = sys.platform == "linux"
_FLOCK = struct.Struct("hhqqi4x")
_POLLFD = struct.Struct("ihh")
_POLL_SECONDS = 0.05
_MOUNTS = Path("/proc/self/mounts")
#: How blanks and the like are written there (fstab(5)).
_ESCAPE = re.compile(rb"\\([0-7]{3})")
#: Of malloc.h (glibc).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_SIZE = 16 * 1024 * 1024


def take_lock(fd: int, byte: int = 0) -> bool:
    """Lock a byte for the open file description behind `fd`; False where another one holds it.

    fcntl(2): such a lock belongs to the description, not to the process, so that it is inherited
    by a child and kept when some other descriptor of the same file is closed. Where only whole
    files can be locked, byte 0 stands for the file, and any other is free.
    """
    try:
        if _OFD:
            lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock)
        elif not byte:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def release_lock(fd: int, byte: int) -> None:
    """Unlock a byte; all are unlocked when the last descriptor is closed."""
    if _OFD:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))
    elif not byte:
        fcntl.flock(fd, fcntl.LOCK_UN)


@contextlib.contextmanager
def locked(fd: int, seconds: float) -> Iterator[bool]:
    """Hold the lock of a file that others hold for moments only, then close it.

    False where it could not be had within `seconds`: whoever has it may have been stopped.
    """
    _held.add(fd)
    try:
        yield _wait_for_lock(fd, seconds)
    finally:
        _held.discard(fd)
        # A process forked meanwhile may still have the descriptor: closing would not unlock.
        release_lock(fd, 0)
        os.close(fd)


def _wait_for_lock(fd: int, seconds: float) -> bool:
    # By looking again: no lock of fcntl(2) or flock(2) can be waited for with a limit.
    deadline, pause = time.monotonic() + seconds, 0.0002
    while not take_lock(fd):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        # Who waits longer must not look more seldom than who just came.
        pause = min(pause * 1.5, 0.002)
    return True


_held: set[int] = set()


def _close_held() -> None:
    """Leave locks to the parent: its death, not that of its children, must free them."""
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)


def is_locked(fd: int, byte: int = 0) -> bool:
    """Tell whether somebody else holds the lock; only `flock` has to take it for that."""
    if not _OFD:
        if byte:
            return False
        if not take_lock(fd):
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False
    lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, lock)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def describe_process(pid: int) -> dict[str, Any]:
    """Tell what identifies a process for as long as the machine is up."""
    return {"pid": pid, "started": _start_time(pid), "boot": _boot(), "space": _pid_space()}


def is_alive(process: dict[str, Any]) -> bool:
    """Tell whether the process described so may still live; True where one cannot know."""
    if not process or process.get("boot") != _boot():
        # Another boot of this machine, or another machine on the same files.
        return not process
    if process.get("space") != _pid_space():
        return True
    return _start_time(process["pid"]) == process.get("started")


def _start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process (proc(5), stat, field 22)."""
    _, fields = _stat_of(Path(f"/proc/{pid}/stat"))
    return int(fields[19]) if fields else None


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _pid_space() -> str:
    with contextlib.suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def exit_descriptor(pid: int) -> int:
    """Get a descriptor that becomes readable when a child exits; the caller closes it."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    reading, writing = os.pipe()

    def wait() -> None:
        # WNOWAIT leaves the child to be reaped by whoever started it.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(writing)

    threading.Thread(target=wait, name="outlive-exit", daemon=True).start()
    return reading


class Process(NamedTuple):
    """A process as the system lists it; `started` tells it from a later one of the same number."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    name: str


def list_processes() -> dict[int, Process]:
    """List all processes that are more than zombies; none where the system has no such list."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        head, fields = _stat_of(path)
        if fields:
            pid, _, name = head.partition(b" (")
            parent, group, session = map(int, fields[1:4])
            readable = "".join(c for c in name.decode(errors="replace") if c.isprintable())
            found[int(pid)] = Process(int(pid), parent, group, session, int(fields[19]), readable)
    return found


def _stat_of(path: Path) -> tuple[bytes, list[bytes]]:
    """Get a living process's number and name, and what stands behind them (proc(5), stat)."""
    with contextlib.suppress(OSError):
        head, _, rest = path.read_bytes().rpartition(b")")
        fields = rest.split()
        # A zombie does nothing any more, and is one for ever where process 1 does not reap orphans.
        if fields and fields[0] not in (b"Z", b"X"):
            return head, fields
    return b"", []


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own is gone; False where that cannot be.

    prctl(2), PR_SET_CHILD_SUBREAPER: whatever they do, they stay to be found, and to be reaped. A
    process that has children already could not tell these from what it adopts.
    """
    return sys.platform == "linux" and not _has_children() and _set_subreaper(1)


def disown_orphans() -> None:
    """Leave orphans to others again."""
    _set_subreaper(0)


def _set_subreaper(value: int) -> bool:
    return bool(_libc().prctl(36, value, 0, 0, 0) == 0)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap_orphans(spared: int) -> None:
    """Reap what was adopted and has ended; the status of the child `spared` is somebody else's."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == spared:
                return
            os.waitpid(ended.si_pid, 0)


def network_filesystem(path: Path) -> str | None:
    """Name the network file system that a path is on, if any: locks and notification fail there."""
    remote = {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs", "fuse.sshfs"}
    place = path.resolve()
    best, kind = 0, ""
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_bytes().splitlines():
            _, escaped, fstype, *_ = line.split(b" ")
            mount = Path(os.fsdecode(_ESCAPE.sub(lambda m: bytes([int(m[1], 8)]), escaped)))
            # Of two mounts at one place, the later hides the earlier.
            if place.is_relative_to(mount) and len(mount.parts) >= best:
                best, kind = len(mount.parts), os.fsdecode(fstype)
    return kind if kind in remote else None


def watch(folder: Path, callback: Callable[[], None], *, writes: bool = True) -> Callable[[], None]:
    """Call `callback`, from another thread, whenever a file in `folder` changes; returns a stop.

    Without `writes`, only when a file comes or goes.
    """
    try:
        return _watcher().add(folder, callback, writes=writes)
    except OSError:
        # The user's inotify watches are used up (fs.inotify.max_user_watches), or it is gone.
        return _poller().add(folder, callback, writes=writes)


class _Watcher:
    """One thread that tells folders' watchers of changes; here by looking again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, tuple[Path, set[Callable[[], None]]]] = {}
        self._numbers = itertools.count(1)
        threading.Thread(target=self._work, name="outlive-watcher", daemon=True).start()

    def add(
        self, folder: Path, callback: Callable[[], None], *, writes: bool
    ) -> Callable[[], None]:
        with self._lock:
            key = self._begin(folder, writes=writes)
            self._callbacks.setdefault(key, (folder, set()))[1].add(callback)

        def stop() -> None:
            with self._lock:
                _, callbacks = self._callbacks.get(key, (folder, set()))
                callbacks.discard(callback)
                if not callbacks and key in self._callbacks:
                    del self._callbacks[key]
                    self._finish(key)

        return stop

    def _tell(self, key: int) -> None:
        with self._lock:
            callbacks = list(self._callbacks.get(key, (None, ()))[1])
        for callback in callbacks:
            try:
                callback()
            except Exception:
                import logging

                # This thread serves all others, too.
                logging.getLogger("outlive").exception("a watcher failed")

    def _begin(self, folder: Path, *, writes: bool) -> int:  # noqa: ARG002 - it sees all changes
        return next(self._numbers)

    def _finish(self, key: int) -> None:
        """Nothing was begun."""

    def _work(self) -> None:
        seen: dict[int, Any] = {}
        pause = threading.Event()
        while not pause.wait(_POLL_SECONDS):
            with self._lock:
                folders = {key: folder for key, (folder, _) in self._callbacks.items()}
            before, seen = seen, {key: _fingerprint(folder) for key, folder in folders.items()}
            for key, now in seen.items():
                if before.get(key) != now:
                    self._tell(key)


def _fingerprint(folder: Path) -> list[tuple[str, int]] | None:
    with contextlib.suppress(OSError), os.scandir(folder) as files:
        return sorted((file.name, file.stat().st_size) for file in files)
    return None


class _InotifyWatcher(_Watcher):
    """The same through inotify(7), in microseconds and without looking."""

    _EVENT = struct.Struct("iIII")
    _NAMES = 0x100 | 0x80 | 0x200  # IN_CREATE, IN_MOVED_TO, IN_DELETE
    _WRITES = 0x2  # IN_MODIFY
    _OVERFLOW = 0x4000  # IN_Q_OVERFLOW: there were more events than the kernel keeps
    _ADD = 0x20000000  # IN_MASK_ADD: who watches a folder already goes on as before

    def __init__(self) -> None:
        self._libc = _libc()
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        super().__init__()

    def _begin(self, folder: Path, *, writes: bool) -> int:
        mask = self._ADD | self._NAMES | (self._WRITES if writes else 0)
        key: int = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), mask)
        if key < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(folder))
        return key

    def _finish(self, key: int) -> None:
        self._libc.inotify_rm_watch(self._fd, key)

    def _work(self) -> None:
        news = select.poll()
        news.register(self._fd, select.POLLIN)
        while True:
            # Under gevent, which replaces `select` and not `os`, to read would stop all others.
            news.poll()
            events = os.read(self._fd, 65536)
            keys, place = set(), 0
            while place < len(events):
                key, mask, _, size = self._EVENT.unpack_from(events, place)
                keys.add(key)
                if mask & self._OVERFLOW:
                    with self._lock:
                        keys.update(self._callbacks)
                place += self._EVENT.size + size
            for key in keys:
                self._tell(key)


_watchers: dict[type[_Watcher], _Watcher] = {}
_watchers_lock = threading.Lock()


def _watcher() -> _Watcher:
    return _one(_InotifyWatcher) if sys.platform == "linux" else _poller()


def _poller() -> _Watcher:
    return _one(_Watcher)


def _one(kind: type[_Watcher]) -> _Watcher:
    """Get this process's watcher."""
    with _watchers_lock:
        if kind not in _watchers:
            _watchers[kind] = kind()
        return _watchers[kind]


def _forget_watchers() -> None:
    """Begin anew in a forked child: it has no thread of its parent, one of which may hold the lock."""
    global _watchers_lock  # noqa: PLW0603 - as said
    _watchers_lock = threading.Lock()
    _watchers.clear()


os.register_at_fork(after_in_child=_forget_watchers)


def is_left(fd: int) -> bool:
    """Tell whether the other end of a connection has closed it, whatever is still to be read.

    Where that cannot be asked, a half-closed one looks open until something is written to it.
    """
    if fd < 0:
        return True
    # Not `select.poll`: in its place gevent has one that knows nothing of hang-ups.
    asked = ctypes.create_string_buffer(_POLLFD.pack(fd, getattr(select, "POLLRDHUP", 0), 0))
    return bool(_libc().poll(asked, 1, 0) > 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def keep_freed_memory() -> None:
    """Keep what large buffers leave free, instead of asking the kernel again for each of them.

    Otherwise a server takes the faults of all their pages at each turn: a quarter of a replay's
    time. What is kept is at most 16 MiB.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = _libc().mallopt
        # mallopt(3), of glibc alone.
        mallopt(_M_MMAP_THRESHOLD, _KEPT_SIZE)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_SIZE)


def interpreter() -> str:
    """Find Python; in a server that embeds it, `sys.executable` is that server."""
    if "python" in Path(sys.executable or "").name:
        return sys.executable
    beside = [Path(prefix) / "bin" / "python3" for prefix in (sys.prefix, sys.base_prefix)]
    found = [path for path in beside if os.access(path, os.X_OK)]
    if not found:
        raise ConfigError(f"there is no Python at {beside[0]} to start a process with")
    return str(found[0])
