"""The outbox of a hub: what its clients said and the stream does not have yet.

A single batch is in flight at a time. The stream stores it only if the hub's own subject stands where the
batch before left it (compare-and-set), and a retry is the same batch with the same number: so it is stored
once, however late its acknowledgement comes. Lines that come meanwhile are the next batch.

Whether a batch is stored is known in three ways: the acknowledgement, the batch itself coming back through
the stream, and what the stream says is the last on the hub's subject.
"""

from collections import deque
from math import inf
from typing import Final, NamedTuple

from cluster.envelope import MOST_BYTES, MOST_ENTRIES, Batch, Entry, Kind, packed, packed_bytes

LIMIT_BYTES: Final = 4 << 20
"""Lines beyond this are refused, and their senders are told."""
ACKS: Final = 512
"""So many of the last acknowledgements are in the figures."""
GIVE_UP_S: Final = 5.0
"""A link notices within 3 s that it is dead, or that its stream is another one."""
ACK_S: Final = 1.0
"""Without an acknowledgement for so long the same batch is sent again."""


class Publish(NamedTuple):
    """A batch to be stored, if the last message of the hub's subject has this sequence; 0: if it has none."""

    number: int
    expected: int
    message: bytes


class Said(NamedTuple):
    """Lines of one client on their way. The client is known here only, and not to other hubs."""

    entry: Entry
    sender: int
    """Its id; 0 for the hub itself."""


class Outbox:
    """Lines in order, in batches. Times are seconds on the loop's clock.

    `spacing_s` is the least time between two batches: with so many hubs each hears of all others.
    """

    def __init__(self, spacing_s: float, limit_bytes: int = LIMIT_BYTES) -> None:
        self.spacing_s = spacing_s
        self.resent = self.refused_lines = 0
        self.waiting_bytes = 0
        """The size of all lines that are not known to be stored, those in flight included."""
        self._limit_bytes = limit_bytes
        self._waiting: deque[Said] = deque()
        self._flight: list[Said] = []
        self._message = b""
        self._senders: dict[int, list[int]] = {}
        """Whose each entry is, of our batches that did not come back yet."""
        self._number = 0
        self._expected = 0
        """The sequence of our last stored batch."""
        self._sent_at = -inf
        self._began_at = -inf
        self.acks: deque[float] = deque(maxlen=ACKS)
        """How long the last batches took to be stored, in seconds."""
        self._stored_at = -inf
        """When the last batch was known to be stored."""
        self._oldest_at = inf
        """Since when something waits without an acknowledgement."""

    @property
    def is_flying(self) -> bool:
        """A batch is sent, and is not known to be stored."""
        return self._number > 0 and bool(self._flight)

    @property
    def is_empty(self) -> bool:
        """All that was said is stored."""
        return not (self._flight or self._waiting)

    def unheard_s(self, now: float) -> float:
        """How long the oldest line has waited since the stream last took something; 0 while none waits."""
        return max(0.0, now - self._oldest_at)

    def put(self, entry: Entry, sender: int, now: float) -> bool:
        """Queue lines; False where there is no place for them: they are refused, and counted.

        There is always place for what the hub itself says (sender 0), if a message can hold it.
        """
        is_full = sender != 0 and self.waiting_bytes + len(entry.data) > self._limit_bytes
        if is_full or packed_bytes(1, len(entry.data)) > MOST_BYTES:
            self.refused_lines += entry.lines
            return False
        if self.is_empty:
            self._oldest_at = now
        self._waiting.append(Said(entry, sender))
        self.waiting_bytes += len(entry.data)
        return True

    def timeout(self, now: float) -> float:
        """Seconds until `next` may have something to publish; infinite where only an answer brings it."""
        if self._flight:
            return max(0.0, self._sent_at + ACK_S - now)
        return max(0.0, self._began_at + self.spacing_s - now) if self._waiting else inf

    def next(self, now: float, wall_ms: int) -> Publish | None:
        """What is to be published now: the next batch, or once more the one in flight when it is time."""
        if self._flight:
            if now < self._sent_at + ACK_S:
                return None
            self.resent += 1
        elif not self._waiting or now < self._began_at + self.spacing_s:
            return None
        else:
            self._begin(now, wall_ms)
        self._sent_at = now
        return Publish(self._number, self._expected, self._message)

    def again(self) -> None:
        """The connection is a new one: what is in flight is sent again at once."""
        self._sent_at = -inf

    def wait_until(self, moment: float) -> None:
        """The stream is busy: what is in flight is sent again then."""
        self._sent_at = moment - ACK_S

    def stored(self, number: int, sequence: int, now: float) -> None:
        """Our batch of this number is in the stream, at this sequence. Once more changes nothing."""
        if number != self._number or not self._flight:
            return
        self._expected = sequence
        self.waiting_bytes -= sum(len(said.entry.data) for said in self._flight)
        self._flight = []
        self.acks.append(now - self._began_at)
        self._stored_at = now
        self._oldest_at = now if self._waiting else inf

    def last_is(self, number: int, sequence: int, now: float) -> None:
        """The last message on our subject, after the stream refused to store: our batch, or an older one.

        0 and 0: there is none, as in a stream that began anew.
        """
        if number == self._number:
            self.stored(number, sequence, now)
        else:
            self._expected = sequence
            self.again()

    def came_back(self, number: int, sequence: int, now: float) -> list[int]:
        """Our batch came through the stream: it is stored. Whose its entries are, the first time."""
        self.stored(number, sequence, now)
        senders = self._senders.pop(number, [])
        for lost in [earlier for earlier in self._senders if earlier < number]:
            del self._senders[lost]
        return senders

    def give_up(self, now: float) -> int:
        """So many of our stored batches never came back, though all that the stream has was applied.

        While the last of them is young none is given up: the stream may be another one by now.
        """
        if now < self._stored_at + GIVE_UP_S:
            return 0
        lost, self._senders = len(self._senders), {}
        return lost

    def _begin(self, now: float, wall_ms: int) -> None:
        """Make the next batch of what waits, as much as a message holds."""
        size = 0
        while self._waiting and len(self._flight) < MOST_ENTRIES:
            size += len(self._waiting[0].entry.data)
            if self._flight and packed_bytes(len(self._flight) + 1, size) > MOST_BYTES:
                break
            self._flight.append(self._waiting.popleft())
        self._number += 1
        self._senders[self._number] = [said.sender for said in self._flight]
        self._message = packed(Batch(self._number, wall_ms, [said.entry for said in self._flight]))
        self._began_at = now


def entries(kind: Kind, room: str, lines: list[bytes]) -> list[Entry]:
    """Lines for one room, cut into entries of which each fits into a message."""
    made, part, size = list[Entry](), list[bytes](), 0
    for line in lines:
        if part and packed_bytes(1, size + len(line) + 1) > MOST_BYTES:
            made.append(_entry(kind, room, part))
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    return [*made, _entry(kind, room, part)] if part else made


def _entry(kind: Kind, room: str, lines: list[bytes]) -> Entry:
    return Entry(kind, room, len(lines), b"\n".join([*lines, b""]))
