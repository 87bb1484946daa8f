"""Uploads in Django: one file of a form goes to a run, by a handler as Django has them."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Unpack

from django.core.exceptions import BadRequest
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError

from ...errors import UploadFailed
from ...runs import Run
from ...work.receptions import ReceiveOptions, Reception, no_file
from ..base import comes_in_form
from ..environs import LongReception

__all__ = ["receive"]

Begin = Callable[..., Reception]


def receive(
    request: HttpRequest,
    function: Callable[..., object],
    *args: object,
    field: str | None = None,
    **options: Unpack[ReceiveOptions],
) -> Run:
    """Receive the file that a request brings, and start a function with it, as one run.

    All who watch the run or the activity see the bytes arrive, under WSGI and where nobody has read
    the form before; CSRF's middleware does, unless the view is `csrf_exempt`. The rest of the form
    is afterwards in `request.POST` and `request.FILES`. What does not arrive whole starts nothing
    and raises UploadFailed, of which Django makes 400, and `respond` what it was. See
    `outlive.receive`.

    Args:
        request: Django's.
        function: What to do with the file.
        args: What else to call it with.
        field: Which file of a form; by default the first. Of a request without a form, the body is
            the file, as `curl -T` sends it.
        options: Those of `outlive.receive`.
    """
    try:
        return _receive_body(request, field, partial(LongReception, function, *args, **options))
    except UploadFailed as error:
        raise _BadUpload(str(error), error.status) from None


class _BadUpload(UploadFailed, BadRequest):
    """What did not arrive, in the tree of errors and in Django's."""


def _receive_body(request: HttpRequest, field: str | None, begin: Begin) -> Run:
    if comes_in_form(request.headers, field):
        return _receive_form(request, field, begin)
    size = request.META.get("CONTENT_LENGTH") or ""
    with begin(name="upload", size=int(size) if size else None) as reception:
        return reception.read(request)


def _receive_form(request: HttpRequest, field: str | None, begin: Begin) -> Run:
    with ExitStack() as stack:
        handler = _Handler(field, lambda **facts: stack.enter_context(begin(**facts)))
        try:
            request.upload_handlers = [handler, *request.upload_handlers]
        except AttributeError:
            return _receive_parsed(request, field, begin)
        try:
            request.FILES  # noqa: B018 - parsed now, once, for everybody
        except (MultiPartParserError, UnreadablePostError) as error:
            raise UploadFailed(f"the form is damaged: {error}") from None
        if handler.reception is None:
            raise no_file(field)
        if not handler.is_whole:
            handler.reception.abort()
        return handler.reception.finish()


def _receive_parsed(request: HttpRequest, field: str | None, begin: Begin) -> Run:
    for name, files in request.FILES.lists():
        for file in files:
            if field in (None, name):
                with begin(name=file.name, size=file.size) as reception:
                    return reception.read(file)
    raise no_file(field)


class _Handler(FileUploadHandler):
    """Takes one file of a form; the others go to the handlers that come after it."""

    def __init__(self, field: str | None, begin: Begin) -> None:
        super().__init__()
        self.reception: Reception | None = None
        self.is_whole = False
        self._field, self._begin = field, begin
        self._is_receiving = False
        self._total: int | None = None

    def handle_raw_input(
        self,
        input_data: object,  # noqa: ARG002 - as handlers have it
        META: object,  # noqa: ARG002, N803 - as above
        content_length: int,
        *_: object,
        **__: object,
    ) -> None:
        self._total = content_length

    def new_file(self, field_name: str, file_name: str, *args: Any, **more: Any) -> None:  # noqa: ANN401 - as above
        super().new_file(field_name, file_name, *args, **more)
        self._is_receiving = self.reception is None and self._field in (None, field_name)
        if self._is_receiving:
            self.reception = self._begin(name=file_name, size=self._total)
            raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:  # noqa: ARG002 - as above
        if not self._is_receiving or self.reception is None:
            return raw_data
        self.reception.write(raw_data)
        return None

    def file_complete(self, file_size: int) -> UploadedFile | None:
        if not self._is_receiving:
            return None
        self._is_receiving, self.is_whole = False, True
        # Stands for the file, whose bytes are the run's; without one, handlers after it are asked.
        return UploadedFile(io.BytesIO(), self.file_name, self.content_type, file_size)
