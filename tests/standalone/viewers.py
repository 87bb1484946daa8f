"""Viewers that lose their connections at random, resume, and check every byte."""

import asyncio
import base64
import json
import random
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.standalone.servers import dechunk


@dataclass
class Watching:
    """A viewer of lines that are numbered from 0; `count` of them came, each once and in turn."""

    url: str
    form: str
    choice: random.Random
    cuts: int
    last_id: str = ""
    text: bytearray = field(default_factory=bytearray)
    ended: bool = False
    connects: int = 0

    async def watch(self) -> None:
        """Watch until the end has come, over as many connections as it takes."""
        while not self.ended:
            patience = None
            if self.cuts:
                self.cuts -= 1
                patience = int(self.choice.expovariate(1 / 150_000))
            await self._visit(patience)

    async def _visit(self, patience: int | None) -> None:
        """Read `patience` bytes, or to the end."""
        self.connects += 1
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
        query = f"format={self.form}" + (f"&from={self.last_id}" if self.last_id else "")
        head = f"GET {parts.path}?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n"
        writer.write(head.encode())
        try:
            first = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in first, first
            # Werkzeug sends chunks to clients of HTTP/1.0, too.
            is_chunked = b"\r\ntransfer-encoding: chunked\r\n" in first.lower()
            rest, framed, taken = b"", b"", 0
            while not self.ended and (patience is None or patience > 0):
                data = await reader.read(2**20)
                if not data:
                    return
                if patience is not None:
                    # A cut may come anywhere, also within a message.
                    data = data[:patience]
                    patience -= len(data)
                if is_chunked:
                    framed += data
                    body, _ = dechunk(framed)
                    data, taken = body[taken:], len(body)
                rest = self._take(rest + data)
        finally:
            writer.close()

    def _take(self, data: bytes) -> bytes:
        """Take whole messages; returns the beginning of the next."""
        mark = b"\n" if self.form == "ndjson" else b"\n\n"
        end = data.rfind(mark) + len(mark)
        if end < len(mark):
            return data
        if self.form == "sse":
            self._take_lines(data[:end])
        else:
            self._take_objects(data[:end])
        return data[end:]

    def _take_lines(self, data: bytes) -> None:
        # Named events say more than the lines that are counted here.
        self.ended = b"\nevent: end\n" in data
        lines = re.findall(rb"^data: (\d+)\nid: \S+\n$", data, re.MULTILINE)
        if lines:
            self.text += b"\n".join(lines) + b"\n"
        if ids := data.rfind(b"id: ") + 1:
            self.last_id = data[ids + 3 : data.index(b"\n", ids)].decode()

    def _take_objects(self, data: bytes) -> None:
        for line in data.splitlines():
            if line.startswith((b"{", b"data: ")):
                value = json.loads(line.removeprefix(b"data: "))
                self.last_id = value["id"]
                self.text += value.get("text", "").encode() + base64.b64decode(
                    value.get("bytes", "")
                )
                self.ended = value["kind"] == "end"


async def watch_all(url: str, count: int, *, cuts: int, seed: int) -> list[Watching]:
    """Let `count` viewers of three formats watch a run, some from the beginning, some late."""
    forms = ("sse", "entries", "ndjson")
    viewers = [
        Watching(url, forms[number % 3], random.Random(seed + number), cuts)
        for number in range(count)
    ]

    async def watch(viewer: Watching) -> None:
        await asyncio.sleep(viewer.choice.random() / 2)  # to come late is part of the story
        await viewer.watch()

    await asyncio.gather(*map(watch, viewers))
    return viewers
