"""What a run's work prints is the run's, however it prints; what others print is not."""

import contextlib
import io
import subprocess
import sys
import threading

import pytest

from outlive.entries import TEXT_KINDS, Kind
from outlive.sources.stdout import RoutedText
from tests.captures import capturing, entries_of, run_program, texts_of


def test_prints_are_entries_in_their_order():
    """Both streams and their bytes, as they came."""
    with capturing() as run:
        print("a")
        sys.stdout.buffer.write(b"\xffb\n")
        sys.stdout.writelines(["c", "\n"])
        print("d", file=sys.stderr)
        sys.stderr.buffer.write(b"e\n")
        print("f", end="")
    found = [(entry.kind, entry.text) for entry in entries_of(run) if entry.kind in TEXT_KINDS]
    assert b"".join(text for _, text in found) == b"a\n\xffb\nc\nd\ne\nf"
    errors = b"".join(text for kind, text in found if kind is Kind.ERR)
    assert errors == b"d\ne\n"


def test_outside_of_runs_everything_passes(capsys):
    """Before, after and beside a run, prints go where they always went."""
    with capturing() as run:
        print("inside")
        context = threading.Thread(target=print, args=("child",))
        context.start()
        context.join()
    assert isinstance(sys.stdout, RoutedText)
    print("after")
    print("errors", file=sys.stderr)
    sys.stdout.flush()
    assert capsys.readouterr() == ("after\n", "errors\n")
    assert texts_of(run, Kind.OUT) == "inside\nchild\n"


def test_what_was_flushed_is_in_the_journal():
    """`print(flush=True)`, and each line of standard error, is acknowledged on return."""
    with capturing() as run:
        print("a", flush=True)
        assert texts_of(run, Kind.OUT) == "a\n"
        print("b", file=sys.stderr)
        assert texts_of(run, Kind.ERR) == "b\n"


def test_an_echo_goes_to_both(capsys):
    """With `echo`, the console has what the run has."""
    with capturing(echo=True) as run:
        for number in range(100):
            print(number)
        print("error", file=sys.stderr)
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.flush()
    numbers = "".join(f"{number}\n" for number in range(100))
    assert texts_of(run, Kind.OUT) == f"{numbers}bytes\n"
    out, err = capsys.readouterr()
    assert (out, err) == (f"{numbers}bytes\n", "error\n")


