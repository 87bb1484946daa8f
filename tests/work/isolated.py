"""Work for processes of their own, which import it from here."""

import asyncio
import ctypes
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import outlive

log = logging.getLogger("work")


def write_everything(count):
    """Write by turns in all ways that have an order."""
    for i in range(count):
        print(f"print {i}")
        log.warning("record %d", i)
        print(f"error {i}", file=sys.stderr)
        print("half a ", end="")
        print(f"line {i}")
        outlive.event(f"event {i}", {"i": i})


def write_from_below():
    """Write where Python does not see it."""
    ctypes.CDLL(None).puts(b"from C")
    print("from Python", flush=True)
    os.write(1, b"from a descriptor\n")
    subprocess.run(["sh", "-c", "echo from a child; echo its errors >&2"], check=True)


def count():
    """Yield lines."""
    yield "one"
    yield b"two\n"


async def count_slowly():
    """Yield lines, asynchronously."""
    yield "one"
    await asyncio.sleep(0.01)
    yield "two"


def fail():
    """Raise something."""
    raise ValueError("no such luck")


def end_in(way):
    """End in one way or another."""
    print("last words")
    if way == "segfault":
        ctypes.string_at(0)
    elif way == "_exit":
        os._exit(3)
    elif way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(3 if way == "exit" else "it is over")


def work_until_cancelled():
    """Go on until somebody asks for the end."""
    print("on")
    while not outlive.cancelled():
        time.sleep(0.01)
    print("asked")


async def wait_until_cancelled():
    """Wait until the task is cancelled."""
    print("on")
    try:
        await asyncio.sleep(300)
    finally:
        print("cleaned up")


def start_others():
    """Have a child, a pool's worker and a daemon, and wait for the end."""
    pids = [os.getpid(), subprocess.Popen(["setsid", "sleep", "300"]).pid]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pids.append(pool.apply(os.getpid))
        print(*pids, "on")
        work_until_cancelled()


def end_a_pool():
    """Terminate a pool, whose workers get a SIGTERM."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))


def log_in_a_fork():
    """Log in a child that is a copy of this process."""
    if os.fork() == 0:
        log.warning("in the child")
        os._exit(0)
    os.wait()
    log.warning("in the parent")


def tell(name):
    """Print and log."""
    print("print of", name)
    log.warning("record of %s", name)


def start_processes():
    """Have processes of all kinds write."""
    for kind in ("fork", "spawn", "forkserver"):
        context: Any = multiprocessing.get_context(kind)
        process = context.Process(target=tell, args=(kind,))
        process.start()
        process.join()


def send_much(size):
    """Send an event, a record and text of one size."""
    outlive.event("large", "x" * size)
    log.warning("y" * size)
    print("z" * size)


def capture_within():
    """Make a run of its own for a part."""
    print("before")
    with outlive.capture(store="memory:") as inner:
        print("within")
    print("after", inner.text().strip())


def track_stages():
    """Tell of stages."""
    with outlive.stage("outer"):
        for _ in outlive.track(range(3), stage="inner"):
            pass


def leave_a_thread_behind():
    """Print when the run has its end, through the stream that a part of it put there."""
    with outlive.capture(store="memory:"):
        print("within")
    run: Any = outlive.current_run()
    threading.Thread(target=lambda: (run.wait(), print("late"))).start()


def read():
    """Read what there is to read: nothing."""
    print(repr(sys.stdin.read()))


def kill_forks():
    """Tell children to end that have only just begun."""
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            time.sleep(5)
            os._exit(1)
        os.kill(pid, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
