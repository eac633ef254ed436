"""The broker of a simulated cluster: the stream of the members' model, and a table of nicks.

A link has what a real one has (cluster/link.py): a connection is up in steps, live messages come before the
member is told of it, requests are dropped while there is none, and it connects again by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from cluster import presence
from cluster.envelope import Refused
from cluster.events import Down, Event, Fetched, Garbled, HeadIs, Owned, Spoke, Up
from cluster.fold import Origin, Stored
from cluster.fork import Seen
from cluster.outbox import Publish
from cluster.presence import Answer, Beat, Question, Said
from tests.unit.cluster.model import FETCHED, Broker, ModelLink

if TYPE_CHECKING:
    from tests.sim.cluster.scene import Cluster

WIRE_S = 0.001
"""What is not asked for comes after so long, and in order."""
CHECK_S = 0.5
"""So often a link looks where the stream is."""
GIVEN_UP_S = 2.0
"""A question to the stream that has no answer is over after so long, and only then there is another."""
PAUSES_S = (0.025, 1.0)
OUTLIVES = 0.2
"""So many of the batches under way when a connection breaks come to the broker all the same."""
STALE = 0.05
"""So often a server answers a fetch that has not heard the newest yet; of the table its leader tells."""


class Store(Broker):
    """The stream and the table. By key, the table has whose it is and its revision."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._rng = rng
        self.table: dict[str, tuple[Origin, int]] = {}
        self._revision = 0
        self.expired = 0
        """So many of the oldest messages are gone, because of their age."""
        self._before: list[tuple[str, tuple[Origin, int] | None, int]] = []
        """What each change has changed, for a crash, which forgets the newest."""

    def put(self, key: str, owner: Origin | None, expected: int) -> int:
        """Change a key that stands at this revision (0: none). The new revision, 0 where nothing changed."""
        found = self.table.get(key)
        if (found[1] if found else 0) != expected:
            return 0
        self._before.append((key, found, self._revision))
        self._revision += 1
        if owner is None:
            self.table.pop(key, None)
        else:
            self.table[key] = owner, self._revision
        return self._revision

    @property
    def seen(self) -> Seen:
        return Seen(str(self.created), self.expired + 1, len(self.stored))

    def last(self, origin: Origin) -> int:
        last = super().last(origin)
        return last if last > self.expired else 0

    def read(self, first: int, last: int) -> list[Stored]:
        """What there is of these messages, as much as one answer has."""
        return self.stored[max(first - 1, self.expired) : last][:FETCHED]

    def go_back(self) -> None:
        super().go_back()
        self.expired = min(self.expired, len(self.stored))
        for _ in range(self._rng.choice([0, 1, 3])):
            if self._before:
                key, was, self._revision = self._before.pop()
                self.table.pop(key, None)
                if was:
                    self.table[key] = was

    def begin_anew(self) -> None:
        super().begin_anew()
        self.expired = 0
        self.table.clear()
        self._before.clear()
        self._revision = 0


