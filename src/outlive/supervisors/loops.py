"""The loop over a source's output, its terminal, signals and time."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from time import monotonic

from ..channels import Channel, Message
from ..entries import TEXT_KINDS, End, Kind, State
from ..runs import OwnRun
from ..sources.base import KERNEL_BUFFER, DescriptorSource, has_data
from ..sources.progress import ProgressFinder
from .consoles import Console
from .endings import Ending
from .limits import LIMIT_EXIT_CODE, NO_LIMITS, Limits, Quota
from .outputs import OutputBuffer
from .wakes import CANCEL, ENDING_SIGNALS, NOTICES, Wakes

__all__ = ["Supervisor"]

#: Between two looks whether what was told to end is gone.
_LOOK_SECONDS = 0.02
#: After a cancel or at a limit, output that nobody takes for so long is in the journal only.
_STALL_SECONDS = 1.0
#: Between two signs to a source that nobody takes its output.
_HANGUP_SECONDS = 1.0
#: The longest wait at once: poll(2) takes no more than 24 days.
_LONGEST_SECONDS = 3600.0

#: Entries of the source's own that are taken at once; then others have their turn.
_MESSAGES = 1000

#: What Ctrl-C types.
_INTERRUPT = b"\x03"


class Supervisor:
    """Moves a source's output into its run until it is over, and ends it when told to."""

    def __init__(
        self,
        run: OwnRun,
        source: DescriptorSource,
        console: Console,
        wakes: Wakes,
        *,
        limits: Limits = NO_LIMITS,
        origin: int = 0,
    ) -> None:
        self._run = run
        self._source = source
        self._console = console
        self._wakes = wakes
        self._limits = limits
        self._origin = origin
        self._progress = ProgressFinder()
        self._quota = Quota(limits.quota)
        self._ending = Ending(run, source, origin)
        self._buffers: dict[int, OutputBuffer] = {}
        self._typed = b""
        self._interrupts = 0
        self._typed_interrupt = False
        #: When there was output for the last time.
        self._heard_at = 0.0
        self._deadlines: dict[Callable[[], None], float] = {}

    def supervise(self) -> End:
        """Run the loop; returns how the source ended."""
        self._heard_at = monotonic()
        for action, seconds in (
            (self._on_timeout, self._limits.timeout),
            (self._on_silence, self._limits.silence),
        ):
            if seconds is not None:
                self._deadlines[action] = self._heard_at + seconds
        stop_watching = self._run.on_cancel(self._wakes.cancel)
        try:
            while not (is_over := self._is_over()) and not self._ending.has_given_up():
                self._turn()
            end = self._source.end() if is_over else End(State.FAILED)
            self._ending.go_on()
            while self._awaits_rest():
                self._turn()
            self._drain()
            self._tell(self._progress.finish())
            return self._judge(end)
        finally:
            stop_watching()
            self._source.close()

    def _is_over(self) -> bool:
        """Tell whether the source is over: then what it wrote is all in its outputs."""
        if not self._source.outputs and self._source.over_fd is None:
            return True
        return self._source.over_fd is not None and has_data(self._source.over_fd)

    def _awaits_rest(self) -> bool:
        """Tell whether some of a source that was told to end is left, and may have last words."""
        self._deadlines[_look] = monotonic() + _LOOK_SECONDS
        return self._ending.awaits_rest()

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
        if self._source.channel is not None and self._source.channel.fd in happened:
            self._take_messages(self._source.channel)
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
        if self._source.channel is not None and self._source.channel.fd is not None:
            masks[self._source.channel.fd] = select.POLLIN
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
        due = [self._ending.due, *self._deadlines.values()]
        due += [buffer.due for buffer in self._buffers.values()]
        if min(due) == float("inf"):
            return None
        return min(max(0.0, min(due) - monotonic()), _LONGEST_SECONDS) * 1000 + 1

    def _read(self, fd: int) -> int:
        """Read an output and write what is complete of it; returns how much that was."""
        kind = self._source.outputs[fd]
        buffer = self._buffers.get(fd) or self._buffers.setdefault(fd, OutputBuffer(fd, kind))
        data, at_end = buffer.fill()
        if at_end:
            self._source.close_output(fd)
            del self._buffers[fd]
        self._write(kind, data)
        return len(data)

    def _write(self, kind: Kind, data: bytes) -> None:
        if not data:
            return
        self._heard_at = monotonic()
        kept = self._quota.admit(data)
        if kept:
            self._run.write(kind, kept, self._origin)
            self._console.show(kind, kept)
            self._tell(self._progress.find(kind, kept, self._origin, self._heard_at))
        if len(kept) < len(data):
            self._stop_at_limit(self._limits.describe("quota"))

    def _take_messages(self, channel: Channel) -> None:
        """Write entries that the source makes itself, each behind what it wrote before."""
        for _ in range(_MESSAGES):
            message = channel.receive()
            if message is None:
                return
            self._read_all()
            self._relay(message)
            channel.answer(message)

    def _relay(self, message: Message) -> None:
        kind, payload, origin, _ = message
        is_text = kind in TEXT_KINDS
        if is_text:
            self._heard_at = monotonic()
        if is_text and not self._quota.admit_whole(payload):
            self._stop_at_limit(self._limits.describe("quota"))
            return
        self._run.write(kind, payload, origin or self._origin)
        if not origin:
            # Whoever writes as another origin looks itself.
            self._tell(self._progress.find(kind, payload, self._origin, monotonic()))

    def _tell(self, stages: list[tuple[Kind, bytes, int]]) -> None:
        """Write the stages that the output tells of."""
        for stage in stages:
            self._run.write(*stage)

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
        if number == CANCEL:
            self._ending.stop(End(State.CANCELLED), signal.SIGTERM, "cancel requested")
        elif number == signal.SIGWINCH:
            self._console.resized()
        elif number == signal.SIGCHLD:
            self._source.reap()
        elif number == signal.SIGINT:
            self._interrupt()
        elif number in ENDING_SIGNALS:
            why = f"told to go by {signal.Signals(number).name}"
            self._ending.stop(End(State.CANCELLED), number, why)

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._source.pass_on(signal.SIGINT)
        else:
            self._ending.stop(End(State.CANCELLED), signal.SIGKILL, "interrupted again")

    def _stop_at_limit(self, error: str) -> None:
        """End the source because of a limit; whatever else asked for an end came first."""
        if self._ending.verdict is None:
            end = End(State.FAILED, LIMIT_EXIT_CODE, None, error)
            self._ending.stop(end, signal.SIGTERM, error)

    def _on_timeout(self) -> None:
        self._stop_at_limit(self._limits.describe("timeout"))

    def _on_silence(self) -> None:
        # A console that stalls holds the source back, and is not its silence.
        heard_at = monotonic() if self._console.blocked() else self._heard_at
        due = heard_at + (self._limits.silence or 0)
        if due > monotonic():
            self._deadlines[self._on_silence] = due
        else:
            self._stop_at_limit(self._limits.describe("silence"))

    def _on_closed(self) -> None:
        """Tell the source that nobody reads, as the kernel would tell it."""
        self._source.hang_up()
        for fd in self._buffers.keys() - self._source.outputs.keys():
            self._empty(fd)
        self._deadlines[self._on_closed] = monotonic() + _HANGUP_SECONDS

    def _look_at_clock(self) -> None:
        now = monotonic()
        if now >= self._ending.due:
            self._ending.insist()
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
        """Take what was written before the source was over, however long others hold its outputs."""
        if self._source.channel is not None:
            self._take_messages(self._source.channel)
        self._read_all()
        for fd in list(self._buffers):
            self._empty(fd)
        self._flush_console()

    def _read_all(self) -> None:
        """Read what is there; more may come for ever, but before that is what the kernel can hold."""
        for fd in list(self._source.outputs):
            left = KERNEL_BUFFER
            while left > 0 and fd in self._source.outputs and has_data(fd):
                left -= self._read(fd)

    def _flush_console(self) -> None:
        """Show the rest, unless nobody takes it and somebody wants this to end."""
        patience = None if self._ending.verdict is None else _STALL_SECONDS * 1000
        while blocked := self._console.blocked():
            poll = select.poll()
            for fd in blocked:
                poll.register(fd, select.POLLOUT)
            poll.register(self._wakes.fd, select.POLLIN)
            happened = {fd for fd, _ in poll.poll(patience)}
            if not happened:
                return
            if self._wakes.fd in happened and self._wakes.take().strip(NOTICES):
                return
            self._console.flush()

    def _judge(self, end: End) -> End:
        excess = self._quota.excess()
        if excess is not None:
            self._run.write(Kind.GAP, excess.encode(), self._origin)
        # What died of a Ctrl-C was cancelled; what did not, was not.
        interrupted = self._interrupts or self._typed_interrupt
        if self._ending.verdict is None and interrupted and end.signal == signal.SIGINT.name:
            return end._replace(state=State.CANCELLED)
        return self._ending.judge(end)


def _look() -> None:
    """Do nothing: its deadline alone makes the loop turn."""
