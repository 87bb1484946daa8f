"""The process that owns a command: one loop over its output, its terminal, signals and time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, Self

from .entries import End, Kind, State, incomplete_suffix
from .runs import OwnRun
from .sources.base import KERNEL_BUFFER, DescriptorSource, has_data

__all__ = ["LIMIT_EXIT_CODE", "Console", "Supervisor", "Wakes"]

#: What timeout(1) exits with.
LIMIT_EXIT_CODE = 124
#: Between asking a command to end and killing it.
GRACE_SECONDS = 10.0
#: How long the group of a command that was killed may take to vanish.
_VANISH_SECONDS = 1.0
#: Between two looks whether it has.
_LOOK_SECONDS = 0.02
#: After a cancel or at a limit, output that nobody takes for so long is in the journal only.
_STALL_SECONDS = 1.0
#: Between two signs to a source that nobody takes its output.
_HANGUP_SECONDS = 1.0
#: The longest wait at once: poll(2) takes no more than 24 days.
_LONGEST_SECONDS = 3600.0
#: How long the beginning of a character waits for the rest of it.
_CHARACTER_SECONDS = 0.05

_BUFFER_SIZE = 256 * 1024
#: With so much read, an entry is written although more is there.
_ENOUGH = 128 * 1024

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_RESIZED = bytes([signal.SIGWINCH])
#: What Ctrl-C types.
_INTERRUPT = b"\x03"
#: Among the numbers of signals, a request to cancel.
_CANCEL = 0


class Console(Protocol):
    """Where the output is shown beside the journal, and what is typed there."""

    #: Becomes readable when something is typed; None without a keyboard.
    keyboard: int | None

    def show(self, kind: Kind, data: bytes) -> None:
        """Show output; what cannot be taken at once is kept."""

    def blocked(self) -> list[int]:
        """List the descriptors that must become writable before more can be shown."""

    def flush(self) -> None:
        """Go on showing what was kept."""

    def is_closed(self) -> bool:
        """Tell whether nobody will ever take output again."""

    def resized(self) -> None:
        """Take notice of a new window size."""


class _Buffer:
    """What was read of one output and not yet written.

    Entries of a flood end with a line where they can: the rest waits for the next read, which is
    there already. The beginning of a character waits for a moment.
    """

    def __init__(self, fd: int, kind: Kind) -> None:
        self.kind = kind
        self._fd = fd
        self._waits = os.get_blocking(fd)
        self._data = bytearray(_BUFFER_SIZE)
        self._view = memoryview(self._data)
        self._size = 0
        self.due = float("inf")

    def fill(self) -> tuple[bytes, bool]:
        """Read what there is; returns what is to be written, and whether the end was reached."""
        at_end, more = False, True
        while more and self._size < _ENOUGH:
            try:
                count = os.readv(self._fd, [self._view[self._size :]])
            except BlockingIOError:
                more = False
                break
            except OSError:
                # EIO: nobody has the pseudo-terminal open any more.
                count = 0
            at_end = count == 0
            self._size += count
            more = not at_end and not (self._waits and not has_data(self._fd))
        if at_end:
            return self.take(), True
        return self._take(self._complete(more=more and has_data(self._fd))), False

    def _complete(self, *, more: bool) -> int:
        """Count the bytes that can be written now."""
        lines = self._data.rfind(b"\n", 0, self._size) + 1 if more else 0
        if lines:
            return lines
        held = incomplete_suffix(bytes(self._view[max(0, self._size - 3) : self._size]))
        self.due = monotonic() + _CHARACTER_SECONDS if held else float("inf")
        return self._size - held

    def take(self) -> bytes:
        """Give everything out, complete or not."""
        self.due = float("inf")
        return self._take(self._size)

    def _take(self, count: int) -> bytes:
        data = bytes(self._view[:count])
        rest = bytes(self._view[count : self._size])
        self._view[: len(rest)] = rest
        self._size = len(rest)
        return data


class Wakes:
    """What wakes a supervisor: requests to cancel, and signals while in the context.

    Signals that were ignored from outside stay so, as nohup(1) wants it. To be entered in the
    main thread.
    """

    fd: int

    def __init__(self) -> None:
        #: Set by every signal that asks for an end.
        self.enough = threading.Event()
        #: Whether one of them asked this process to go, not only the work to end.
        self.leaving = False
        self._lock = threading.Lock()
        self._entry: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.fd, self._entry = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before_fd = signal.set_wakeup_fd(self._entry, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGWINCH, *_ENDING_SIGNALS):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        with self._lock:
            os.close(self._entry or -1)
            self._entry = None
        os.close(self.fd)

    def _on_signal(self, number: int, _: object) -> None:
        if number != signal.SIGWINCH:
            self.enough.set()
        self.leaving = self.leaving or number in _ENDING_SIGNALS

    def cancel(self) -> None:
        """Add a request to cancel; safe from any thread, at any time."""
        # A number of a descriptor that is closed here may mean another file by now.
        with self._lock, contextlib.suppress(OSError):
            if self._entry is not None:
                os.write(self._entry, bytes([_CANCEL]))

    def take(self) -> bytes:
        """Take what came: numbers of signals, and 0 for a request to cancel."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, 4096)
        return b""


