"""How work ended, and what its run is told of that."""

from __future__ import annotations

import contextvars
import sys
import traceback
from types import TracebackType

from ..entries import End, Kind, State
from ..runs import OwnRun

__all__ = ["judge", "write_text"]

#: Characters of an exception's text in the error of its run; its traceback has all of them.
_ERROR_SIZE = 1000


def judge(run: OwnRun, failure: BaseException | None, trace: TracebackType | None = None) -> End:
    """Tell how work ended, and write the traceback of its failure."""
    end = End(State.SUCCEEDED)
    if isinstance(failure, SystemExit):
        end = _judge_exit(run, failure)
    elif failure is not None and _is_cancellation(failure):
        end = End(State.CANCELLED)
    elif failure is not None:
        trace = trace or _without_ours(failure.__traceback__)
        write_text(run, Kind.ERR, _encode(traceback.format_exception(None, failure, trace)))
        end = End(State.FAILED, error=_describe(failure))
    return end._replace(state=State.CANCELLED) if run.was_told else end


def _judge_exit(run: OwnRun, failure: SystemExit) -> End:
    """Tell what the interpreter would have ended with."""
    if isinstance(failure.code, int | None):
        # exit(3) hands on its lowest byte.
        code = (failure.code or 0) & 0xFF
        return End(State.FAILED if code else State.SUCCEEDED, exit_code=code)
    write_text(run, Kind.ERR, _encode([f"{failure.code}\n"]))
    return End(State.FAILED, exit_code=1, error=_in_one_line(str(failure.code)))


def _is_cancellation(failure: BaseException) -> bool:
    # Who has not imported asyncio cannot have one of these.
    asyncio = sys.modules.get("asyncio")
    # A generator that nobody asks for more has not failed either.
    kinds = (KeyboardInterrupt, GeneratorExit, *([asyncio.CancelledError] if asyncio else []))
    return isinstance(failure, kinds)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the beginning of a traceback, which tells how we called the work."""
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    return trace


def _is_ours(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__")).startswith("outlive.")


def _describe(failure: BaseException) -> str:
    """Tell in one line what was raised."""
    try:
        text = str(failure)
    except Exception:  # noqa: BLE001 - a broken one is still told of
        text = "(it cannot be shown)"
    name = type(failure).__name__
    return _in_one_line(f"{name}: {text}" if text else name)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())[:_ERROR_SIZE]


def _encode(lines: list[str]) -> bytes:
    return "".join(lines).encode(errors="backslashreplace")


def write_text(run: OwnRun, kind: Kind, data: bytes) -> None:
    """Write what nobody printed, and echo it where prints are."""
    run.write(kind, data)
    if run.buffer is not None and run.buffer.echo:
        stream = sys.stderr if kind is Kind.ERR else sys.stdout
        # In an empty context, as if there were no run.
        contextvars.Context().run(stream.write, data.decode(errors="replace"))