def test_the_streams_are_complete():
    """A run's stream answers as a file does that is no terminal and takes all characters."""
    with capturing():
        stream = sys.stdout
        assert issubclass(type(stream), io.TextIOBase)
        assert stream.write("four") == 4
        assert stream.buffer.write(memoryview(b"five!")) == 5
        assert not stream.isatty()
        assert not stream.buffer.isatty()
        assert (stream.encoding, stream.errors) == ("utf-8", "surrogateescape")
        assert stream.writable()
        assert not stream.readable()
        assert not stream.closed
        stream.close()
        print("still there")
        for wrong in (5, b"x", None, ["x"]):
            with pytest.raises(TypeError):
                stream.write(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            stream.buffer.write("x")  # type: ignore[call-overload]


def test_surrogates_become_what_they_were():
    """Undecodable bytes come out as they went in; half a pair is spelled out."""
    with capturing() as run:
        print("\udcff", "\ud800", "ü", sep="")
    assert b"".join(entry.text for entry in entries_of(run)[:-1]) == b"\xff\\ud800\xc3\xbc\n"


def test_a_redirection_inside_a_run_has_its_way():
    """Who redirects within a run gets the prints."""
    target = io.StringIO()
    with capturing() as run:
        with contextlib.redirect_stdout(target):
            print("there")
        print("here")
    assert target.getvalue() == "there\n"
    assert texts_of(run, Kind.OUT) == "here\n"


def test_what_is_there_when_a_run_starts_is_routed():
    """A redirection around a run gets what is printed outside of it, and nothing of it."""
    target = io.StringIO()
    with contextlib.redirect_stdout(target):
        print("before")
        with capturing() as run:
            print("inside")
        print("after")
    assert target.getvalue() == "before\nafter\n"
    assert texts_of(run, Kind.OUT) == "inside\n"


def test_a_stream_that_looks_stdout_up_is_no_circle(capfd):
    """One that hands on to whatever `sys.stdout` is now ends at the console."""

    class Lazy(io.StringIO):
        def write(self, text: str, /) -> int:
            return sys.stdout.write(text)

    with contextlib.redirect_stdout(Lazy()), capturing() as run:
        print("inside")
        with contextlib.ExitStack() as stack:
            stack.callback(print, "still inside")
    with contextlib.redirect_stdout(Lazy()):
        with capturing():
            pass
        print("outside")
    assert texts_of(run, Kind.OUT) == "inside\nstill inside\n"
    sys.__stdout__.flush()  # type: ignore[union-attr]
    assert "outside\n" in capfd.readouterr().out


def test_a_wrapper_of_ours_is_no_circle(capsys):
    """A stream that wraps the one that routes can be routed again."""

    class Wrapper(io.StringIO):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def write(self, text: str, /) -> int:
            self.inner.write(text)
            return len(text)

    with capturing():
        pass
    with contextlib.redirect_stdout(Wrapper(sys.stdout)):
        with capturing() as run:
            print("inside")
        print("outside")
    assert texts_of(run, Kind.OUT) == "inside\n"
    assert capsys.readouterr().out == "outside\n"


def test_without_streams_runs_are_captured_all_the_same(monkeypatch):
    """A process without a console has runs."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with capturing() as run:
        print("a")
        print("b", file=sys.stderr)
    print("nowhere")
    assert run.text() == "a\nb\n"


def test_warnings_belong_to_the_run(tmp_path):
    """A warning is a line of standard error."""
    told = run_program("import warnings\nwith capture():\n    warnings.warn('careful')\n", tmp_path)
    assert "UserWarning: careful" in told.run
    assert told.err == ""


def test_what_is_printed_after_the_end_passes_through(capsys):
    """A thread that is left over loses no print, and gets no exception."""
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        print("in time", flush=True)
        go.set()
        assert ended.wait(30)
        for number in range(100):
            print("late", number, flush=number % 2 == 0)
        sys.stdout.buffer.write(b"bytes\n")
        print("late", file=sys.stderr)

    with capturing() as run:
        thread = threading.Thread(target=work)
        thread.start()
        assert go.wait(30)
    ended.set()
    thread.join()
    with run.current():
        print("later", flush=True)
    out, err = capsys.readouterr()
    late = "".join(f"late {number}\n" for number in range(100))
    # The capture keeps its text and its bytes apart.
    assert sorted(out.splitlines()) == sorted([*late.splitlines(), "bytes", "later"])
    assert err == "late\n"
    assert run.text() == "in time\n"


def test_an_end_amid_prints_loses_none(capsys):
    """Each line of a thread that prints on is in the run, or passed through: once."""
    stop, count = threading.Event(), 0

    def work() -> None:
        nonlocal count
        while not stop.is_set():
            print(f"line {count}")
            count += 1

    with capturing() as run:
        thread = threading.Thread(target=work)
        thread.start()
        while count < 2000:
            threading.Event().wait(0.001)
    limit = count + 2000
    while count < limit:
        threading.Event().wait(0.001)
    stop.set()
    thread.join()
    text = run.text() + capsys.readouterr().out
    assert text == "".join(f"line {number}\n" for number in range(count))


def test_faulthandler_writes_to_the_console(tmp_path):
    """It writes to the descriptor, which is no run's."""
    told = run_program(
        "import faulthandler\nwith capture():\n"
        "    faulthandler.enable(); faulthandler.dump_traceback()\n",
        tmp_path,
    )
    assert "most recent call first" in told.err
    assert told.run == ""


def test_a_library_that_kept_stdout_is_captured(tmp_path):
    """What was kept before any run routes, too; outside it is as it was."""
    told = run_program(
        "kept, errors = sys.stdout, sys.stderr\nwrite = None\n"
        "with capture():\n"
        "    print('a', file=kept); kept.write('b\\n'); kept.writelines(['c\\n'])\n"
        "    print('d', file=errors); print(kept.isatty())\n"
        "kept.write('outside\\n'); print('too', file=kept)\n",
        tmp_path,
    )
    assert told.run == "a\nb\nc\nd\nFalse\n"
    assert told.out == "outside\ntoo\n"


def test_a_write_that_was_kept_is_of_no_run(capsys):
    """Whoever keeps `sys.stdout.write`, wherever, writes to the run that is current then."""
    with capturing():
        pass
    outside = sys.stdout.write
    with capturing() as first:
        inside = sys.stdout.write
        outside("a")
        with capturing() as second:
            inside("b")
            outside("c")
        inside("d")
    inside("e")
    assert (first.text(), second.text()) == ("ad", "bc")
    assert capsys.readouterr().out == "e"


def test_a_program_started_without_a_pipe_writes_to_the_console(tmp_path):
    """It has the descriptor; what is read of it and printed is the run's."""
    told = run_program(
        "import subprocess\nwith capture():\n"
        "    subprocess.run(['echo', 'console'])\n"
        "    print(subprocess.run(['echo', 'run'], capture_output=True, text=True).stdout)\n",
        tmp_path,
    )
    assert (told.out, told.run) == ("console\n", "run\n\n")


def test_input_asks_in_the_run(tmp_path):
    """Without a terminal, the prompt is the run's, and the answer comes from standard input."""
    told = run_program(
        "with capture():\n    print('got', input('name? '))\n", tmp_path, typed="me\n"
    )
    assert told.run == "name? got me\n"
    assert told.out == ""


def test_a_signal_handler_may_print_at_any_moment(tmp_path):
    """It interrupts prints, flushes and appends of the main thread, and nothing hangs or goes."""
    told = run_program(
        "import signal\nbeats = 0\n"
        "def beat(*_):\n"
        "    global beats\n    beats += 1\n    print('beat', flush=beats % 2 == 0)\n"
        "    print('beat', file=sys.stderr)\n"
        "signal.signal(signal.SIGALRM, beat)\n"
        "with capture() as run:\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "    lines = 0\n"
        "    while beats < 200:\n"
        "        print('work', flush=lines % 3 == 0); lines += 1\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(beats * 2, lines)\n",
        tmp_path,
    )
    beats, lines = map(int, told.out.split())
    assert told.run.count("beat") == beats
    assert told.run.count("work") == lines
    assert told.run.count("\n") == beats + lines


def test_ctrl_c_amid_a_print_harms_nothing(tmp_path):
    """KeyboardInterrupt, wherever it comes, leaves the journal whole and loses no earlier print."""
    told = run_program(
        "import signal\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "printed, caught = [], 0\n"
        "with capture() as run:\n"
        "    while caught < 300:\n"
        "        try:\n"
        "            signal.setitimer(signal.ITIMER_REAL, 0.0005)\n"
        "            while True:\n"
        "                line = f'{caught}.{len(printed)}'\n"
        "                sys.stdout.write(line + '\\n')\n"
        "                printed.append(line)\n"
        "                sys.stdout.flush()\n"
        "        except KeyboardInterrupt:\n"
        "            caught += 1\n"
        "from tests.captures import Kind, entries_of\n"
        "assert not any(entry.kind is Kind.GAP for entry in entries_of(run))\n"
        "print('\\n'.join(printed))\n",
        tmp_path,
    )
    assert set(told.out.split()) <= set(told.run.split())


def test_finalizers_may_print_at_any_moment(tmp_path):
    """`__del__` prints and flushes, wherever the collector runs."""
    told = run_program(
        "import gc, threading\nmade = 0\n"
        "class Noisy:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self):\n"
        "        print('gone', flush=True); print('gone', file=sys.stderr)\n"
        "gc.set_threshold(50)\n"
        "def work():\n"
        "    for _ in range(2000): Noisy(); print('work', flush=True)\n"
        "with capture():\n"
        "    threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "    [t.start() for t in threads]; work(); [t.join() for t in threads]\n"
        "    gc.collect()\n",
        tmp_path,
    )
    everything = told.run + told.out + told.err
    assert told.run.count("work") == 8000
    assert everything.count("gone") == 16000


def test_a_forked_child_prints_where_it_did(tmp_path):
    """What a child inherited is its parent's to write; its own prints reach the console."""
    told = run_program(
        "import os, time\n"
        "with capture() as run:\n"
        "    print('parent')\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        print('child', flush=True); print('oops', file=sys.stderr)\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "    print('parent')\n",
        tmp_path,
    )
    assert told == ("child\n", "oops\n", "parent\nparent\n")


def test_what_was_printed_survives_an_exit_without_an_end(tmp_path):
    """A run that is left without an end at exit has all that was printed."""
    told = run_program(
        "work = capture()\nrun = work.__enter__()\nprint('a' * 1000)\nsys.stdout.write('b')\n",
        tmp_path,
    )
    assert told.run.startswith("a" * 1000 + "\nb")


def test_who_is_interrupted_while_it_prints_outside_of_runs_prints_on_there():
    """Ctrl-C right before a print is passed through changes nothing for those that follow."""
    program = """
import io, sys, outlive
sys.stdout = mine = io.StringIO()
with outlive.capture(store="memory:"):
    pass

def interrupt(frame, event, function):
    if event == "c_return" and frame.f_code.co_name == "write_through" and function.__name__ == "add":
        sys.setprofile(None)
        raise KeyboardInterrupt

sys.setprofile(interrupt)
try:
    print("interrupted")
except KeyboardInterrupt:
    print("after")
assert mine.getvalue() == "after\\n", mine.getvalue()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
