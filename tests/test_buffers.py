"""What is between a print and the journal: bounded, in order, and never in anybody's way."""

import os
import sys
import threading
from collections.abc import Sequence

import pytest

from outlive import buffers
from outlive.buffers import Buffer, encode_text
from outlive.entries import TEXT_KINDS, End, Kind, RunRecord, State
from outlive.journals.base import Unwritten
from outlive.journals.memory import MemoryJournal, MemoryWriter
from outlive.journals.readers import Reader
from tests.helpers import eventually


class SlowWriter(MemoryWriter):
    """Appends when it may."""

    def __init__(self) -> None:
        super().__init__(MemoryJournal(RunRecord(id="0" * 20, title="", started_at=0)))
        self.may = threading.Event()
        self.may.set()
        self.trouble: Exception | None = None

    def append_all(self, entries: Sequence[Unwritten]) -> None:
        assert self.may.wait(30)
        if self.trouble is not None:
            raise self.trouble
        super().append_all(entries)

    def found(self) -> list[tuple[Kind, bytes]]:
        """Return what was appended."""
        reader, entries = Reader(self.journal), []
        while more := reader.read():
            entries += more
        return [(entry.kind, entry.payload) for entry in entries]


@pytest.fixture
def writer():
    """Give a writer that can be held."""
    return SlowWriter()


def print_to(buffer: Buffer, text: str) -> None:
    """Print as the stream does."""
    if buffer.write(text) is None:
        buffer.take(text)


def is_empty(buffer: Buffer) -> bool:
    """Tell whether the flusher has taken all that was written."""
    return not buffer._items and not buffer._texts.tell()


def test_what_is_written_arrives_by_itself(writer):
    """Without a flush, and again after a pause."""
    buffer = Buffer(writer)
    for number in range(3):
        print_to(buffer, f"{number}\n")
        eventually(lambda: len(writer.found()) > number)  # noqa: B023 - called at once
        eventually(lambda: not buffer.awake)
    buffer.close()
    assert writer.found() == [(Kind.OUT, b"%d\n" % number) for number in range(3)]


def test_what_piles_up_becomes_one_entry(writer):
    """Same kind, one entry; each record is its own; the order is kept."""
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "first")
    eventually(lambda: is_empty(buffer))
    for text in ("a", "b"):
        print_to(buffer, text)
    buffer.add(Kind.OUT, b"c")
    buffer.add(Kind.ERR, b"d")
    buffer.add(Kind.ERR, b"e")
    buffer.add(Kind.LOG, b"{}\nx")
    buffer.add(Kind.LOG, b"{}\ny")
    print_to(buffer, "f")
    writer.may.set()
    buffer.close()
    assert writer.found() == [
        (Kind.OUT, b"first"),
        (Kind.OUT, b"abc"),
        (Kind.ERR, b"de"),
        (Kind.LOG, b"{}\nx"),
        (Kind.LOG, b"{}\ny"),
        (Kind.OUT, b"f"),
    ]


def test_who_is_too_fast_waits(writer, monkeypatch):
    """While much is appended, nobody prints more."""
    monkeypatch.setattr(buffers, "FULL_SIZE", 10)
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "x" * 10)
    eventually(lambda: buffer._hold is not None)
    printed = threading.Event()

    def work() -> None:
        print_to(buffer, "y")
        printed.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not printed.wait(0.2)
    writer.may.set()
    assert printed.wait(30)
    thread.join()
    buffer.close()
    assert writer.found() == [(Kind.OUT, b"x" * 10), (Kind.OUT, b"y")]


def test_nobody_waits_for_ever(writer, monkeypatch):
    """Where the journal takes nothing any more, prints become slow and go on."""
    monkeypatch.setattr(buffers, "FULL_SIZE", 1)
    monkeypatch.setattr(buffers, "_HOLD_SECONDS", 0.01)
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "x")
    eventually(lambda: buffer._hold is not None)
    print_to(buffer, "y")
    writer.may.set()
    buffer.close()
    assert writer.found() == [(Kind.OUT, b"x"), (Kind.OUT, b"y")]


def test_nothing_is_taken_after_the_end(writer):
    """What comes later is told so, or given back."""
    buffer = Buffer(writer)
    print_to(buffer, "a")
    buffer.close()
    buffer.close()
    assert not buffer.add(Kind.ERR, b"b")
    assert buffer.write("c") is buffer.take("c") is None
    buffer.flush()
    writer.close(End(State.SUCCEEDED))
    assert [payload for kind, payload in writer.found() if kind is Kind.OUT] == [b"a"]


def test_what_comes_before_the_end_is_in_time(writer):
    """What waits for the last append is appended by it, in its order; what comes then is not taken."""
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "a")
    eventually(lambda: is_empty(buffer))
    buffer.add(Kind.ERR, b"b")
    print_to(buffer, "c")
    thread = threading.Thread(target=buffer.close)
    thread.start()
    eventually(lambda: buffer.closed)
    assert buffer.take("late") is None
    writer.may.set()
    thread.join(30)
    assert writer.found() == [(Kind.OUT, b"a"), (Kind.ERR, b"b"), (Kind.OUT, b"c")]


