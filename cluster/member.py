"""The member: this hub's part in the cluster, between its outbox, the fold and the link.

The member does no I/O: what the link tells comes in as events, and what the link is to do goes out as calls,
so that the same member runs on a real broker and on a model of one. Its state is one of three: without a
link, comparing its record with the stream's (cluster/fork.py), or following. The member publishes and applies
only while it follows; lines that are said meanwhile wait in the outbox.
"""

from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple, Protocol

from cluster.envelope import Batch, Entry, Kind, Refused, Rules, unpacked
from cluster.events import Acked, Denied, Down, Event, Fetched, HeadIs, Looked, OursIs, Up
from cluster.fold import NOBODY, Fold, Origin, Stored
from cluster.fork import ForkCheck, Seen
from cluster.outbox import Outbox, Publish

AGAIN_S: Final = 0.1
"""After an answer that says to try later."""
TOLD_EVERY_S: Final = 1.0
"""What is missing is told at most so often, with how much it was: a broken hub may cause it all the time."""
REPLAYED: Final = 16_384
"""A hub that starts hears so many of the last messages, for the histories of its rooms."""
ANSWER_S: Final = 1.0
"""A question to the stream that was not answered for so long is asked again."""


class Link(Protocol):
    """What a member asks of its connection. Each answer comes back as an event, or never."""

    def publish(self, batch: Publish) -> None:
        """Store this batch on our subject."""

    def fetch(self, first: int, last: int) -> None:
        """What has the stream from `first` on?"""

    def look(self, sequence: int) -> None:
        """Whose message stands there?"""

    def look_at_ours(self) -> None:
        """Which is the last message on our subject?"""


class Heard(NamedTuple):
    """Lines for the rooms here. `sender` is the id of a client of this hub; 0: no client, -1: another's."""

    entry: Entry
    sender: int
    wall_ms: int = 0
    """When the batch was made, by the clock of its hub."""


def announcement(text: str) -> Entry:
    """A line of the hub's own to all rooms."""
    return Entry(Kind.ANNOUNCEMENT, "", 1, f"* {text}\n".encode())


