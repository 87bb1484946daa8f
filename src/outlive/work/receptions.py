"""Uploads as the beginning of a run: its first stage are the bytes that arrive.

Adapters push what arrives, as it arrives, so that everybody sees the bar move:

    with Reception(function, *args, name="data.csv", size=about, **options) as reception:
        for chunk in chunks:
            reception.write(chunk)
        return reception.finish()

The run is there from the first line on; `finish` starts the function, with a `ReceivedFile` as its
first argument. Where that is not reached, by whatever exception, or `abort` is called, the run has
failed, nothing was started, and nothing is left on the disk. Each may block as a file does; `finish`
starts an `async` function on the loop that runs where it is called. `size` is for the bar, and may
be that of the whole request: that a request was cut short is for the framework to notice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, Self, TypedDict, Unpack

from ..entries import End, Kind, RunRecord, State
from ..errors import ConfigError, UploadFailed
from ..runs import OwnRun, Run, claim_run, find_run
from ..settings import application_store
from ..sources.stages import Stage
from ..sources.uploads import Upload, clean_name
from ..stores import Store
from ..surroundings import around_work
from .captures import Options
from .functions import Call, begin, check_function
from .interrupts import HeldInterrupts
from .outcomes import judge, write_text

__all__ = ["CHUNK_SIZE", "ReceiveOptions", "Reception", "no_file", "receive"]

#: Bytes that are read of a file at a time.
CHUNK_SIZE = 64 * 1024


class ReceiveOptions(TypedDict, total=False):
    """The options of `start` that a run which receives has, too, and its own."""

    title: str | None
    key: str | None
    labels: Mapping[str, str] | None
    owner: str | None
    store: Store | str | os.PathLike[str] | None
    echo: bool
    level: int | None
    formatter: logging.Formatter | None
    limit: int | None


class Readable(Protocol):
    """A file, an upload of a framework, or anything else that gives bytes until there are none."""

    def read(self, size: int, /) -> bytes: ...


def receive(
    file: Readable,
    function: Callable[..., object],
    *args: object,
    name: str | None = None,
    size: int | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Read a file to its end, and start a function with it, as one run; returns that.

    The bytes that come are the run's first stage, `received`, for everybody to see. The function
    gets, before `args`, a file that belongs to the run: open for reading, with its `name`, `path`
    and `size`; it is removed at the run's end. Where the file does not come whole, the run has
    failed, nothing is started and nothing kept: raises UploadFailed, or what reading raised.

    Args:
        file: What is read, by the thread that calls; an upload in a framework's view for example.
        function: What to do with it.
        args: What else to call it with.
        name: What the file is called; by default what it says itself, otherwise `upload`.
        size: Its bytes, where they are known: no more are read, and fewer are a failure.
        options: Those of `start`, but for `isolation`; the title is by default the file's name.
            With a `key` of which a run lives, that is returned and nothing is read. `limit`: the
            bytes that the file may have.
    """
    named = name or getattr(file, "filename", None) or getattr(file, "name", None)
    shown = named if isinstance(named, str) else "upload"
    with Reception(function, *args, name=shown, size=size, **options) as reception:
        return reception.read(file)


def no_file(field: str | None = None) -> UploadFailed:
    """Tell whoever sent a request what it lacks; `field` is the one that a view asks for."""
    where = f"a file in its field {field!r}" if field else "a file"
    return UploadFailed(
        f"no file came: send a form (multipart/form-data) with {where}, or only a file"
    )


def _read(file: Readable, size: int) -> bytes:
    chunk = file.read(size)
    if not isinstance(chunk, bytes | bytearray | memoryview):
        raise ConfigError(f"a file to receive gives bytes when it is read, not {chunk!r:.100}")
    return chunk


