"""The outbox: what one client will receive (hub/rooms/queued.py), and what of it the kernel took.

The writer uses segments, advance, took_item, took_chunk and took_text. Whatever the kernel takes, the outbox
stands at a line border plus one partial line, so that its encoding may change and a farewell may enter there.

Delivered bytes are counted here, from what the kernel says; what was owed is counted in the room, when a line
is appended, or before an echo is sent. That the two agree is a promise, and the reason why they are counted
apart.
"""

from collections.abc import Iterable
from typing import Any

from hub.protocol.encoding import Encoding, canonical_left, cut
from hub.protocol.ws_frames import Cut
from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.losses import NO_LOSSES
from hub.rooms.queued import Queued
from hub.rooms.segments import Item, Partial, Segment, batch, upcoming


class Outbox(Queued):
    """The output of one client. Sizes are bytes, times are seconds on the loop's clock."""

    __slots__ = ("blocked", "blocked_at", "bytes_out", "farewell_sent", "lines_out", "took_at")

    def __init__(
        self, id: int, owner: Any, account: Account, encoding: Encoding, write_only: bool = False
    ) -> None:
        super().__init__(id, owner, account, encoding, write_only)
        self.blocked = False
        """The kernel refused bytes: write interest is armed."""
        self.blocked_at = 0.0
        self.took_at = 0.0
        """When the kernel last took bytes of a client that was blocked or had several segments."""
        self.lines_out = self.bytes_out = 0
        self.farewell_sent = False

    def close(self) -> None:
        """Nothing goes out any more; what waited is unsent."""
        self.drop()
        self.closed, self.blocked, self.log = True, False, None

    # Verbs of the writer.

    @property
    def has_more(self) -> bool:
        """Something could go out now: all but lines that are no chunk yet."""
        is_behind = self.log is not None and self.offset < self.log.sealed
        return is_behind or self.partial is not None or self._items is not None

    def segments(self) -> list[Segment]:
        """The next batch, in order; empty when there is nothing."""
        if self.losses.unreported_lines:
            self._report_skips()
        if self.own_bytes:  # Own lines that the room has next are passed at once: they are no lag.
            for segment in upcoming(self.id, "lf", None, (), self.log, self.offset):  # The cheapest.
                if segment.wire:
                    break
                self._take_whole(segment)
        return batch(upcoming(self.id, self.encoding, self.partial, self.items, self.log, self.offset))

    def advance(self, segments: Iterable[Segment], taken: int, now: float) -> None:
        """Move past the first `taken` bytes of these segments."""
        self.bytes_out += taken
        if taken:
            self.took_at = now
        whole_items = 0
        for segment in segments:
            size = len(segment.wire)
            if taken < size:
                if taken:
                    self._take_some(segment, whole_items, taken)
                break
            taken -= size
            self._take_whole(segment)
            whole_items += isinstance(segment.source, Item)
        if self._items is not None:
            del self._items[:whole_items]
            self._items = self._items or None

    def is_in_step(self, offset: int) -> bool:
        """The client stands at this offset, and what the log has from there on is all that waits."""
        return self.offset == offset and self.partial is None and self._items is None

    def only_item(self) -> Item | None:
        """The one thing that waits, where it is one item: an echo, an answer, a whisper."""
        items = self._items
        if items is None or len(items) != 1 or self.partial is not None or self.losses is not NO_LOSSES:
            return None
        return items[0] if self.log is None or self.offset == self.log.head else None

    def took_item(self, item: Item, lines: int, taken: int) -> None:
        """The kernel took the whole of the only item: so many lines, as `taken` bytes."""
        self._items, self.item_bytes = None, 0
        self.bytes_out += taken
        self.lines_out += lines
        if item.owed:
            self._account.delivered += len(item.data)
        if item.farewell:
            self.farewell_sent = True

    @property
    def is_clear(self) -> bool:
        """Nothing waits here, so the kernel refused nothing, and the client gets lines as they are."""
        return (
            self._items is None
            and self.partial is None
            and self.log is None
            and not self.closed
            and self.encoding == "lf"
        )

    def took_text(self, lines: int, taken: int) -> None:
        """The kernel took so many lines that the client said itself and that never waited here."""
        self.bytes_out += taken
        self.lines_out += lines
        self._account.delivered += taken

    def took_chunk(self, chunk: Chunk, taken: int, own_lines: int = 0, own_bytes: int = 0) -> None:
        """The common case in a room: the kernel took a whole chunk, but for the client's own lines in it."""
        self.offset = chunk.end
        self.next_line += chunk.count
        self.lines_out += chunk.count - own_lines
        self.bytes_out += taken
        self._account.delivered += len(chunk.lf) - own_bytes
        self.own_lines -= own_lines
        self.own_bytes -= own_bytes

    def refused(self, now: float) -> None:
        """The kernel took less than it was offered."""
        if not self.blocked:
            self.blocked, self.blocked_at = True, now

    def refused_with(self, size: int, taken: int) -> None:
        """The client was not let in, and of the one line that says so the kernel took this much."""
        self.bytes_out, self.farewell_sent = taken, taken == size

    def accepted(self) -> None:
        """The kernel took all that it was offered."""
        self.blocked = False

    def is_writable(self, now: float) -> None:
        """The kernel called the client writable, so its peer took bytes."""
        self.took_at = now

    # Inside.

    def _take_whole(self, segment: Segment) -> None:
        source = segment.source
        if isinstance(source, Chunk):
            start = self.offset - source.start
            whole = segment.size == len(source.lf)
            lines = source.count if whole else source.lf.count(b"\n", start, start + segment.size)
            self.next_line += lines
            self.offset += segment.size
            if segment.wire:
                self.lines_out += lines
                self._account.delivered += segment.size
            else:
                self.own_lines -= lines
                self.own_bytes -= segment.size
        else:
            self.farewell_sent |= source.farewell
            self.lines_out += source.lines
            self._account.delivered += segment.size if source.owed else 0
            if isinstance(source, Partial):
                self.partial = None
            else:
                self.item_bytes -= len(source.data)

    def _take_some(self, segment: Segment, index: int, taken: int) -> None:
        """The kernel cut this segment: go on to the end of the cut line, and keep that line's rest."""
        source, wire = segment.source, segment.wire
        if isinstance(source, Partial):
            left = canonical_left(wire[taken:], source.encoding, source.owed)
            self._account.delivered += source.owed - left
            source.wire, source.owed = wire[taken:], left
        elif isinstance(source, Item):
            self._take_some_of_item(source, wire, index, taken)
        else:
            place = source.cut(self.encoding, self.offset - source.start, wire, taken)
            self.lines_out += place.lines - (place.left > 0)
            self.next_line += place.lines
            self.offset += place.size
            self._account.delivered += place.size - place.left
            rest = wire[taken : place.border]
            own = self.is_echo(self.offset - 1)
            if rest:
                self.partial = Partial(rest, place.left, 1, self.encoding, farewell=False, own=own)

    def _take_some_of_item(self, item: Item, wire: bytes, index: int, taken: int) -> None:
        """The same for an item. Raw bytes have no lines: the rest of them is one thing."""
        if item.raw:
            encoding: Encoding = "frames"
            place = Cut(len(wire), 1, len(item.data), len(wire) - taken)
        else:
            encoding = item.encoding or self.encoding
            place = cut(wire, taken, encoding)
        is_last, owed = place.size == len(item.data), place.left if item.owed else 0
        self.lines_out += place.lines - (place.left > 0)
        self.item_bytes -= place.size
        self._account.delivered += place.size - place.left if item.owed else 0
        rest, lines = wire[taken : place.border], item.lines if item.raw else 1
        if rest:
            is_farewell = item.farewell and is_last
            self.partial = Partial(rest, owed, lines, encoding, farewell=is_farewell, own=item.own)
        if not is_last:
            item.data = item.data[place.size :]
            item.lines -= place.lines
        elif self._items is not None:
            del self._items[index]