class Member:
    """A hub in the cluster. Times are seconds on the loop's clock."""

    def __init__(self, origin: Origin, rules: Rules, link: Link, spacing_s: float) -> None:
        self.origin = origin
        self.outbox, self.fold = Outbox(spacing_s), Fold()
        self.refused = self.forks = self.lost = self.gone = 0
        """Messages that were no envelope; records that went back; batches and messages that nobody has."""
        self._rules, self._link = rules, link
        self._created = ""
        self._check: ForkCheck | None = None
        self._begins_at = 0
        """Behind this message a new hub begins to hear."""
        self._known_head = 0
        """The head when the link went down: live messages may come before the next link is up."""
        self._is_up, self._is_new = False, True
        """The link stands; no stream was followed yet."""
        self._asked_at = -inf
        """When the one question that may be open was asked; -inf where none is."""
        self._missed: Counter[str] = Counter()
        """What is missing and was not told yet."""
        self._told_at = -inf
        self._read: tuple[Stored, Batch | None] | None = None
        """The message that was read last."""

    @property
    def follows(self) -> bool:
        """The link stands, and the stream is known to be the one that was applied."""
        return self._is_up and self._check is None

    def take(self, event: Event, now: float) -> None:
        """What the link tells."""
        match event:
            case Stored():
                self.fold.heard(event, now)
            case HeadIs():
                self.fold.head_is(event.sequence, now)
            case Acked() | Denied() | OursIs():
                self._answered(event, now)
            case Fetched():
                self._fetched(event, now)
            case Looked():
                self._looked(event, now)
            case Up():
                self._up(event.seen, now)
            case Down():
                self._is_up, self._check, self._asked_at = False, None, -inf
                self._known_head = self.fold.head

    @property
    def next_bytes(self) -> int:
        """At most so many bytes of lines are what `hear` gives next; 0: there is nothing."""
        stored = self.fold.next() if self.follows else None
        return max(1, len(stored.message)) if stored is not None else 0

    def ahead(self) -> Sequence[Entry]:
        """What `hear` gives next, for looking only; nothing where it is not taken."""
        stored = self.fold.next() if self.follows else None
        batch = self._batch_of(stored) if stored is not None else None
        return batch.entries if batch is not None else ()

    def hear(self, now: float) -> list[Heard]:
        """The lines of the next message, to be appended to the rooms; none where it was refused or known."""
        stored = self.fold.next() if self.follows else None
        return [] if stored is None else self._apply(stored, now)

    def misses(self, now: float) -> list[Heard]:
        """What is to be told to all rooms here, because lines are missing."""
        if not self._missed or now < self._told_at + TOLD_EVERY_S:
            return []
        missed, self._missed, self._told_at = self._missed, Counter(), now
        return [Heard(announcement(f"{count} {what}"), 0) for what, count in missed.items()]

    def step(self, now: float, wall_ms: int) -> None:
        """Publish what may be, and ask for what is missing."""
        if not self._is_up:
            return
        if self._check is not None:
            self._ask(self._check, now)
            return
        publish = self.outbox.next(now, wall_ms)
        if publish is not None:
            self._link.publish(publish)
        elif self.outbox.is_empty and not self.fold.behind:
            self._miss(self.outbox.give_up(now))
        missing = self.fold.missing(now)
        if missing is not None and now >= self._asked_at + ANSWER_S:
            self._asked_at = now
            self._link.fetch(*missing)

    def timeout(self, now: float) -> float:
        """Seconds until there is something to do by time alone."""
        if self.next_bytes:
            return 0.0
        told_s = max(0.0, self._told_at + TOLD_EVERY_S - now) if self._missed else inf
        if not self._is_up:
            return told_s
        answer_s = max(0.0, self._asked_at + ANSWER_S - now)
        if self._check is not None:
            return min(told_s, answer_s)
        return min(told_s, self.outbox.timeout(now), max(answer_s, self.fold.timeout(now)))

    # Inside.

    def _answered(self, event: Acked | Denied | OursIs, now: float) -> None:
        """What became of our batch."""
        if isinstance(event, Denied):
            if event.is_busy:
                self.outbox.wait_until(now + AGAIN_S)
            else:
                self._link.look_at_ours()
            return
        if isinstance(event, Acked):
            self.outbox.stored(event.number, event.sequence, now)
        else:
            self.outbox.last_is(event.number, event.sequence, now)
        self.fold.head_is(event.sequence, now)

    def _up(self, seen: Seen, now: float) -> None:
        same_stream = self._created in ("", seen.created)
        self._is_up, self._created, self._asked_at = True, seen.created, -inf
        self.fold.connected(seen.last)
        self._begins_at = max(0, seen.first - 1, seen.last - REPLAYED)
        self._check = ForkCheck(list(self.fold.names), self.fold.applied, self._known_head, seen, same_stream)
        self.outbox.again()
        self._settle(now)

    def _ask(self, check: ForkCheck, now: float) -> None:
        if now >= self._asked_at + ANSWER_S:
            self._asked_at = now
            self._link.look(check.question)

    def _looked(self, event: Looked, now: float) -> None:
        check = self._check
        if check is not None and check.question == event.sequence:
            check.answer(event.found)
            self._asked_at = -inf
            self._settle(now)

    def _settle(self, now: float) -> None:
        """Follow, once it is known from where."""
        check = self._check
        if check is None or check.common is None:
            return
        if check.has_forked:
            self.forks += 1
            # To all hubs: one that had not applied the lines that are gone cannot know of them.
            self.outbox.put(announcement(f"the record of the cluster went back: {self.origin.hub}"), 0, now)
        self.fold.go_back(self._begins_at if self._is_new else check.common)
        self._is_new = False
        self._check = None

    def _fetched(self, event: Fetched, now: float) -> None:
        if self._check is not None:
            return
        was, before = self.fold.applied, self.fold.gaps + self.fold.applied
        gone = self.fold.fetched(event.first, event.last, event.found, now)
        if not event.found:
            gone = self.fold.gone_before(event.from_)
        if gone and was:  # A hub that starts misses nothing of what was before it.
            self._missed["messages of the cluster are gone"] += gone
            self.gone += gone
        is_of_use = self.fold.gaps + self.fold.applied > before
        self._asked_at = -inf if is_of_use else now + AGAIN_S - ANSWER_S

    def _apply(self, stored: Stored, now: float) -> list[Heard]:
        batch = self._batch_of(stored)
        if batch is None:
            self.refused += 1
            self._missed["messages of the cluster cannot be read here"] += 1
            self.fold.apply(stored, 0, now)
            return []
        senders = list[int]()
        if stored.origin == self.origin:
            senders = self.outbox.came_back(batch.number, stored.sequence, now)
        applied = self.fold.apply(stored, batch.number, now)
        self._miss(applied.lost)
        if not applied.is_new:
            return []
        if len(senders) != len(batch.entries):  # Another's, or what somebody else published in our name.
            senders = [-1] * len(batch.entries)
        return [Heard(*known, batch.wall_ms) for known in zip(batch.entries, senders, strict=True)]

    def _miss(self, batches: int) -> None:
        """So many batches that were stored are in no record any more."""
        if batches:
            self.lost += batches
            self._missed["messages of the cluster are in no record any more"] += batches

    def _batch_of(self, stored: Stored) -> Batch | None:
        """What the message says; None where it is refused. Its rooms are looked at before it is applied."""
        if self._read is None or self._read[0] is not stored:
            try:
                if stored.origin == NOBODY:
                    raise Refused("a subject of no hub")
                self._read = stored, unpacked(stored.message, self._rules)
            except Refused:
                self._read = stored, None
        return self._read[1]
