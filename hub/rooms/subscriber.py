"""A subscriber: a client's place in a room, as an offset in the room's log.

A subscriber receives the room's lines from its offset on. This is the lower half of an outbox
(hub/rooms/outbox.py), which adds what the client alone will receive.
"""

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final

from hub.rooms.log import Log
from hub.rooms.sender_runs import Run, spans

LOGS_REMEMBERED: Final = 64
"""The places of so many rooms that a client left are kept, so that history never shows it a line twice."""
LOBBY_LOG: Final = 1
"""The number of the lobby's log, whose place is always kept: the other rooms that one leaves may be gone."""


class Subscriber:
    """Where one client stands in the log of its room. Sizes are canonical bytes."""

    __slots__ = (
        "_echoes", "_left_at", "entered_at", "id", "log", "next_line", "offset", "own_bytes", "own_lines",
        "owner"
    )  # fmt: skip

    def __init__(self, id: int, owner: Any) -> None:
        self.id = id
        self.owner = owner
        """The client: only the loop and the mode open it."""
        self.log: Log | None = None
        self.offset = self.entered_at = 0
        """In the log; `entered_at` is where the head was when the client came."""
        self.next_line = 0
        """The number of the line at the offset."""
        self.own_lines = self.own_bytes = 0
        """Own lines before the head that the client will pass without getting them."""
        self._left_at: dict[int, int] | None = None
        self._echoes: list[Run] | None = None
        """Where own lines stand that the client is owed like everybody, from about the offset on."""

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
        self.entered_at = log.head

    def exit(self, log: Log) -> None:
        """Stand in no log any more; the place is remembered."""
        self.go_to_head(log)
        self.log = None
        if self._left_at is None:
            self._left_at = {}
        self._left_at.pop(log.number, None)
        self._left_at[log.number] = log.head
        if len(self._left_at) > LOGS_REMEMBERED:
            del self._left_at[next(number for number in self._left_at if number != LOBBY_LOG)]

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

    def said_to_itself(self, start: int, end: int) -> None:
        """The client said these lines of its log, and is owed them like everybody."""
        echoes = self._echoes
        if echoes is None or echoes[-1][1] <= self.offset:
            self._echoes = [(start, end, 0)]
            return
        del echoes[: bisect_right(echoes, self.offset, key=itemgetter(1))]
        if echoes[-1][1] == start:
            start = echoes.pop()[0]
        echoes.append((start, end, 0))

    def owed_spans(self, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
        """What lies between two offsets, in order: where a part begins and ends, whether it is an echo."""
        return spans({self.id: self._echoes} if self._echoes else None, self.id, start, stop)

    def is_echo(self, offset: int) -> bool:
        """Whether the byte at this offset is of an own line that the client is owed."""
        return any(own for _, _, own in self.owed_spans(offset, offset + 1))

    @property
    def echo_bytes(self) -> int:
        """How much of the lag is own lines that the client is owed."""
        if self.log is None or self._echoes is None:
            return 0
        return sum(stop - start for start, stop, own in self.owed_spans(self.offset, self.log.head) if own)

    def go_to_head(self, log: Log) -> None:
        """Past everything that the log has."""
        self.offset, self.next_line, self._echoes = log.head, log.next_line, None
        self.own_lines = self.own_bytes = 0
