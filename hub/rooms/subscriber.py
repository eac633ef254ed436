"""A subscriber: a client's place in a room, as an offset in the room's log.

A subscriber receives the room's lines from its offset on. This is the lower half of an outbox
(hub/rooms/outbox.py), which adds what the client alone will receive.
"""

from typing import Any, Final

from hub.rooms.log import Log

LOGS_REMEMBERED: Final = 64
"""The places of so many rooms that a client left are kept, so that history never shows it a line twice."""


class Subscriber:
    """Where one client stands in the log of its room. Sizes are canonical bytes."""

    __slots__ = ("_left_at", "id", "log", "next_line", "offset", "own_bytes", "own_lines", "owner")

    def __init__(self, id: int, owner: Any) -> None:
        self.id = id
        self.owner = owner
        """The client: only the loop opens it."""
        self.log: Log | None = None
        self.offset = 0
        self.next_line = 0
        """The number of the line at the offset."""
        self.own_lines = self.own_bytes = 0
        """Own lines before the head that the client will pass without getting them."""
        self._left_at: dict[int, int] | None = None

    @property
    def lag_bytes(self) -> int:
        """Canonical bytes between the offset and the head of the log."""
        return 0 if self.log is None else self.log.head - self.offset

    @property
    def owed_bytes(self) -> int:
        """How much of the lag the client is owed: all but its own lines, where it does not get those."""
        return 0 if self.log is None else self.log.head - self.offset - self.own_bytes

    def enter(self, log: Log) -> None:
        """Stand at the head of this log."""
        log.seal()
        self.log = log
        self.go_to_head(log)

    def exit(self, log: Log) -> None:
        """Stand in no log any more; the place is remembered."""
        self.go_to_head(log)
        self.log = None
        if self._left_at is None:
            self._left_at = {}
        self._left_at.pop(log.number, None)
        self._left_at[log.number] = log.head
        if len(self._left_at) > LOGS_REMEMBERED:
            del self._left_at[next(iter(self._left_at))]

    def left_at(self, log: Log) -> int:
        """The offset up to which the client has seen this log before; 0 where it has not."""
        return 0 if self._left_at is None else self._left_at.get(log.number, 0)

    def release(self) -> None:
        """The client is closed: the two forget each other, so that no cycle is left for the collector."""
        self.owner = None

    def said(self, lines: int, size: int) -> None:
        """The client said the last lines of its log itself, and is not owed them."""
        self.own_lines += lines
        self.own_bytes += size

    def go_to_head(self, log: Log) -> None:
        """Past everything that the log has."""
        self.offset, self.next_line = log.head, log.next_line
        self.own_lines = self.own_bytes = 0
