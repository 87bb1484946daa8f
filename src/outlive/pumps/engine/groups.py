"""All who are sent the same bytes: a feed in a framing, and where its head is."""

from __future__ import annotations

from itertools import islice
from time import monotonic
from typing import NamedTuple
from weakref import WeakValueDictionary

from ...errors import JournalError
from ...feeds import Chunk, Feed, Place
from ...viewers import Viewer
from .connections import Block, Connection
from .framings import Framing
from .sending import FLAGS, push

__all__ = ["Group", "Shelf"]

#: Bytes of blocks that are kept for those who are behind, of all groups.
_SHELF_SIZE = 32 * 1024 * 1024
#: Viewers between two looks at the clock: 512 sends take 1 to 4 ms.
_SLICE = 512


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
    """What came of a turn of a group: who fell behind, who has all, whether there may be more."""

    behind: list[Connection]
    complete: list[Connection]
    has_more: bool = False


class Group:
    """One feed in one framing. Those at the head share one viewer, which says what they are sent.

    What is new is sent to them in a round, which may take several turns: who was not yet reached
    is pending, and not at the head meanwhile.
    """

    def __init__(self, feed: Feed, framing: Framing, shelf: Shelf) -> None:
        self.feed = feed
        self.framing = framing
        self.is_moved = False
        #: Those at the head, by descriptor; and those who are behind, or beside it.
        self.heads: dict[int, Connection] = {}
        self.others: set[Connection] = set()
        #: Of these, who have everything, but were not shown the same of an unfinished line.
        self.asides: set[Connection] = set()
        #: The viewer that all at the head share.
        self.viewer: Viewer | None = None
        self._shelf = shelf
        self._shares = feed.format.likeness is not feed.format
        self._pending: dict[int, Connection] = {}
        self._blocks: tuple[Block, ...] = ()
        self._has_more = False
        #: What the head was sent last; and what was read for others, by where it begins.
        self._latest: Block | None = None
        self._begins: WeakValueDictionary[Place, Block] = WeakValueDictionary()

    @property
    def has_heads(self) -> bool:
        """Whether somebody is at the head, or will be in the course of this round."""
        return bool(self.heads or self._pending)

    @property
    def members(self) -> list[Connection]:
        """All of them."""
        return [*self.heads.values(), *self._pending.values(), *self.others]

    # ── the head ──

    def advance(self, until: float) -> Turn:
        """Send what is new to those at the head, or to more of them, until about that time."""
        turn = Turn([], [])
        if not self._pending and not self._begin_round():
            return turn
        while self._pending:
            self._send_to_some(turn)
            if monotonic() >= until:
                break
        return turn._replace(has_more=bool(self._pending) or self._has_more)

    def _begin_round(self) -> bool:
        """Read what is new to those at the head; tells whether there may be something."""
        if not self.heads or self.viewer is None:
            return False
        self._blocks, self._has_more = self._read(self.viewer)
        # For nobody it would only be kept.
        self._latest = self._blocks[0] if self._blocks and self.others else None
        if self._blocks:
            self._pending, self.heads = self.heads, {}
        return bool(self._blocks) or self._has_more

    def _send_to_some(self, turn: Turn) -> None:
        some = dict(islice(self._pending.items(), _SLICE))
        for fd in some:
            del self._pending[fd]
        for index, block in enumerate(self._blocks):
            for fd, sent in _send_all(some, self._data_of(block), block.size):
                connection = some.pop(fd)
                # Why, its own next send finds out: in errno there is that of the last one only.
                self._fall_behind(connection, self._blocks[index:], max(sent, 0))
                turn.behind.append(connection)
        self.heads.update(some)
        if self._blocks[-1].is_last:
            turn.complete.extend(some.values())

    def _fall_behind(self, connection: Connection, blocks: tuple[Block, ...], sent: int) -> None:
        """Take one from the head, which has yet to be sent these blocks."""
        place = blocks[-1].after
        self.others.add(connection)
        connection.give(blocks, sent)
        connection.viewer = Viewer(self.feed, place, b"", monotonic())
        connection.viewer.follow(place)
        for block in blocks:
            self._shelf.put(block)

    # ── those who are behind ──

    def catch_up(self, connection: Connection) -> bool:
        """Send one more block to one that is behind; gives whether it can be sent more at once.

        Raises OSError where it cannot, JournalError where what it lacks is gone.
        """
        if not connection.blocks:
            return self._refill(connection)
        block = connection.blocks[0]
        if not connection.push(self._data_of(block)):
            self._shelf.put(block)
            return False
        connection.blocks = connection.blocks[1:]
        connection.is_over = block.is_last
        return not block.is_last

    def _refill(self, connection: Connection) -> bool:
        """Find what follows for one that was sent all it had; gives whether there may be something."""
        viewer = connection.viewer
        if viewer is None or self._join(connection, viewer):
            return False
        self.asides.discard(connection)
        if viewer.opening:
            opening = Block(self.framing.frame((viewer.open(),)), None, viewer.place)
            connection.give((opening,))
            return True
        block = self._find(viewer.place)
        if block is not None:
            connection.give((block,))
            viewer.follow(block.after)
            return True
        blocks, has_more = self._read(viewer)
        connection.give(blocks)
        if blocks or has_more:
            return True
        if not self.has_heads:
            self.viewer = viewer
        if not self._join(connection, viewer):
            self.asides.add(connection)
        return False

    def _find(self, place: Place) -> Block | None:
        latest = self._latest
        return latest if latest and latest.before == place else self._begins.get(place)

    def _join(self, connection: Connection, viewer: Viewer) -> bool:
        """Have one go on with the head, if it is there."""
        if self.viewer is None or self.viewer.place != viewer.place or viewer.opening:
            return False
        self.others.discard(connection)
        self.asides.discard(connection)
        connection.viewer = None
        self.heads[connection.fd] = connection
        return True

    def remove(self, connection: Connection) -> None:
        """Forget one."""
        self.heads.pop(connection.fd, None)
        self._pending.pop(connection.fd, None)
        self.others.discard(connection)
        self.asides.discard(connection)

    # ── blocks ──

    def _read(self, viewer: Viewer) -> tuple[tuple[Block, ...], bool]:
        """Make blocks of what a viewer is to be sent now; gives whether there may be more, too."""
        before = viewer.place
        chunk = self._read_chunk(viewer)
        extra = viewer.take(chunk, monotonic())[len(chunk.parts) :]
        blocks = []
        if chunk.parts or chunk.is_last:
            data = self._frame(chunk.parts, is_last=chunk.is_last)
            again = before if self._shares else None
            blocks.append(Block(data, again, chunk.place, is_last=chunk.is_last))
            if viewer is not self.viewer and again and len(self.others) > 1:
                self._begins[again] = blocks[0]
                self._shelf.put(blocks[0])
        if extra and not chunk.is_last:
            blocks.append(Block(self._frame(extra), None, viewer.place))
        return tuple(blocks), chunk.has_entries

    def _read_chunk(self, viewer: Viewer) -> Chunk:
        place, head = viewer.place, self.viewer
        if viewer is not head and head and place.reading.offset < head.place.reading.offset:
            # All at once, or who is behind would be sent each line by itself; and not beyond the
            # head, or it would never be there.
            return self.feed.read_to(place, head.place.reading.offset)
        return self.feed.read(place, self.feed.journal.moved)

    def _frame(self, parts: tuple[bytes, ...], *, is_last: bool = False) -> bytes:
        data = self.framing.frame(parts) if parts else b""
        return data + self.framing.end if is_last else data

    def _data_of(self, block: Block) -> bytes:
        """Get the bytes of a block, if need be from the journal; raises JournalError."""
        if block.data is None:
            block.data = self._read_again(block)
            self._shelf.put(block)
        return block.data

    def _read_again(self, block: Block) -> bytes:
        if block.before is None:
            raise JournalError("what opens a stream cannot be read again")
        parts = self.feed.read_again(block.before, block.after)
        data = self._frame(parts, is_last=block.is_last)
        if len(data) != block.size:
            raise JournalError("what a viewer was being sent is no longer there")
        return data


def _send_all(connections: dict[int, Connection], data: bytes, size: int) -> list[tuple[int, int]]:
    """Send a block; gives the descriptors of those who were not sent all of it, and how much."""
    flags, call = FLAGS, push
    # A loop of nothing but sends: here a thousand viewers cost what they cost.
    return [(fd, sent) for fd in connections if (sent := call(fd, data, size, flags)) != size]
