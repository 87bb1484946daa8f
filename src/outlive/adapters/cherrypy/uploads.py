"""Uploads in CherryPy: one file of a form goes to a run, by a part that stands for its file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

import cherrypy
from cherrypy._cpreqbody import Part

from ...errors import UploadFailed
from ...runs import Run
from ...work.receptions import CHUNK_SIZE, ReceiveOptions, Reception, no_file
from ..base import comes_in_form
from ..environs import LongReception
from .requests import current_request
from .sessions import save_session

__all__ = ["receive"]


def receive(
    function: Callable[..., object],
    *args: object,
    field: str | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Receive the file that the current request brings, and start a function with it, as one run.

    All who watch the run or the activity see the bytes arrive, where the page handler is configured
    with `request.process_request_body` False; otherwise CherryPy calls it when all are there. The
    rest of a form is afterwards in `cherrypy.request.params`. What does not arrive whole is
    answered with an error, and starts nothing. See `outlive.receive`.

    Args:
        function: What to do with the file.
        args: What else to call it with.
        field: Which file of a form; by default the first. Of a request without a form, the body is
            the file, as `curl -T` sends it.
        options: Those of `outlive.receive`; `server.max_request_body_size` is a limit, too.
    """
    was_locked = save_session()
    try:
        return _receive_body(field, partial(LongReception, function, *args, **options))
    except UploadFailed as error:
        raise _Refusal(error.status, str(error)) from None
    finally:
        if was_locked:
            cherrypy.serving.session.acquire_lock()


def _receive_body(field: str | None, begin: Callable[..., Reception]) -> Run:
    request = current_request()
    if not comes_in_form(request.headers, field):
        with begin(name="upload", size=request.body.length) as reception:
            return reception.read(request.body.fp)
    if request.process_request_body:
        return _receive_parsed(field, begin)
    return _receive_form(field, partial(begin, size=request.body.length))


def _receive_parsed(field: str | None, begin: Callable[..., Reception]) -> Run:
    for name, values in cherrypy.serving.request.body.params.items():
        for part in values if isinstance(values, list) else [values]:
            if isinstance(part, Part) and part.filename and field in (None, name):
                with begin(name=_name_of(part)) as reception:
                    return reception.read(part.file)
    raise no_file(field)


def _receive_form(field: str | None, begin: Callable[..., Reception]) -> Run:
    """Have CherryPy parse the form, but one file of it is received by a run."""
    body = cherrypy.serving.request.body
    with contextlib.ExitStack() as stack:
        receptions: list[Reception] = []

        class ReceivedPart(Part):
            def make_file(self) -> Any:  # noqa: ANN401 - as CherryPy has it
                if receptions or not self.filename or field not in (None, self.name):
                    return super().make_file()
                receptions.append(stack.enter_context(begin(name=_name_of(self))))
                return _Received(receptions[0])

        body.part_class = ReceivedPart
        try:
            body.process()
        except (ConnectionError, EOFError, TimeoutError, ValueError) as error:
            raise UploadFailed(f"the form is damaged: {error}") from None
        if not receptions:
            raise no_file(field)
        return receptions[0].finish()


def _name_of(part: Any) -> str:  # noqa: ANN401 - CherryPy has no types
    """Get a file's name: browsers write it as UTF-8, which CherryPy takes for Latin-1."""
    name: str = part.filename
    with contextlib.suppress(UnicodeError):
        return name.encode("latin-1").decode()
    return name


class _Received:
    """Stands for the file where parts of the form have one: its bytes are the run's."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        # CherryPy gives line by line.
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, line: bytes) -> None:
        """Take some."""
        self._waiting.append(line)
        self._size += len(line)
        if self._size >= CHUNK_SIZE:
            self._flush()

    def _flush(self) -> None:
        self._reception.write(b"".join(self._waiting))
        self._waiting, self._size = [], 0

    def seek(self, place: int) -> None:  # noqa: ARG002 - as a file has it
        """Take the rest: where CherryPy has written all, it goes back to the beginning."""
        self._flush()


class _Refusal(cherrypy.HTTPError):
    """Tells in one line why nothing was received."""

    def set_response(self) -> None:
        """Answer."""
        super().set_response()
        response = cherrypy.serving.response
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        response.body = f"{self.args[1]}\n".encode()
        response.headers.pop("Content-Length", None)
