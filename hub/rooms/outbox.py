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
from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.log import Log
from hub.rooms.segments import Item, Partial, Segment, batch, upcoming
from hub.rooms.sender_runs import OwnLines
from hub.rooms.subscriber import Subscriber


class Outbox(Subscriber):
    """The output of one client. Sizes are bytes, times are seconds on the loop's clock."""

    __slots__ = (
        "_account", "_unreported_skips", "blocked", "blocked_at", "bytes_out", "closed", "encoding",
        "farewell_sent", "item_bytes", "items", "lines_out", "partial", "skipped_bytes", "skipped_lines",
        "took_at", "unsent_bytes", "unsent_item_bytes", "write_only",
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
        self.unsent_bytes = self.unsent_item_bytes = 0
        """What the client did not get: owed lines, in canonical bytes; answers, notices and the farewell."""
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
        self, data: bytes, *, owed: bool = False, raw: bool = False, farewell: bool = False, messages: int = 0
    ) -> None:
        """Queue what this client alone gets, before its room's next line. The caller marks it."""
        if self.closed:
            self._lose(len(data), owed)
            return
        at = -1 if self.log is None else self.log.head
        self.items.append(Item(at, data, owed, raw, farewell, messages=messages))
        self.item_bytes += len(data)

    def join(self, log: Log, history: int, most_bytes: int) -> None:
        """Receive the lines of this log from its head on, and before them the end of its history."""
        self.enter(log)
        start = max(log.back(history, most_bytes), self.left_at(log))
        for data in log.lines_between(start, log.head, self.id):
            self.items.append(Item(log.head, data, owed=True))
            self.item_bytes += len(data)
            self._account.replayed += len(data)

    def leave(self) -> None:
        """Receive nothing more of this log; lines that are owed already become items."""
        log = self.log
        if log is None:
            return
        log.seal()
        if self._unreported_skips:  # The gap is before the lines that become items now.
            self._report_skips()
        self._set_items(self._without_log(log))
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
        owed = self.owed_bytes + sum(len(item.data) for item in self.items if item.owed)
        if self.partial is not None and not keep_partial:
            owed += self.partial.owed
            self.partial = None
        self.unsent_bytes += owed
        self.unsent_item_bytes += sum(len(item.data) for item in self.items if not item.owed)
        self._account.unsent += owed
        if self.log is not None:
            self.go_to_head(self.log)
        self._set_items(())

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
        if self.own_bytes:
            self.pass_own()
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

    def _lose(self, size: int, owed: bool) -> None:
        """Count what a closed outbox was to get; a write-only client is meant to get nothing but is not
        owed."""
        if owed:
            self._account.unsent += size
            self.unsent_bytes += size
        elif not self.write_only:
            self.unsent_item_bytes += size

    def _set_items(self, items: Iterable[Item]) -> None:
        self.items = list(items)
        self.item_bytes = sum(len(item.data) for item in self.items)

    def _without_log(self, log: Log) -> Iterable[Item]:
        """All that waits, as items that need no log any more."""
        at, found = self.offset, list[Item]()
        for item in self.items:
            if item.at > at:
                found += (Item(-1, data, owed=True) for data in log.lines_between(at, item.at, self.id))
                at = item.at
            found.append(item._replace(at=-1))
        found += (Item(-1, data, owed=True) for data in log.lines_between(at, log.head, self.id))
        return found

    def _report_skips(self) -> None:
        """Put the notice where the gap is, or bring the one that waits there up to date.

        The gap is before all that waits, but for lines of a room that became items: these were owed earlier.
        """
        items = self.items
        place = max((index + 1 for index, item in enumerate(items) if item.owed), default=0)
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
            self.lines_out += lines
            self.next_line += lines
            self.offset += segment.size
            self._account.delivered += segment.size
        elif isinstance(source, OwnLines):
            self._pass(source)
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
        elif isinstance(source, Chunk):
            place = source.cut(self.encoding, self.offset - source.start, wire, taken)
            self.lines_out += place.lines - (place.left > 0)
            self.next_line += place.lines
            self.offset += place.size
            self._account.delivered += place.size - place.left
            self._keep(wire[taken : place.border], place.left, 1, self.encoding)
        elif isinstance(source, Item):
            self._take_some_of_item(source, wire, index, taken)

    def _take_some_of_item(self, item: Item, wire: bytes, index: int, taken: int) -> None:
        """The same for an item. Raw bytes have no lines: the rest of them is one thing."""
        encoding = Encoding.FRAMES if item.raw else item.encoding or self.encoding
        if item.raw:
            size, border, left = len(item.data), len(wire), len(wire) - taken
        else:
            place = cut(wire, taken, encoding)
            size, border, left = place.size, place.border, place.left
            self.lines_out += place.lines - (left > 0)
        self.item_bytes -= size
        self._account.delivered += size - left if item.owed else 0
        whole = size == len(item.data)
        lines = item.messages if item.raw else 1
        owed = left if item.owed else 0
        self._keep(wire[taken:border], owed, lines, encoding, farewell=item.farewell and whole)
        if whole:
            del self.items[index]
        else:
            self.items[index] = item._replace(data=item.data[size:])

    def _keep(
        self, wire: bytes, owed: int, lines: int, encoding: Encoding, *, farewell: bool = False
    ) -> None:
        self.partial = Partial(wire, owed, lines, encoding, farewell) if wire else None