class Reception:
    """A run that receives a file, and then works with it.

    Where a run of the key lives, `run` is that one, and what comes is left out.
    """

    def __init__(
        self,
        function: Callable[..., object],
        *args: object,
        name: str,
        size: int | None = None,
        limit: int | None = None,
        title: str | None = None,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        owner: str | None = None,
        store: Store | str | os.PathLike[str] | None = None,
        echo: bool = False,
        level: int | None = None,
        formatter: logging.Formatter | None = None,
    ) -> None:
        check_function(function)
        if not isinstance(limit, int | None):
            raise ConfigError(f"limit: give a number of bytes, not {limit!r:.100}")
        self._function, self._args = function, args
        self._options = Options(echo, level, formatter).check()
        self._around = around_work()
        self._size, self._limit = size, limit
        #: Bytes that have come.
        self.received = 0
        self._upload: Upload | None = None
        self._failure: UploadFailed | None = None
        place, shown = application_store(store), clean_name(name)
        # As for `start`: a Ctrl-C here would leave a run without work.
        with HeldInterrupts():
            claimed = claim_run(place, key=key, title=title or shown, labels=labels, owner=owner)
            if isinstance(claimed, RunRecord):
                self.run = find_run(place, claimed.id)
                return
            self.run = claimed
            self._open(claimed, shown)

    def _open(self, run: OwnRun, name: str) -> None:
        self._own = run
        try:
            run.collect(echo=self._options.echo)
            self._stage = Stage(run, "received", None).announce(self._size, "bytes")
            self._upload = Upload(run, name)
        except OSError as error:
            raise self._fail(_unkept(error)) from None
        except BaseException as error:
            # There may be too many threads already.
            run.end(judge(run, error))
            raise

    def write(self, chunk: bytes) -> None:
        """Take what has arrived; raises UploadFailed, and from then on it is in vain."""
        if self._failure is not None:
            raise self._failure
        if self._upload is None:
            return
        if self._limit is not None and self._upload.size + len(chunk) > self._limit:
            raise self._fail(UploadFailed(f"the upload is larger than {_show(self._limit)}", 413))
        if self._own.cancelled:
            self._own.was_told = True
            raise self._fail(self._ended("was cancelled", 409))
        try:
            self._upload.write(chunk)
        except OSError as error:
            raise self._fail(_unkept(error)) from None
        self.received = self._upload.size
        self._stage.update(self.received)

    def read(self, file: Readable) -> Run:
        """Take all of a file, and finish; raises UploadFailed, also where it is shorter than `size`."""
        try:
            while self._upload is not None and (chunk := _read(file, self._wanted())):
                self.write(chunk)
        except ConnectionError:
            # Whoever sends it has gone.
            self.abort()
        if self._size is not None and self.received < self._size:
            self.abort()
        return self.finish()

    def _wanted(self) -> int:
        # Behind a body, a connection that is kept would have one wait for the next request.
        return CHUNK_SIZE if self._size is None else min(CHUNK_SIZE, self._size - self.received)

    def finish(self) -> Run:
        """Start the function with the file, which has come whole; raises UploadFailed."""
        if self._failure is not None:
            raise self._failure
        if self._upload is None:
            return self.run
        try:
            file = self._upload.finish()
        except OSError as error:
            raise self._fail(_unkept(error)) from None
        self._upload = None
        self._stage.announce(file.size, None).leave(done=True)
        work = partial(self._function, file, *self._args)
        begin(self._own, Call(work, self._options, self._around))
        return self.run

    def abort(self) -> None:
        """Give up what has not come whole; after the end, do nothing."""
        if self._upload is not None:
            self._fail(self._ended("ended"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _ended(self, how: str, status: int = 400) -> UploadFailed:
        counts = (self.received,) if self._size is None else (self.received, self._size)
        return UploadFailed(f"the upload {how} after {_show(*counts)}", status)

    def _fail(self, failure: UploadFailed) -> UploadFailed:
        """End the run before any work; returns why, to be raised."""
        if self._upload is not None:
            self._upload.abort()
        self._upload, self._failure = None, failure
        write_text(self._own, Kind.ERR, f"{failure}\n".encode())
        state = State.CANCELLED if self._own.was_told else State.FAILED
        self._own.end(End(state, error=str(failure)))
        return failure


def _unkept(error: OSError) -> UploadFailed:
    return UploadFailed(f"the upload cannot be kept: {error.strerror}", 507)


def _show(*counts: int) -> str:
    """Write how much of how much that is, as in `3.1 of 10 MB`."""
    units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]
    unit, scale = next((each for each in units if max(counts) >= each[1]), ("bytes", 1))
    return " of ".join(f"{round(count / scale, 1):g}" for count in counts) + f" {unit}"