def test_nothing_is_stranded_in_a_flood_of_all_threads(writer):
    """While the flusher falls asleep and awakes, prints of many threads all arrive, each in its order."""
    buffer = Buffer(writer)

    def work(name: int) -> None:
        for number in range(20_000):
            print_to(buffer, f"{name} {number}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # By itself: nobody flushes.
    eventually(lambda: is_empty(buffer))
    buffer.close()
    lines = b"".join(payload for _, payload in writer.found()).decode().splitlines()
    for name in range(4):
        mine = [line for line in lines if line.startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(20_000)]


def test_what_is_printed_amid_an_append_follows_by_itself(writer):
    """Who finds the flusher awake leaves it to look again."""
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "a")
    eventually(lambda: is_empty(buffer))
    buffer._write_text("b")  # a print that wakes nobody
    writer.may.set()
    eventually(lambda: len(writer.found()) == 2)
    buffer.close()


def test_a_flusher_survives_what_it_meets(writer, capfd):
    """An unforeseen error is told on the console, and nobody waits for ever."""
    buffer = Buffer(writer)
    writer.trouble = RuntimeError("unforeseen")
    print_to(buffer, "lost")
    buffer.flush()
    writer.trouble = None
    print_to(buffer, "kept")
    buffer.close()
    assert writer.found() == [(Kind.OUT, b"kept")]
    assert "unforeseen" in capfd.readouterr().err


def test_a_flush_does_not_wait_for_who_never_stops(writer):
    """It returns once what was there is written, whatever others go on writing."""
    buffer, stop = Buffer(writer), threading.Event()

    def work() -> None:
        while not stop.is_set():
            print_to(buffer, "x")

    def flush() -> None:
        for _ in range(20):
            buffer.flush()
        stop.set()

    threads = [threading.Thread(target=work), threading.Thread(target=flush)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    buffer.close()


def test_who_interrupts_a_write_waits_for_nothing(writer):
    """A signal handler, or `__del__`, may flush while its own thread is taking something in."""
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "a")
    eventually(lambda: is_empty(buffer))
    with buffer._gate:
        buffer.add(Kind.ERR, b"b")
        buffer.flush()
    writer.may.set()
    buffer.close()
    assert writer.found() == [(Kind.OUT, b"a"), (Kind.ERR, b"b")]


#: Lines of each thread.
COUNT = 30000


@pytest.fixture
def restless():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_each_threads_texts_and_records_keep_their_order(writer):
    """Whoever comes in between, wherever it is, nothing is lost, doubled or overtaken."""
    buffer = Buffer(writer)

    def mix(name: str) -> None:
        for number in range(0, COUNT, 3):
            print_to(buffer, f"{name}{number}\n")
            buffer.add(Kind.ERR, b"%s%d\n" % (name.encode(), number + 1))
            buffer.add(Kind.LOG, b"{}\n%s%d\n" % (name.encode(), number + 2))

    def only_print(name: str) -> None:
        for number in range(COUNT):
            print_to(buffer, f"{name}{number}\n")

    works = {"a": mix, "b": mix, "c": only_print, "d": only_print}
    threads = [threading.Thread(target=work, args=(name,)) for name, work in works.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    buffer.close()
    reader, text = Reader(writer.journal), b""
    while entries := reader.read():
        # Not the lines of each: an entry of 256 KiB ends anywhere.
        text += b"".join(entry.text for entry in entries if entry.kind in TEXT_KINDS)
    lines = text.decode().splitlines()
    for name in works:
        assert [line for line in lines if line[0] == name] == [f"{name}{i}" for i in range(COUNT)]


def test_its_thread_ends_with_it(writer):
    """A closed buffer leaves no thread."""
    before = set(threading.enumerate())
    buffer = Buffer(writer)
    (thread,) = set(threading.enumerate()) - before
    buffer.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_forked_child_has_nothing_of_it(writer):
    """The child's copy is closed and empty, whoever held its locks."""
    buffer = Buffer(writer)
    writer.may.clear()
    print_to(buffer, "held")
    eventually(lambda: is_empty(buffer))
    buffer._write_text("waiting")
    child = os.fork()
    if not child:
        buffer.flush()
        os._exit(0 if buffer.closed and is_empty(buffer) and not buffer.add(Kind.ERR, b"") else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.may.set()
    buffer.close()
    assert b"".join(payload for _, payload in writer.found()) == b"heldwaiting"


@pytest.mark.parametrize(
    ("text", "data"),
    [("ü", b"\xc3\xbc"), ("a\udcffb", b"a\xffb"), ("\udc80\ud800x", b"\x80\\ud800x"), ("", b"")],
)
def test_any_text_can_be_encoded(text, data):
    """Undecodable bytes come back; what stands for nothing is spelled out."""
    assert encode_text(text) == data