class SimLink(ModelLink):
    """The link of one life of a hub. `is_up`: live messages come; `is_linked`: the member was told so."""

    def __init__(self, world: Cluster, origin: Origin, post: Callable[[Event], None]) -> None:
        super().__init__(world, origin)
        self._cluster, self._post = world, post
        self.is_linked = self.is_over = False
        self.asked = self.told = 0
        """How much the hub asked of its link, and how much it was told."""
        self._is_fetching = False

    def start(self) -> None:
        self._cluster.links[self.origin] = self
        self._later(0.0, self.come_up)

    def stop(self) -> None:
        self.is_over = True
        self.is_up = self.is_linked = False
        self.life += 1
        self._cluster.links.pop(self.origin, None)

    # Up and down.

    def go_down(self) -> None:
        """The connection breaks. The member is told, unless it does not know of it yet."""
        if not self.is_up:
            return
        was_linked = self.is_linked
        self.is_up = self.is_linked = self._is_fetching = False
        self.life += 1
        if was_linked:
            self.post(Down())
        self._later(self._world.rng.uniform(*PAUSES_S), self.come_up)

    def come_up(self) -> None:
        """Connected: live messages come from here on, and where the stream stands is looked at next."""
        if self.is_up or self.is_over:
            return
        world = self._cluster
        if world.now < world.is_down_until:
            self._later(world.rng.uniform(*PAUSES_S), self.come_up)
            return
        self.is_up, self.life = True, self.life + 1
        self._later(world.delay(), self._look_around)

    def _look_around(self) -> None:
        world = self._cluster
        if world.is_lost() or world.now < world.broker.busy_until:
            self.go_down()
            return
        seen = world.broker.seen
        self._later(world.rng.choice([0.0, 0.001, 0.01]), lambda: self._linked(seen))

    def _linked(self, seen: Seen) -> None:
        self.is_linked = True
        self.post(Up(seen))
        self._later(CHECK_S, self._check)

    def _check(self) -> None:
        self.reply(HeadIs(len(self._cluster.broker.stored)))
        self._later(CHECK_S, self._check)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do this on this connection."""
        life = self.life
        self._cluster.after(seconds, lambda: act() if life == self.life and not self.is_over else None)

    def post(self, event: Event) -> None:
        """Tell the hub now."""
        self.told += 1
        self._post(event)

    def arrive(self, event: Event) -> None:
        """Something that nobody asked for comes in its order, or is lost."""
        if self.is_up and not self._cluster.is_lost():
            self._cluster.tell(self.origin, event, WIRE_S, self.life)

    # What a member asks.

    def send(self, reach: Callable[[], object]) -> None:
        self.asked += 1
        if self.is_linked:
            super().send(reach)

    def publish(self, batch: Publish) -> None:
        world = self._cluster
        if self.is_linked and world.rng.random() < OUTLIVES and not world.is_lost():
            self.asked += 1
            life = self.life
            world.after(world.delay(), lambda: self.store(batch) if life == self.life else self._late(batch))
        else:
            super().publish(batch)

    def _late(self, batch: Publish) -> None:
        """The batch comes though its connection is gone, and nobody hears what became of it."""
        world = self._cluster
        if world.now >= world.broker.busy_until:
            stored = world.broker.store(self.origin, batch)
            for link in list(world.links.values()):
                if stored is not None:
                    link.live(stored)

    def fetch(self, first: int, last: int) -> None:
        """A question at a time; one that is lost is open for long."""
        if self._is_fetching or not self.is_linked:
            self.asked += 1
            return
        self._is_fetching = True

        def ended() -> None:
            self._is_fetching = False

        def reach() -> None:
            world = self._cluster
            found = world.broker.read(first, last)
            if not world.is_well and world.rng.random() < STALE:
                del found[world.rng.randrange(len(found) + 1) :]
            ended()
            self.reply(Fetched(first, last, found, found[0].sequence if found else world.broker.seen.first))

        world = self._cluster
        if world.is_lost():
            self.asked += 1
            self._later(GIVEN_UP_S, ended)
        else:
            self.asked += 1
            self._later(world.delay(), reach)

    # What a company asks.

    def beat(self, beat: Beat) -> None:
        self._say(beat)

    def ask(self, question: Question) -> None:
        self._say(question)

    def answer(self, to: Origin, answer: Answer) -> None:
        self._say(answer, to)

    def claim(self, key: str, revision: int) -> None:
        self.send(lambda: self._claimed(key, revision))

    def release(self, key: str, revision: int) -> None:
        self.send(lambda: self._released(key, revision))

    def look_up(self, key: str) -> None:
        self.send(lambda: self._looked_up(key))

    def _say(self, said: Said, to: Origin | None = None) -> None:
        self.asked += 1
        if not self.is_linked:
            return
        message = presence.packed(said)
        for other in list(self._cluster.links.values()):
            if other is not self and to in (None, other.origin):
                other.arrive(self._spoken(message))

    def _spoken(self, message: bytes) -> Event:
        try:
            return Spoke(self.origin, presence.unpacked(message))
        except Refused:
            return Garbled()

    def _claimed(self, key: str, revision: int) -> None:
        now_at = self._cluster.broker.put(key, self.origin, revision)
        if now_at:
            self.reply(Owned(key, self.origin, now_at))
        else:
            self._looked_up(key)

    def _released(self, key: str, revision: int) -> None:
        if self._cluster.broker.put(key, None, revision):
            self.reply(Owned(key, None, 0))
        else:
            self._looked_up(key)

    def _looked_up(self, key: str) -> None:
        self.reply(Owned(key, *self._cluster.broker.table.get(key, (None, 0))))
