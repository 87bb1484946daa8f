"""feed TRANSPORT TARGET RATE LINES RUNS HISTORY: give lines to a server, evenly, from outside.

RATE and LINES are those of each run; a run has HISTORY megabytes before. Prints the runs' ids (or -), then says `hello` twice a second until there is a line on standard
input: some servers send a head only with the first bytes. Then it feeds, prints how many lines it
fed in all, when it began (microseconds of CLOCK_MONOTONIC) and its seconds of CPU meanwhile, and waits
for the end of standard input.
"""

import contextlib
import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pacing import pace

Send = Callable[[list[bytes]], None]


def to_journal(target: str, count: int, history: int) -> tuple[str, Send, Callable[[], object]]:
    """Write into runs of the store at a path, as any process may: a line to each in turn."""
    from outlive.entries import End, Kind, State
    from outlive.runs import create_run
    from outlive.stores import DirectoryStore

    store = DirectoryStore(Path(target))
    runs = [create_run(store, title="crowd") for _ in range(count)]
    for run in runs:
        for _ in range(history * 1_000_000 // len(_HISTORY)):
            run.write(Kind.OUT, _HISTORY)
    turns = itertools.cycle(runs)

    def send(lines: list[bytes]) -> None:
        if len(runs) == 1:
            runs[0].write(Kind.OUT, b"".join(lines))
            return
        for line, run in zip(lines, turns, strict=False):
            run.write(Kind.OUT, line)

    def end() -> None:
        for run in runs:
            run.end(End(State.SUCCEEDED, 0))

    return " ".join(run.id for run in runs), send, end


#: As large an entry as a flood makes.
_HISTORY = (b"x" * 99 + b"\n") * 655


def to_socket(target: str) -> tuple[str, Send, Callable[[], object]]:
    """Send to the Unix socket at a path."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(target)
    return "-", lambda lines: connection.sendall(b"".join(lines)), connection.close


def to_redis(target: str) -> tuple[str, Send, Callable[[], object]]:
    """Publish to the channel of Flask-SSE, at a port: what its `publish` sends, on one connection."""
    connection = socket.create_connection(("127.0.0.1", int(target)), 10)

    def publish(line: bytes) -> bytes:
        message = json.dumps({"data": line.decode().rstrip("\n"), "type": None}).encode()
        return b"*3\r\n$7\r\nPUBLISH\r\n$3\r\nsse\r\n$%d\r\n%s\r\n" % (len(message), message)

    def send(lines: list[bytes]) -> None:
        connection.sendall(b"".join(map(publish, lines)))
        drain(connection)

    return "-", send, connection.close


def to_nchan(target: str, *, batch: bool = False) -> tuple[str, Send, Callable[[], object]]:
    """Post to a port, pipelined on one connection: a message for each line, or for each tick."""
    connection = socket.create_connection(("127.0.0.1", int(target)), 10)

    def post(message: bytes) -> bytes:
        return b"POST /publish HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (
            len(message),
            message,
        )

    def send(lines: list[bytes]) -> None:
        messages = [b"".join(lines)] if batch else lines
        connection.sendall(b"".join(post(message.rstrip(b"\n")) for message in messages))
        drain(connection)

    return "-", send, connection.close


def drain(connection: socket.socket) -> None:
    """Throw away the answers that are there."""
    while select.select([connection], [], [], 0)[0] and connection.recv(1 << 16):
        pass


#: These have one place for lines, and no more.
TRANSPORTS: dict[str, Callable[[str], tuple[str, Send, Callable[[], object]]]] = {
    "socket": to_socket,
    "redis": to_redis,
    "nchan": to_nchan,
    "nchan-batch": lambda target: to_nchan(target, batch=True),
}


def main() -> None:
    """Feed as the arguments say."""
    transport, target, *numbers = sys.argv[1:]
    rate, lines, runs, history = map(int, numbers)
    if transport == "journal":
        name, send, end = to_journal(target, runs, history)
    else:
        name, send, end = TRANSPORTS[transport](target)
    print(name, flush=True)
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        send([b"hello\n"] * runs)
    sys.stdin.readline()
    began, used, fed = time.monotonic_ns() // 1000, time.process_time(), 0
    with contextlib.suppress(TimeoutError):
        for batch in pace(rate * runs, lines * runs):
            send(batch)
            fed += len(batch)
    print(fed, began, time.process_time() - used, flush=True)
    sys.stdin.read()
    end()


if __name__ == "__main__":
    main()
