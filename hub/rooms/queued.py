"""What waits for one client: the upper part of an outbox (hub/rooms/outbox.py), without what the kernel took.

Everything but room lines enters at a line border, at the place in the log where it happened. Modes and flow
control use put, join, leave and skip; nobody else writes here but the outbox.

Under --slow skip a stream may have a gap: the client goes on at the head of its log, and before anything else
it gets one line, `* skipped N lines`, behind the partial line. N is exact. While that line has not begun to
go out, a further gap only makes N larger, so a client that never reads is owed one such line, not many.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from hub.protocol.encoding import Encoding
from hub.rooms.accounting import Account
from hub.rooms.log import Log, pieces
from hub.rooms.losses import NO_LOSSES, Losses
from hub.rooms.segments import Item, Partial
from hub.rooms.subscriber import Subscriber


class Queued(Subscriber):
    """A subscriber, and what its client alone will receive. Sizes are bytes."""

    __slots__ = (
        "_account", "_items", "closed", "encoding", "item_bytes", "losses", "partial", "write_only"
    )  # fmt: skip

    def __init__(self, id: int, owner: Any, account: Account, encoding: Encoding, write_only: bool) -> None:
        super().__init__(id, owner)
        self._account = account
        self.encoding = encoding
        self.write_only = write_only
        """The client receives nothing at all, and so is owed nothing."""
        self.closed = write_only
        """Nothing goes out any more: the client receives nothing, or a send failed."""
        self.partial: Partial | None = None
        self._items: list[Item] | None = None
        """None while there are none: an empty list takes 56 B."""
        self.item_bytes = 0
        self.losses: Losses = NO_LOSSES
        """What the client did not get, for reading; see `losing`."""

    @property
    def losing(self) -> Losses:
        """The losses for writing."""
        if self.losses is NO_LOSSES:
            self.losses = Losses()
        return self.losses

    # What waits.

    @property
    def items(self) -> Sequence[Item]:
        """What the client alone will receive, in order."""
        return self._items or ()

    @property
    def is_empty(self) -> bool:
        """Nothing waits: no partial line, no item, no room line."""
        return self.partial is None and self._items is None and self.owed_bytes == 0

    @property
    def queued_bytes(self) -> int:
        """Canonical bytes of the account that wait here."""
        partial = self.partial.owed if self.partial else 0
        return self.owed_bytes + partial + sum(len(item.data) for item in self.items if item.owed)

    # Verbs of modes and flow control.

    def put(
        self, data: bytes, *, owed: bool = False, own: bool = False, raw: bool = False,
        farewell: bool = False, lines: int = -1,
    ) -> None:  # fmt: skip
        """Queue what this client alone gets, before its room's next line. The caller marks it."""
        if self.closed:
            if owed:
                self._lose(len(data), len(data) if own else 0)
            elif not self.write_only:  # Its client is meant to get nothing.
                self.losing.unsent_item_bytes += len(data)
            return
        at = -1 if self.log is None else self.log.head
        item = Item(at, data, owed=owed, own=own, raw=raw, farewell=farewell, lines=lines)
        if self._items is None:
            self._items = [item]
        else:
            self._items.append(item)
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
        if self.losses.unreported_lines:  # The gap is before the lines that become items now.
            self._report_skips()
        at, items = self.offset, list[Item]()
        for item in self.items:
            items += self._owed_between(log, at, item.at)
            at, item.at = max(at, item.at), -1
            items.append(item)
        self._set_items(items + self._owed_between(log, at, log.head))
        self.exit(log)

    def skip(self) -> None:
        """Go on at the head of the log; what the client misses is counted, and reported to it."""
        log = self.log
        assert log is not None
        lines, size = log.next_line - self.next_line - self.own_lines, self.owed_bytes
        losses = self.losing
        self._account.skipped += size
        losses.skipped_bytes += size
        losses.skipped_lines += lines
        losses.unreported_lines += lines
        self.go_to_head(log)

    def drop(self, *, keep_partial: bool = False) -> None:
        """Count what waits as unsent and let it go; perhaps but for the line that was begun."""
        kept, begun = (self.partial, None) if keep_partial else (None, self.partial)
        owed = self.queued_bytes - (kept.owed if kept else 0)
        own = sum(len(item.data) for item in self.items if item.own) + self.echo_bytes
        self._lose(owed, own + (begun.owed if begun and begun.own else 0))
        if others := sum(len(item.data) for item in self.items if not item.owed):
            self.losing.unsent_item_bytes += others
        if self.log is not None:
            self.go_to_head(self.log)
        self.partial, self._items, self.item_bytes = kept, None, 0

    def speak(self, encoding: Encoding) -> None:
        """From the next line on the client gets this encoding."""
        self.encoding = encoding

    def fix_encoding(self) -> None:
        """What waits keeps the present encoding, whatever the client's becomes."""
        for item in self.items:
            item.fix(self.encoding)

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
        if owed:
            losses = self.losing
            losses.unsent_bytes += owed - own
            losses.unsent_own_bytes += own
        self._account.unsent += owed
        self._account.unsent_own += own

    def _report_skips(self) -> None:
        """Put the notice where the gap is, or bring the one that waits there up to date.

        The gap is before all that waits, but for lines that were owed before any of this room's: history, and
        those of a room that was left.
        """
        items, first, losses = self._items or [], self.entered_at, self.losing
        place = max((n for n, item in enumerate(items, 1) if item.owed and item.at <= first), default=0)
        count, losses.unreported_lines = losses.unreported_lines, 0
        if place < len(items) and items[place].skipped:
            count += items.pop(place).skipped
        items.insert(place, Item(-1, f"* skipped {count} lines\n".encode(), skipped=count))
        self._set_items(items)

    def _set_items(self, items: list[Item]) -> None:
        self._items = items or None
        self.item_bytes = sum(len(item.data) for item in items)
