"""Uploads in Flask: one file of a form goes to a run, by a parser as Flask has them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import IO, Any, Unpack, cast

import flask
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import File

from ...errors import UploadFailed
from ...runs import Run
from ...work.receptions import ReceiveOptions, Reception, no_file
from ..base import comes_in_form
from ..environs import LongReception

__all__ = ["receive"]


def receive(
    function: Callable[..., object],
    *args: object,
    field: str | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Receive the file that the current request brings, and start a function with it, as one run.

    All who watch the run or the activity see the bytes arrive. The rest of a form is afterwards
    where it always is, in `request.form` and `request.files`. What does not arrive whole is
    answered with an error, and starts nothing. See `outlive.receive`.

    Args:
        function: What to do with the file.
        args: What else to call it with.
        field: Which file of a form; by default the first. Of a request without a form, the body is
            the file, as `curl -T` sends it.
        options: Those of `outlive.receive`; Flask's MAX_CONTENT_LENGTH is a limit, too.
    """
    try:
        if comes_in_form(flask.request.headers, field):
            return _receive_form(field, partial(LongReception, function, *args, **options))
        size = flask.request.content_length
        with LongReception(function, *args, name="upload", size=size, **options) as reception:
            return reception.read(flask.request.stream)
    except UploadFailed as error:
        flask.abort(flask.Response(f"{error}\n", error.status, mimetype="text/plain"))


def _receive_form(field: str | None, begin: Callable[..., Reception]) -> Run:
    """Parse the form; where that was done before, a check against forgery for example, read the file."""
    if "files" in vars(flask.request):
        return _receive_parsed(field, begin)
    with ExitStack() as stack:
        parts = _Parts(field, lambda **facts: stack.enter_context(begin(**facts)))
        flask.request.make_form_data_parser = lambda: _Form(parts)  # type: ignore[method-assign]
        try:
            flask.request.files  # noqa: B018 - parsed now, once, for everybody
        except (ConnectionError, ValueError) as error:
            raise UploadFailed(f"the form is damaged: {error}") from None
        if parts.reception is None:
            raise no_file(field)
        return parts.reception.finish()


def _receive_parsed(field: str | None, begin: Callable[..., Reception]) -> Run:
    for name, file in flask.request.files.items(multi=True):
        if file.filename and field in (None, name):
            with begin(name=file.filename) as reception:
                return reception.read(file.stream)
    raise no_file(field)


class _Parts(MultiPartParser):
    """Parses a form as any request does, but one file of it is received by a run."""

    def __init__(self, field: str | None, begin: Callable[..., Reception]) -> None:
        usual = flask.request.make_form_data_parser()
        super().__init__(
            usual.stream_factory,
            usual.max_form_memory_size,
            usual.cls,
            max_form_parts=usual.max_form_parts,
        )
        self.reception: Reception | None = None
        self._field, self._begin = field, begin

    def start_file_streaming(self, event: File, total_content_length: int | None) -> IO[bytes]:
        if self.reception or not event.filename or self._field not in (None, event.name):
            return super().start_file_streaming(event, total_content_length)
        self.reception = self._begin(name=event.filename, size=total_content_length)
        return cast("IO[bytes]", _Received(self.reception))


class _Form(FormDataParser):
    """Does what a request asks of its parser, and lets damage be heard of."""

    def __init__(self, parts: _Parts) -> None:
        super().__init__()
        self._parts = parts

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002 - known
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - as requests want it: the stream, the fields, the files
        boundary = (options or {}).get("boundary", "").encode("ascii")
        return stream, *self._parts.parse(stream, boundary, content_length)


class _Received:
    """Stands for the file where files of the request are: its bytes are the run's."""

    def __init__(self, reception: Reception) -> None:
        self.write = reception.write

    def seek(self, place: int) -> None:
        """Do nothing: where the parser has written all, it goes back to the beginning."""

    def close(self) -> None:
        """Do nothing: that is for the run."""
