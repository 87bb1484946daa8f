"""A thread that computes beside what a server does, and tells how far it is."""

import mmap
import os
import struct
import threading
from pathlib import Path

_ROUND = 1000


def compute() -> None:
    """Begin, where the environment says `ROUNDS`: a file of eight bytes, the rounds so far."""
    if path := os.environ.get("ROUNDS"):
        threading.Thread(target=_work, args=[path], daemon=True).start()


def _work(path: str) -> None:
    Path(path).write_bytes(bytes(8))
    with Path(path).open("r+b") as file, mmap.mmap(file.fileno(), 8) as rounds:
        count = 0
        while True:
            total = 0
            for number in range(_ROUND):
                total += number * number
            count += 1
            rounds[:8] = struct.pack("=q", count)
