"""The outbox: what one client will receive, its offset in its room, and what of it the kernel took.

Modes and flow control use put, join, leave and skip;
the writer uses segments, advance and took_chunk; nobody else writes output state. Whatever the kernel takes,
the outbox stands at a line border plus one partial line, so that its encoding may change and a farewell may
enter there. Everything but room lines enters at a line border, at the place in the log where it happened.

Delivered bytes are counted here, from what the kernel says; what was owed is counted in the room, when a line
is appended. That the two agree is a promise, and the reason why they are counted apart.

Under --slow skip a stream may have a gap: the outbox goes on at the head of its log, and before anything else
its client gets one line, `* skipped N lines`, behind the partial line. N is exact. While that line has not
begun to go out, a further gap only makes N larger, so a client that never reads is owed one such line, not
many.
"""

from collections.abc import Iterable
from typing import Any

from hub.protocol.encoding import Encoding, canonical_left, cut
from hub.protocol.ws_frames import Cut
from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.log import Log, pieces
from hub.rooms.segments import Item, Partial, Segment, batch, upcoming
from hub.rooms.subscriber import Subscriber


class Outbox(Subscriber):
    """The output of one client. Sizes are bytes, times are seconds on the loop's clock."""

    __slots__ = (
        "_account", "_unreported_skips", "blocked", "blocked_at", "bytes_out", "closed", "encoding",
        "farewell_sent", "item_bytes", "items", "lines_out", "partial", "skipped_bytes", "skipped_lines",
        "took_at", "unsent_bytes", "unsent_item_bytes", "unsent_own_bytes", "write_only",
    )  # fmt: skip

    def __init__(self, id: int, owner: Any, account: Account, encoding: Encoding, write_only: bool = False):
        super().__init__(id, owner)
        self.encoding = encoding
        self.write_only = write_only
        """The client receives nothing at all, and so is owed nothing."""
        self.closed = write_only
        """Nothing goes out any more: the client receives nothing, or a send failed."""
        self.partial: Partial | None = None
        self.items: list[Item] = []
        self.item_bytes = 0
        self.blocked = False
        """The kernel refused bytes: write interest is armed."""
        self.blocked_at = 0.0
        self.took_at = 0.0
        """When the kernel last took bytes of a client that was blocked or had several segments."""
        self.lines_out = self.bytes_out = 0
        self.unsent_bytes = self.unsent_own_bytes = self.unsent_item_bytes = 0
        """What the client did not get: owed lines of others and its own, in canonical bytes; answers, notices
        and the farewell."""
        self.skipped_lines = self.skipped_bytes = 0
        self.farewell_sent = False
        self._account = account
        self._unreported_skips = 0

    # What waits.

    @property
    def is_empty(self) -> bool:
        """Nothing waits: no partial line, no item, no room line."""
        return self.partial is None and not self.items and self.owed_bytes == 0

    @property
    def queued_bytes(self) -> int:
        """Canonical bytes of the account that wait here."""
        partial = self.partial.owed if self.partial else 0
        return self.owed_bytes + partial + sum(len(item.data) for item in self.items if item.owed)

    # Verbs of modes and flow control.

    def put(
        self, data: bytes, *, owed: bool = False, own: bool = False, raw: bool = False,
        farewell: bool = False, messages: int = 0,
    ) -> None:  # fmt: skip
        """Queue what this client alone gets, before its room's next line. The caller marks it."""
        if self.closed:
            if owed:
                self._lose(len(data), len(data) if own else 0)
            elif not self.write_only:  # Its client is meant to get nothing.
                self.unsent_item_bytes += len(data)
            return
        at = -1 if self.log is None else self.log.head
        self.items.append(Item(at, data, owed, raw, farewell, messages=messages, own=own))
        self.item_bytes += len(data)

    def join(self, log: Log, history: Iterable[bytes]) -> None:
        """Receive the lines of this log from its head on, and before them these older ones."""
        self.enter(log)
        for data in pieces(history):
            self.put(data, owed=True)
            self._account.replayed += len(data)

    def leave(self) -> None:
        """Receive nothing more of this log; lines that are owed already become items."""
        log = self.log
        if log is None:
            return
        log.seal()
        if self._unreported_skips:  # The gap is before the lines that become items now.
            self._report_skips()
        at, items = self.offset, list[Item]()
        for item in self.items:
            items += self._owed_between(log, at, item.at)
            items.append(item._replace(at=-1))
            at = max(at, item.at)
        self.items = items + self._owed_between(log, at, log.head)
        self.item_bytes = sum(len(item.data) for item in self.items)
        self.exit(log)

    def skip(self) -> None:
        """Go on at the head of the log; what the client misses is counted, and reported to it."""
        log = self.log
        assert log is not None
        lines, size = log.next_line - self.next_line - self.own_lines, self.owed_bytes
        self._account.skipped += size
        self.skipped_bytes += size
        self.skipped_lines += lines
        self._unreported_skips += lines
        self.go_to_head(log)

    def drop(self, *, keep_partial: bool = False) -> None:
        """Count what waits as unsent and let it go; perhaps but for the line that was begun."""
        kept, begun = (self.partial, None) if keep_partial else (None, self.partial)
        owed = self.queued_bytes - (kept.owed if kept else 0)
        own = sum(len(item.data) for item in self.items if item.own) + self.echo_bytes
        self._lose(owed, own + (begun.owed if begun and begun.own else 0))
        self.unsent_item_bytes += sum(len(item.data) for item in self.items if not item.owed)
        if self.log is not None:
            self.go_to_head(self.log)
        self.partial, self.items, self.item_bytes = kept, [], 0

    def close(self) -> None:
        """Nothing goes out any more; what waited is unsent."""
        self.drop()
        self.closed, self.blocked, self.log = True, False, None

    def speak(self, encoding: Encoding) -> None:
        """From the next line on the client gets this encoding."""
        self.encoding = encoding

    def fix_encoding(self) -> None:
        """What waits keeps the present encoding, whatever the client's becomes."""
        self.items = [item._replace(encoding=self.encoding) for item in self.items]

    # Verbs of the writer.

    def segments(self) -> list[Segment]:
        """The next batch, in order; empty when there is nothing."""
        if self._unreported_skips:
            self._report_skips()
        if self.own_bytes:  # Own lines that the room has next are passed at once: they are no lag.
            for segment in upcoming(self.id, Encoding.LF, None, (), self.log, self.offset):  # The cheapest.
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
        del self.items[:whole_items]

    def took_chunk(self, chunk: Chunk, taken: int) -> None:
        """The common case: the kernel took the whole newest chunk, the only thing that waited."""
        self.offset = chunk.end
        self.next_line += chunk.count
        self.lines_out += chunk.count
        self.bytes_out += taken
        self._account.delivered += len(chunk.lf)

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

    def _owed_between(self, log: Log, start: int, end: int) -> list[Item]:
        """Owed lines between two offsets of the log, as items; none unless `start` is before `end`."""
        return [
            Item(-1, data, owed=True, own=own)
            for first, stop, own in self.owed_spans(start, end)
            for data in pieces(log.lines_between(first, stop, self.id))
        ]

    def _lose(self, owed: int, own: int) -> None:
        """So many owed bytes will not be sent, of which so many are the client's own lines."""
        self.unsent_bytes += owed - own
        self.unsent_own_bytes += own
        self._account.unsent += owed
        self._account.unsent_own += own

    def _report_skips(self) -> None:
        """Put the notice where the gap is, or bring the one that waits there up to date.

        The gap is before all that waits, but for lines that were owed before any of this room's: history, and
        those of a room that was left.
        """
        items, first = self.items, self.entered_at
        place = max((n for n, item in enumerate(items, 1) if item.owed and item.at <= first), default=0)
        waiting = items[place] if place < len(items) and items[place].skipped else None
        if waiting is not None:
            self.item_bytes -= len(waiting.data)
            del items[place]
        count = self._unreported_skips + (waiting.skipped if waiting else 0)
        self._unreported_skips = 0
        notice = Item(-1, f"* skipped {count} lines\n".encode(), skipped=count)
        items.insert(place, notice)
        self.item_bytes += len(notice.data)

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
            self.partial = source._replace(wire=wire[taken:], owed=left)
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
            self.partial = Partial(rest, place.left, 1, self.encoding, False, own) if rest else None

    def _take_some_of_item(self, item: Item, wire: bytes, index: int, taken: int) -> None:
        """The same for an item. Raw bytes have no lines: the rest of them is one thing."""
        if item.raw:
            place, encoding = Cut(len(wire), 1, len(item.data), len(wire) - taken), Encoding.FRAMES
        else:
            encoding = item.encoding or self.encoding
            place = cut(wire, taken, encoding)
        is_last, owed = place.size == len(item.data), place.left if item.owed else 0
        self.lines_out += place.lines - (place.left > 0)
        self.item_bytes -= place.size
        self._account.delivered += place.size - place.left if item.owed else 0
        rest, lines = wire[taken : place.border], item.messages if item.raw else 1
        is_farewell = item.farewell and is_last
        self.partial = Partial(rest, owed, lines, encoding, is_farewell, item.own) if rest else None
        if is_last:
            del self.items[index]
        else:
            self.items[index] = item._replace(data=item.data[place.size :])
