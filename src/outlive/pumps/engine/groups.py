"""All who are sent the same bytes: a feed in a framing, and where its head is."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import NamedTuple
from weakref import WeakValueDictionary

from ...errors import JournalError
from ...feeds import Chunk, Feed, Place
from ...viewers import Viewer
from .connections import Block, Connection, Framing
from .sending import FLAGS, push

__all__ = ["Group", "Shelf"]

#: Bytes of blocks that are kept for those who are behind, of all groups.
_SHELF_SIZE = 32 * 1024 * 1024


class Shelf:
    """The blocks whose bytes are kept; the oldest lose them."""

    def __init__(self) -> None:
        self._blocks: dict[Block, None] = {}
        self.size = 0

    def put(self, block: Block) -> None:
        """Keep the bytes of a block for a while, where they can be read again."""
        if block.before is None or block in self._blocks:
            return
        self._blocks[block] = None
        self.size += block.size
        while self.size > _SHELF_SIZE and len(self._blocks) > 1:
            oldest = next(iter(self._blocks))
            del self._blocks[oldest]
            oldest.data = None
            self.size -= oldest.size


class Turn(NamedTuple):
    """What came of a turn of a group: who was sent nothing, who has all, whether there may be more."""

    doubtful: list[Connection]
    complete: list[Connection]
    has_more: bool = False


class Group:
    """One feed in one framing. Those at the head share one viewer, which says what they are sent."""

    def __init__(self, feed: Feed, framing: Framing, shelf: Shelf) -> None:
        self.feed = feed
        self.framing = framing
        self.is_moved = False
        #: Those at the head, by descriptor; and all others.
        self.heads: dict[int, Connection] = {}
        self.others: set[Connection] = set()
        #: The viewer that all at the head share; None where nobody is.
        self.viewer: Viewer | None = None
        self._shelf = shelf
        #: The last block that the head made; and all that somebody is behind, by where they begin.
        self._tail: Block | None = None
        self._begins: WeakValueDictionary[Place, Block] = WeakValueDictionary()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is left."""
        return not self.heads and not self.others

    def read(self, viewer: Viewer) -> tuple[list[Block], bool]:
        """Make blocks of what a viewer is to be sent now; gives whether there may be more, too."""
        before = viewer.place
        chunk = self.feed.read(before, self.feed.journal.moved)
        parts = viewer.take(chunk, monotonic())
        blocks = self._pack(parts, chunk, before, viewer.place)
        if viewer.finished:
            blocks.append(Block(self.framing.end, None, viewer.place, is_last=True))
        return blocks, chunk.has_entries

    def _pack(
        self, parts: tuple[bytes, ...], chunk: Chunk, before: Place, after: Place
    ) -> list[Block]:
        frame = self.framing.frame
        if parts == chunk.parts and parts:
            return [Block(frame(parts), before, after)]
        first = next(
            (i for i, part in enumerate(parts) if chunk.parts and part is chunk.parts[0]), 0
        )
        last = first + len(chunk.parts)
        pieces = [
            (parts[:first], None, before),
            (parts[first:last], before, chunk.place),
            (parts[last:], None, after),
        ]
        return [Block(frame(some), where, then) for some, where, then in pieces if some]

    def data_of(self, block: Block) -> bytes:
        """Get the bytes of a block, if need be from the journal; raises JournalError."""
        data = block.data
        if data is None:
            data = block.data = self._read_again(block)
            self._shelf.put(block)
        return data

    def _read_again(self, block: Block) -> bytes:
        if block.before is None:
            raise JournalError("what opens a stream cannot be read again")
        data = self.framing.frame(self.feed.read_again(block.before, block.after))
        if len(data) != block.size:
            raise JournalError("what a viewer was being sent is no longer there")
        return data

    def advance(self) -> Turn:
        """Send what is new to all at the head."""
        turn = Turn([], [])
        if self.viewer is None:
            return turn
        before = self.viewer.place
        blocks, has_more = self.read(self.viewer)
        self._link(before, blocks)
        for index, block in enumerate(blocks):
            self._send_all(blocks[index:], block, turn.doubtful)
        if self.viewer.finished:
            turn.complete.extend(self.heads.values())
        if not self.heads:
            self.viewer = None
        return turn._replace(has_more=has_more and not turn.complete)

    def _link(self, before: Place, blocks: list[Block]) -> None:
        """Have blocks follow those that the head made before."""
        if self._tail is not None and self._tail.after != before:
            self._tail = None
        for block in blocks:
            if self._tail is not None:
                self._tail.next = block
            self._tail = block
            if block.before is not None:
                self._begins[block.before] = block

    def _send_all(self, blocks: list[Block], block: Block, doubtful: list[Connection]) -> None:
        data, size, flags, call = block.data, block.size, FLAGS, push
        if not size:
            # What ends a body that the end of its connection ends.
            return
        # A loop of nothing but sends: here a thousand viewers cost what they cost.
        short = [(fd, sent) for fd in self.heads if (sent := call(fd, data, size, flags)) != size]
        for fd, sent in short:
            connection = self.heads[fd]
            self.fall_behind(connection, blocks, max(sent, 0))
            if sent < 0:
                # Why, its own next send finds out: in errno there is that of the last one only.
                doubtful.append(connection)
        if self.others:
            self._shelf.put(block)

    def fall_behind(self, connection: Connection, blocks: list[Block], sent: int = 0) -> None:
        """Take one from the head, which has yet to be sent these blocks."""
        del self.heads[connection.fd]
        self.others.add(connection)
        connection.blocks = deque(blocks)
        connection.last = blocks[-1]
        connection.sent = sent
        if self.viewer is not None:
            # Without an opening, and due for nothing that the head was sent.
            connection.viewer = Viewer(self.feed, self.viewer.place, b"", monotonic())
            connection.viewer.finished = self.viewer.finished

    def join(self, connection: Connection) -> bool:
        """Have one that has everything go on with the head, if it is there, or by making it."""
        viewer = connection.viewer
        if viewer is None or connection.blocks or viewer.is_new:
            return False
        if self.viewer is None:
            self.viewer = viewer
        elif self.viewer.place != viewer.place:
            return False
        self.others.discard(connection)
        connection.viewer = connection.blocks = connection.last = None
        self.heads[connection.fd] = connection
        return True

    def remove(self, connection: Connection) -> None:
        """Forget one."""
        self.heads.pop(connection.fd, None)
        self.others.discard(connection)
        if not self.heads:
            self.viewer = None

    def catch_up(self, connection: Connection) -> bool:
        """Send one more block to one that is behind; gives whether it can be sent more at once.

        Raises OSError where it has gone, JournalError where it cannot be sent the rest.
        """
        if not connection.blocks and not self._refill(connection):
            return False
        blocks = connection.blocks
        if not blocks:
            return True
        block = blocks[0]
        if not connection.push(block, self.data_of(block)):
            self._shelf.put(block)
            return False
        blocks.popleft()
        connection.is_over = block.is_last
        return not block.is_last

    def _refill(self, connection: Connection) -> bool:
        """Find what follows for one that has sent all it had; at the head it joins that."""
        viewer, last = connection.viewer, connection.last
        if viewer is None:
            return False
        block = self._begins.get(viewer.place) if last is None else last.next
        if block is not None and not viewer.is_new:
            connection.last = block
            connection.blocks = deque([block])
            viewer.place = block.after
            return True
        is_furthest = last is not None and last is self._tail
        if (self.viewer is not None or is_furthest) and self.join(connection):
            return False
        return self._read_for(connection, viewer)

    def _read_for(self, connection: Connection, viewer: Viewer) -> bool:
        """Read for one that is where nobody of the head was."""
        connection.last = None
        blocks, has_more = self.read(viewer)
        if not blocks and not has_more:
            self.join(connection)
            return False
        connection.blocks = deque(blocks)
        return True
