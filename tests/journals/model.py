"""What a journal should say, worked out in the plainest way, and readers that collect it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from hypothesis import strategies as st

from outlive.entries import BEGINNING, TEXT_KINDS, Entry, Gap, Kind, Position
from outlive.journals.base import Journal, JournalWriter, Unwritten
from outlive.journals.readers import Reader

LOG_HEAD = b'{"level": "INFO", "logger": "a"}\n'
OTHERS = (Kind.STAGE, Kind.EVENT)

pieces = st.lists(
    st.sampled_from([b"\n", b"\n\n", b"a", b"bc", b"\r", "é€𝄞".encode(), b"\xff\x00", b"long " * 9])
).map(b"".join)
writes = st.lists(st.tuples(st.sampled_from(sorted({*TEXT_KINDS, *OTHERS})), pieces), max_size=12)


def write(writer: JournalWriter, kind: Kind, text: bytes) -> None:
    """Append text as an entry of some kind; kinds without text ignore it."""
    writer.append(*unwritten(kind, text))


def write_all(writer: JournalWriter, written: list[tuple[Kind, bytes]], at_once: int) -> None:
    """Append texts as entries, so many at a time."""
    for place in range(0, len(written), at_once):
        writer.append_all([unwritten(*item) for item in written[place : place + at_once]])


def unwritten(kind: Kind, text: bytes) -> Unwritten:
    """Make what becomes an entry of some kind."""
    if kind in OTHERS:
        return kind, b"{}", 0
    return kind, LOG_HEAD + text if kind is Kind.LOG else text, 0


def text_of(written: Iterable[tuple[Kind, bytes]]) -> bytes:
    """Join all text that was written."""
    return b"".join(text for kind, text in written if kind in TEXT_KINDS)


def read_all(journal: Journal, position: Position = BEGINNING, size: int = 1 << 18) -> list[Entry]:
    """Read until there is nothing more."""
    reader = Reader(journal, position)
    found: list[Entry] = []
    while entries := reader.read(size):
        found += entries
    return found


def text_in(entries: Iterable[Entry]) -> bytes:
    """Join the text of entries."""
    return b"".join(entry.text for entry in entries if entry.kind in TEXT_KINDS)


def wait_for(entries: Iterable[Entry], kind: Kind) -> Entry | None:
    """Find the first entry of a kind."""
    return next((entry for entry in entries if entry.kind is kind), None)


class Lines:
    """The numbered lines that a viewer can tell from the entries it was given.

    `whole` are the finished lines by their number; `rest` is the line without end, if it is whole
    from its beginning; `missing` counts the lines that gaps spoke of, None where one did not know.
    """

    def __init__(self, entries: Iterable[Entry], line: int = 1, *, begun: bytes = b"") -> None:
        self.whole: dict[int, bytes] = {}
        self.missing: int | None = 0
        self.gaps: list[Gap] = []
        self.rest = begun
        self.line = line
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.kind is Kind.GAP:
            gap = Gap.of(entry)
            self.gaps.append(gap)
            if gap.bytes != 0:
                self.rest = b""
            if gap.lines is not None:
                assert entry.line == self.line
                self.missing = None if self.missing is None else self.missing + gap.lines
                self.line += gap.lines
            else:
                self.missing = None
        elif entry.kind in TEXT_KINDS:
            assert entry.line == self.line, "an entry whose line does not follow"
            assert entry.newlines == entry.text.count(b"\n")
            assert entry.text_size == len(entry.text)
            *whole, self.rest = (self.rest + entry.text).split(b"\n")
            for line in whole:
                self.whole[self.line] = line
                self.line += 1


def check_against(written: bytes, lines: Lines) -> None:
    """Check that every whole line is one that was written, under its own number."""
    known = dict(enumerate(written.split(b"\n")[:-1], 1))
    for number, line in lines.whole.items():
        assert known.get(number) == line, (number, line, known.get(number))


def check_gaps(
    journal: Journal, written: bytes, start: Position = BEGINNING, done: int = 0
) -> None:
    """Check what a reader gets of a journal in which some is missing, exactly.

    It starts at `start`, with the first `done` bytes of the text behind it. Whole lines are right
    and have their numbers, gaps count all others, and whoever resumes at any cursor in between
    gets the same.
    """
    begun = written[:done].rpartition(b"\n")[2]
    entries = read_all(journal, start)
    lines = Lines(entries, start.line, begun=begun)
    check_against(written, lines)
    last = written.count(b"\n") + 1
    assert lines.line in (last, last + 1), "lines are neither given nor counted as missing"
    assert lines.missing == lines.line - start.line - len(lines.whole)
    # Of a cut line that goes on, the bytes are told when it ends.
    told = lines.line == last or entries[-1].kind is Kind.END
    if told and all(gap.bytes is not None for gap in lines.gaps):
        missing = sum(gap.bytes or 0 for gap in lines.gaps)
        assert len(text_in(entries)) + missing == len(written) - done
    for i, entry in enumerate(entries, 1):
        resumed = entries[:i] + read_all(journal, entry.after)
        again = Lines(resumed, start.line, begun=begun)
        assert (again.whole, again.missing) == (lines.whole, lines.missing)


def open_descriptors() -> int:
    """Count this process's descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


def count_calls() -> tuple[list[None], Callable[[], None]]:
    """Make a callback, and the list that grows whenever it is called."""
    calls: list[None] = []
    return calls, lambda: calls.append(None)
