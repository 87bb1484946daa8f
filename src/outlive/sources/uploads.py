"""The file that a run receives: it lies in the run's own folder, and goes with the run's end."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path, PurePosixPath

from ..runs import OwnRun

__all__ = ["ReceivedFile", "Upload", "clean_name"]

#: Characters of a name that are kept.
NAME_LIMIT = 255


class ReceivedFile(io.BufferedReader):
    """A file that a run received, open for reading at its start.

    At the run's end it is closed and removed; work that wants to keep it moves `path` elsewhere.
    `name` is what its sender calls it, without a path and safe to be shown; `size` counts its bytes.
    """

    name: str = ""

    def __init__(self, path: Path, name: str, size: int) -> None:
        super().__init__(io.FileIO(path))
        self.name = name
        self.path = path
        self.size = size


class Upload:
    """Chunks that arrive for a run, put into a file of its own. All may raise OSError."""

    def __init__(self, run: OwnRun, name: str) -> None:
        self.size = 0
        self._run = run
        self._name = name
        # Its sender's name for it may be anything; its kind is what other programs go by.
        self._path = run.journal.make_folder() / f"upload{_suffix_of(name)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")

    def write(self, chunk: bytes) -> None:
        """Append what has arrived."""
        self._file.write(chunk)
        self.size += len(chunk)

    def finish(self) -> ReceivedFile:
        """Open what was received for reading, until the run's end."""
        self._file.close()
        file = ReceivedFile(self._path, self._name, self.size)
        self._run.before_end(file.close)
        return file

    def abort(self) -> None:
        """Let go of it; the run's end removes it."""
        # What it still held may not fit on the disk.
        with contextlib.suppress(OSError):
            self._file.close()


def clean_name(name: str) -> str:
    """Make a sender's name for a file one that can be shown: no path, nothing unprintable.

    Internet Explorer's and scripts' names may have a path of any system (RFC 7578, section 4.2).
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(char for char in last if char.isprintable())[:NAME_LIMIT].strip()
    return shown if shown.strip(".") else "upload"


def _suffix_of(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 16 else ""
