"""Send without letting go of the GIL, which comes back late where another thread computes."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from socket import MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_WR

__all__ = [
    "COUNT",
    "FLAGS",
    "NO_MEMORY",
    "check",
    "close",
    "drain",
    "glance",
    "push",
    "register",
    "send",
    "shut",
    "unregister",
    "wake",
]

#: Never to wait, and never to be killed by SIGPIPE. The socket itself stays as its server made it.
FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL

# Of PyDLL, what is called keeps the GIL: measured beside one computing thread, 2.8 times the sends
# of `socket.send`; alone, the same.
_libc = ctypes.PyDLL(None, use_errno=True)

#: send(fd, bytes, size, FLAGS), for the head: without declared types a call costs 0.5 µs less.
push = _libc["send"]

_send_from = _libc["send"]
_send_from.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_send_from.restype = ctypes.c_ssize_t

_write = _libc["write"]
_ONE = (1).to_bytes(8, "little")

_FULL = {errno.EAGAIN, errno.EWOULDBLOCK}
#: No room in the kernel, whatever room there is in the socket: nothing tells when to try again.
NO_MEMORY = {errno.ENOBUFS, errno.ENOMEM, errno.EINTR}


def check(sent: int) -> int:
    """Tell how many bytes went; none where there is no room. Raises OSError."""
    if sent >= 0:
        return sent
    code = ctypes.get_errno()
    if code in _FULL:
        return 0
    raise OSError(code, os.strerror(code))


def send(fd: int, data: bytes, begin: int) -> int:
    """Send what is behind `begin`, as much as there is room for."""
    if not begin:
        return check(push(fd, data, len(data), FLAGS))
    address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
    return check(_send_from(fd, address + begin, len(data) - begin, FLAGS))


def wake(fd: int) -> None:
    """Add one to an eventfd; who writes lines must not lose the GIL by telling of them."""
    _write(fd, _ONE, 8)


def shut(fd: int) -> None:
    """Close for sending. A thousand streams that end at once must not wait 5 ms each."""
    _libc.shutdown(fd, SHUT_WR)


def drain(fd: int) -> bool:
    """Take and forget what came, of a flood a part; gives whether more may come."""
    for _ in range(_DRAUGHTS):
        got = _libc.recv(fd, _room, len(_room), MSG_DONTWAIT)
        if got <= 0:
            return bool(got < 0 and ctypes.get_errno() in _FULL | NO_MEMORY)
    return True


def close(fd: int) -> None:
    """Close a descriptor."""
    _libc.close(fd)


def register(epoll: int, fd: int, events: int) -> None:
    """Have an epoll watch a socket, until that is closed; raises OSError."""
    check(_libc.epoll_ctl(epoll, _ADD, fd, _EVENT.pack(events, fd)))


def unregister(epoll: int, fd: int) -> None:
    """Have an epoll forget a socket: by itself it would do so only when the last copy is closed."""
    _libc.epoll_ctl(epoll, _DELETE, fd, None)


_DELETE = 2  # EPOLL_CTL_DEL
_ADD = 1  # EPOLL_CTL_ADD, which Python does not name
_epoll_wait = _libc["epoll_wait"]
_EVENT = struct.Struct("=IQ" if platform.machine() == "x86_64" else "=I4xQ")
#: Events of one look: to drop so many takes some milliseconds.
COUNT = 256
_DRAUGHTS = 100
_room = ctypes.create_string_buffer(_EVENT.size * COUNT)


def glance(epoll: int) -> list[tuple[int, int]]:
    """See what happened to the sockets of an epoll, and wait for nothing."""
    found = check(_epoll_wait(epoll, _room, COUNT, 0))
    data = ctypes.string_at(_room, found * _EVENT.size)
    return [(fd & 0x7FFFFFFF, event) for event, fd in _EVENT.iter_unpack(data)]
