"""A stream for one hub and others, which takes and brings only what the test lets it, in no time."""

from collections import deque
from collections.abc import Iterator, Sequence

from cluster.envelope import Batch, Entry, Kind, packed
from cluster.events import Acked, Denied, Down, Event, Fetched, Looked, OursIs, Up
from cluster.fold import Name, Origin, Stored
from cluster.fork import Seen
from cluster.outbox import Publish
from tests.unit.cluster.company import ANN, ME, Wire


class Broker(Wire):
    """The link of the hub `me`, and the stream behind it. What was published waits for `store`."""

    def __init__(self) -> None:
        super().__init__()
        self.events: deque[Event] = deque()
        self.published: list[Publish] = []
        self.fetches: list[tuple[int, int]] = []
        self.wall_ms = 0
        self._stream: list[Stored] = []
        self._names: dict[int, Name] = {}
        self._numbers: dict[Origin, int] = {}
        self._ours = OursIs(0, 0)

    # What a member asks.

    def publish(self, batch: Publish) -> None:
        self.published.append(batch)

    def fetch(self, first: int, last: int) -> None:
        self.fetches.append((first, last))
        self.events.append(Fetched(first, last, self._stream[first - 1 : last], 1))

    def look(self, sequence: int) -> None:
        self.events.append(Looked(sequence, self._names.get(sequence)))

    def look_at_ours(self) -> None:
        self.events.append(self._ours)

    # What the test lets happen.

    @property
    def head(self) -> int:
        """The last message."""
        return len(self._stream)

    def up(self) -> None:
        """The link comes up, to this same stream."""
        self.events.append(Up(Seen("now", 1, self.head)))

    def down(self) -> None:
        """The link breaks; what was published and not stored is gone."""
        self.published.clear()
        self.events.append(Down())

    def ack(self) -> None:
        """Store what was published, and say so; nothing of it comes back yet."""
        self.events += [event for event in self._stored() if not isinstance(event, Stored)]

    def store(self) -> None:
        """Store what was published; each batch comes back, and is acknowledged behind that."""
        self.events += self._stored()

    def says(self, *entries: Entry, origin: Origin = ANN) -> None:
        """Another hub's batch comes through the stream."""
        number = self._numbers[origin] = self._numbers.get(origin, 0) + 1
        message = packed(Batch(number, self.wall_ms, list(entries)))
        self.events.append(self._append(origin, message, number))

    def _append(self, origin: Origin, message: bytes, number: int) -> Stored:
        at = self.head + 1
        self._names[at] = Name(origin, number, at)
        self._stream.append(Stored(at, origin, message, at))
        return self._stream[-1]

    def _stored(self) -> Iterator[Event]:
        """What is said of the batches that wait: those that stand behind the last of ours are stored."""
        while self.published:
            batch = self.published.pop(0)
            if batch.expected != self._ours.sequence:
                yield Denied(is_busy=False)
                continue
            yield self._append(ME, batch.message, batch.number)
            self._ours = OursIs(batch.number, self.head)
            yield Acked(batch.number, self.head)


def talk(room: str, *lines: str) -> Entry:
    """Lines of a client."""
    return an_entry(Kind.TALK, room, lines)


def notice(room: str, line: str) -> Entry:
    """What a hub says in a room."""
    return an_entry(Kind.NOTICE, room, [line])


def announcement(line: str) -> Entry:
    """What a hub says everywhere."""
    return an_entry(Kind.ANNOUNCEMENT, "", [line])


def an_entry(kind: Kind, room: str, lines: Sequence[str]) -> Entry:
    return Entry(kind, room, len(lines), "".join(f"{line}\n" for line in lines).encode())