class Supervisor:
    """Moves a source's output into its run until it is over, and ends it when told to."""

    def __init__(
        self,
        run: OwnRun,
        source: DescriptorSource,
        console: Console,
        wakes: Wakes,
        *,
        timeout: float | None = None,
    ) -> None:
        self._run = run
        self._source = source
        self._console = console
        self._wakes = wakes
        self._timeout = timeout
        self._buffers: dict[int, _Buffer] = {}
        self._typed = b""
        self._interrupts = 0
        self._typed_interrupt = False
        #: What was decided about the end, before the source ended by itself.
        self._verdict: End | None = None
        self._deadlines: dict[Callable[[], None], float] = {}
        self._gone_by = float("inf")

    def supervise(self) -> End:
        """Run the loop; returns how the source ended. To be called in the main thread."""
        if self._timeout is not None:
            self._deadlines[self._on_timeout] = monotonic() + self._timeout
        stop_watching = self._run.on_cancel(self._wakes.cancel)
        try:
            while not self._is_over():
                self._turn()
            end = self._source.end()
            while self._awaits_group():
                self._turn()
            self._drain()
        finally:
            stop_watching()
            self._source.close()
        return self._judge(end)

    def _is_over(self) -> bool:
        """Tell whether the source is over: then what it wrote is all in its outputs."""
        if not self._source.outputs and self._source.over_fd is None:
            return True
        return self._source.over_fd is not None and has_data(self._source.over_fd)

    def _awaits_group(self) -> bool:
        """Tell whether some of a source that was told to end is left, and may have last words."""
        self._deadlines[_look] = monotonic() + _LOOK_SECONDS
        return self._verdict is not None and self._source.is_alive() and monotonic() < self._gone_by

    def _turn(self) -> None:
        """Wait for something to happen, and let it happen."""
        blocked = self._console.blocked()
        happened = self._wait(blocked)
        if self._wakes.fd in happened:
            self._take_wakes()
        if happened & set(blocked):
            self._console.flush()
        if self._console.keyboard in happened:
            self._type()
        if self._typed:
            self._press()
        for fd in happened & set(self._source.outputs):
            self._read(fd)
        self._look_at_clock()
        if self._console.is_closed() and self._on_closed not in self._deadlines:
            self._on_closed()

    def _wait(self, blocked: list[int]) -> set[int]:
        """Wait for descriptors; returns those that something happened to."""
        masks = {self._wakes.fd: select.POLLIN}
        if self._source.over_fd is not None:
            masks[self._source.over_fd] = select.POLLIN
        # A terminal that stops reading holds the command back, as ever.
        outputs = () if blocked else self._source.outputs
        masks |= dict.fromkeys(blocked, select.POLLOUT) | dict.fromkeys(outputs, select.POLLIN)
        source, keyboard = self._source.input_fd, self._console.keyboard
        if source is not None and keyboard is not None:
            if self._typed:
                # A pseudo-terminal is an output, too.
                masks[source] = masks.get(source, 0) | select.POLLOUT
            else:
                masks[keyboard] = select.POLLIN
        poll = select.poll()
        for fd, mask in masks.items():
            poll.register(fd, mask)
        return {fd for fd, _ in poll.poll(self._patience())}

    def _patience(self) -> float | None:
        """Milliseconds until something is due."""
        due = [*self._deadlines.values(), *(buffer.due for buffer in self._buffers.values())]
        if not due or min(due) == float("inf"):
            return None
        return min(max(0.0, min(due) - monotonic()), _LONGEST_SECONDS) * 1000 + 1

    def _read(self, fd: int) -> int:
        """Read an output and write what is complete of it; returns how much that was."""
        kind = self._source.outputs[fd]
        buffer = self._buffers.get(fd) or self._buffers.setdefault(fd, _Buffer(fd, kind))
        data, at_end = buffer.fill()
        if at_end:
            self._source.close_output(fd)
            del self._buffers[fd]
        self._write(kind, data)
        return len(data)

    def _write(self, kind: Kind, data: bytes) -> None:
        if data:
            self._run.write(kind, data)
            self._console.show(kind, data)

    def _type(self) -> None:
        """Pass on what was typed, byte by byte as it is: Ctrl-C is one of them."""
        try:
            self._typed = os.read(self._console.keyboard or 0, 4096)
        except OSError:
            self._typed = b""
        if not self._typed:
            self._console.keyboard = None
        self._typed_interrupt = self._typed_interrupt or _INTERRUPT in self._typed

    def _press(self) -> None:
        if self._source.input_fd is None:
            self._typed = b""
            return
        with contextlib.suppress(BlockingIOError):
            self._typed = self._typed[os.write(self._source.input_fd, self._typed) :]

    def _take_wakes(self) -> None:
        for number in self._wakes.take():
            self._on_wake(number)

    def _on_wake(self, number: int) -> None:
        if number == _CANCEL:
            self._stop(End(State.CANCELLED), signal.SIGTERM)
        elif number == signal.SIGWINCH:
            self._console.resized()
        elif number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts == 1:
                self._source.send_signal(number)
            else:
                self._stop(End(State.CANCELLED), signal.SIGKILL)
        elif number in _ENDING_SIGNALS:
            self._stop(End(State.CANCELLED), number)

    def _stop(self, verdict: End, number: int) -> None:
        """Send a signal to the source, and kill it later if that does not help."""
        self._verdict = self._verdict or verdict
        self._source.send_signal(number)
        grace = 0.0 if number == signal.SIGKILL else GRACE_SECONDS
        due = self._deadlines.get(self._on_grace_over, float("inf"))
        self._deadlines[self._on_grace_over] = min(due, monotonic() + grace)

    def _on_timeout(self) -> None:
        error = f"it ran longer than its limit of {self._timeout:g} s"
        self._stop(End(State.FAILED, LIMIT_EXIT_CODE, None, error), signal.SIGTERM)

    def _on_grace_over(self) -> None:
        self._source.send_signal(signal.SIGKILL)
        self._gone_by = monotonic() + _VANISH_SECONDS

    def _on_closed(self) -> None:
        """Tell the source that nobody reads, as the kernel would tell it."""
        self._source.hang_up()
        for fd in self._buffers.keys() - self._source.outputs.keys():
            self._empty(fd)
        self._deadlines[self._on_closed] = monotonic() + _HANGUP_SECONDS

    def _look_at_clock(self) -> None:
        now = monotonic()
        for action, due in list(self._deadlines.items()):
            if now >= due:
                del self._deadlines[action]
                action()
        for buffer in self._buffers.values():
            if now >= buffer.due:
                self._write(buffer.kind, buffer.take())

    def _empty(self, fd: int) -> None:
        """Write what was held back of an output that nothing more is read from."""
        buffer = self._buffers.pop(fd)
        self._write(buffer.kind, buffer.take())

    def _drain(self) -> None:
        """Read what was written before the source was over, however long others hold its outputs."""
        for fd in list(self._source.outputs):
            # Others may write on for ever: what came before them is what the kernel can hold.
            left = KERNEL_BUFFER
            while left > 0 and fd in self._source.outputs and has_data(fd):
                left -= self._read(fd)
        for fd in list(self._buffers):
            self._empty(fd)
        self._flush_console()

    def _flush_console(self) -> None:
        """Show the rest, unless nobody takes it and somebody wants this to end."""
        patience = None if self._verdict is None else _STALL_SECONDS * 1000
        while blocked := self._console.blocked():
            poll = select.poll()
            for fd in blocked:
                poll.register(fd, select.POLLOUT)
            poll.register(self._wakes.fd, select.POLLIN)
            happened = {fd for fd, _ in poll.poll(patience)}
            if not happened:
                return
            if self._wakes.fd in happened and self._wakes.take().strip(_RESIZED):
                return
            self._console.flush()

    def _judge(self, end: End) -> End:
        verdict = self._verdict
        if verdict is None:
            # What died of a Ctrl-C was cancelled; what did not, was not.
            interrupted = self._interrupts or self._typed_interrupt
            if interrupted and end.signal == signal.SIGINT.name:
                return end._replace(state=State.CANCELLED)
            return end
        if verdict.state is State.CANCELLED:
            return end._replace(state=State.CANCELLED)
        return verdict


def _look() -> None:
    """Do nothing: its deadline alone makes the loop turn."""
