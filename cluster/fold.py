"""The fold: what all hubs said, applied in the one order of the stream, each message once.

The stream numbers its messages without holes, across all subjects. So contiguity of the sequence is the whole
check: the next number is applied, a higher one waits and what lies between is fetched, a lower one was
applied before. Live messages are a hint and may be dropped anywhere; the stream is the truth.

A lower number is dropped only on the same record. After every connect the stream is compared with what was
applied (cluster/fork.py), because a store that went back gives out the same numbers again for other lines.
"""

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

REMEMBERED: Final = 16_384
"""So many of the last applied messages are known by name, to find where a record was forked."""
HELD_BYTES: Final = 4 << 20
"""Messages beyond this that come before their turn are dropped, and fetched later."""
TAIL_S: Final = 0.1
"""A message that the stream is known to have, and that did not come for so long, is fetched."""
FETCHED_AT_ONCE: Final = 256
LIVES: Final = 4096
"""The last batch is known of so many lives of hubs, those heard last."""


class Origin(NamedTuple):
    """A life of a hub: its name, and when it started, as the subject of its messages has them."""

    hub: str
    start: str


NOBODY: Final = Origin("", "")
"""Whose a message is that came on a subject which no hub publishes on."""


class Stored(NamedTuple):
    """A message as the stream has it; `stored_us` is when it was stored, in microseconds since 1970."""

    sequence: int
    origin: Origin
    message: bytes
    stored_us: int


class Name(NamedTuple):
    """What a message is known by: whose it is, the number of its batch (0: it has none), and when it was
    stored, because after a fork the same batch may be stored again at the same place."""

    origin: Origin
    number: int
    stored_us: int


class Applied(NamedTuple):
    """What the next message was."""

    is_new: bool
    """Its batch was not applied before; one that was stands on a record that went back."""
    lost: int
    """So many batches of this hub, before this one, are in no record any more."""


class Fold:
    """The place of this hub in the stream. Times are seconds on the loop's clock."""

    def __init__(self) -> None:
        self.applied = 0
        """The sequence of the last message that was applied."""
        self.head = 0
        """The highest sequence that the stream is known to have."""
        self.gaps = self.doubles = self.dropped = 0
        """Messages that had to be fetched; that came once more; for which there was no place."""
        self.names: deque[tuple[int, Name]] = deque(maxlen=REMEMBERED)
        """The last applied messages, with their sequences."""
        self._numbers: dict[Origin, int] = {}
        """The number of the last applied batch of each life of a hub."""
        self._held: dict[int, Stored] = {}
        self._held_bytes = 0
        self._behind_at = inf
        """Since when the stream has something that did not come."""
        self._late_until = 0
        """Messages up to here are late already, so that none is waited for."""

    @property
    def behind(self) -> int:
        """How many messages are not applied yet."""
        return max(0, self.head - self.applied)

    def heard(self, stored: Stored, now: float) -> None:
        """A message came, live or fetched."""
        self.head_is(stored.sequence, now)
        if stored.sequence <= self.applied or stored.sequence in self._held:
            self.doubles += 1
        elif stored.sequence > self.applied + 1 and self._held_bytes + len(stored.message) > HELD_BYTES:
            self.dropped += 1
        else:
            self._held[stored.sequence] = stored
            self._held_bytes += len(stored.message)

    def head_is(self, sequence: int, now: float) -> None:
        """The stream is known to have this message."""
        if sequence > self.head:
            self.head = sequence
            if self._behind_at == inf:
                self._behind_at = now

    def next(self) -> Stored | None:
        """The message whose turn it is, if it is here; `apply` takes it."""
        return self._held.get(self.applied + 1)

    def apply(self, stored: Stored, number: int, now: float) -> Applied:
        """Go past the next message. `number` is that of its batch, 0 where the message was refused."""
        self._held_bytes -= len(self._held.pop(stored.sequence).message)
        self.applied = stored.sequence
        self._behind_at = inf if self.applied >= self.head else now
        self.names.append((stored.sequence, Name(stored.origin, number, stored.stored_us)))
        before = self._numbers.pop(stored.origin, 0)
        self._numbers[stored.origin] = max(before, number)
        if len(self._numbers) > LIVES:
            del self._numbers[next(iter(self._numbers))]
        if number <= before:
            self.doubles += number > 0
            return Applied(False, 0)
        return Applied(True, number - before - 1 if before else 0)

    def missing(self, now: float) -> tuple[int, int] | None:
        """The first and the last message to be fetched now; None while nothing is known to be lost.

        Something that came makes what lies before it late, for the live path keeps the order. At the tail
        only time tells.
        """
        first = self.applied + 1
        if first > self.head or first in self._held:
            return None
        if not self._held and first > self._late_until and now < self._behind_at + TAIL_S:
            return None
        last = min([self.head, first + FETCHED_AT_ONCE - 1, *(held - 1 for held in self._held)])
        return first, last

    def fetched(self, first: int, last: int, found: Iterable[Stored], now: float) -> int:
        """What the stream has of these messages; returns how many of them are gone for good.

        The stream answers with what it has from `first` on, in order, and perhaps not with all of it. So what
        is missing before the first that it has is gone, and what is missing at the end is asked for again.
        """
        self._late_until = self.head
        came = sorted(found)
        gone = self.gone_before(came[0].sequence) if came and first == self.applied + 1 else 0
        for stored in came:
            if self.applied < stored.sequence <= last and stored.sequence not in self._held:
                self.gaps += 1
                self.heard(stored, now)
        return gone

    def gone_before(self, first: int) -> int:
        """The stream has nothing before this message any more; returns how many were not applied."""
        gone = max(0, first - 1 - self.applied)
        self.applied += gone
        for sequence in [sequence for sequence in self._held if sequence <= self.applied]:
            self._held_bytes -= len(self._held.pop(sequence).message)
        return gone

    def timeout(self, now: float) -> float:
        """Seconds until `missing` may have an answer by time alone."""
        if self.missing(now) is not None:
            return 0.0
        return inf if self.applied >= self.head else max(0.0, self._behind_at + TAIL_S - now)

    def connected(self, head: int) -> None:
        """A new connection, on which the stream has so much. What waits came on an old one."""
        self.head = head
        self._held, self._held_bytes = {}, 0

    def go_back(self, common: int) -> None:
        """The record is another one behind `common`, or the same: go on there."""
        self.applied, self._late_until = common, self.head
        while self.names and self.names[-1][0] > common:
            self.names.pop()
