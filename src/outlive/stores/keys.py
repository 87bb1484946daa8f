"""Which run of a directory has a key: one small file per key, locked while it is decided."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from .. import platforms
from ..errors import JournalUnavailable
from .base import Claim

__all__ = ["claim_key", "forget_key"]

#: Deciding takes a few milliseconds; a process that was stopped in between holds up the others.
WAIT_SECONDS = 10.0
#: Of a run's id.
_SIZE = 20
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class _FileClaim(Claim):
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self) -> str:
        return os.pread(self._fd, _SIZE, 0).decode("latin-1")

    def write(self, run: str) -> None:
        os.pwrite(self._fd, run.encode(), 0)


@contextlib.contextmanager
def claim_key(folder: Path, key: str) -> Iterator[Claim]:
    """Claim a key whose file is in `folder`; raises JournalUnavailable where one cannot."""
    path, is_there = _path_of(folder, key), False
    while not is_there:
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
        with platforms.locked(fd, WAIT_SECONDS) as held:
            if not held:
                raise JournalUnavailable(
                    f"another process has been claiming the key {key!r} for {WAIT_SECONDS:.0f} s: "
                    "continue or end it"
                )
            # It may have been removed before it was locked.
            is_there = _is_same(fd, path)
            if is_there:
                yield _FileClaim(fd)


def forget_key(folder: Path, key: str, run: str) -> None:
    """Remove the file of a key, unless another run than `run` has it, or claims it now."""
    path = _path_of(folder, key)
    with contextlib.suppress(OSError):
        fd = os.open(path, _FLAGS)
        with platforms.locked(fd, 0) as held:
            if held and _FileClaim(fd).read() == run:
                path.unlink()


def _path_of(folder: Path, key: str) -> Path:
    # Keys are the user's: of any length, and with any character.
    return folder / sha256(key.encode(errors="surrogatepass")).hexdigest()[:40]


def _is_same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
