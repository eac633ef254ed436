"""Members on a model of a broker, which loses, delays, refuses, re-elects, forgets and begins anew.

Time is a number that a seeded generator moves. A run has two halves: in the first anything may happen, in the
second the broker is well, and everything that was taken has to come out. `python -m tests.unit.cluster.model
--seeds 0-5000` tries seeds and prints those that fail.
"""

import argparse
import heapq
import itertools
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cluster.envelope import Entry, Kind, Rules, unpacked
from cluster.events import Acked, Denied, Down, Event, Fetched, HeadIs, Looked, OursIs, Up
from cluster.fold import Name, Origin, Stored
from cluster.fork import Seen
from cluster.member import Heard, Member
from cluster.outbox import Publish

RULES = Rules(most_line_bytes=0, is_chat=False)
HUBS = 3
FETCHED = 40
WELL_S = 60.0
"""So long the second half may take: elections, back-offs and repeats are over within seconds."""


class Violation(AssertionError):
    """A promise of the cluster that was not kept."""


class Broker:
    """The stream. What a crash may take is what it stored since `safe`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.stored: list[Stored] = []
        self.created = 0
        self._count = 0
        self.busy_until = 0.0

    @property
    def seen(self) -> Seen:
        """What a connect is told."""
        return Seen(str(self.created), 1, len(self.stored))

    def last(self, origin: Origin) -> int:
        """The sequence of the last message on a hub's subject; 0 for none."""
        return next((item.sequence for item in reversed(self.stored) if item.origin == origin), 0)

    def store(self, origin: Origin, publish: Publish) -> Stored | None:
        """Append by compare-and-set; None where the subject does not stand where it was expected to."""
        if self.last(origin) != publish.expected:
            return None
        self._count += 1
        self.stored.append(Stored(len(self.stored) + 1, origin, publish.message, self._count))
        return self.stored[-1]

    def go_back(self) -> None:
        """Lose the newest messages, as a store does that acknowledges before it is on the disk."""
        few = max(0, len(self.stored) - self._rng.randint(1, 4))
        del self.stored[self._rng.choice([few, self._rng.randint(0, len(self.stored))]) :]

    def begin_anew(self) -> None:
        """The stream is deleted, and made again."""
        self.stored = []
        self.created += 1


class Weather:
    """What becomes of all that is under way: a seeded generator loses it, or delays it. Times are seconds."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.is_well = False
        self.may_forget = self.rng.random() < 0.4
        self._loss = self.rng.choice([0.0, 0.02, 0.2])
        self._ids = itertools.count()
        self._orders: list[tuple[float, int, Any]] = []
        self.broker = Broker(self.rng)
        self.links = dict[Origin, ModelLink]()
        self.has_forgotten = False

    def is_lost(self) -> bool:
        """Whether this one thing does not arrive."""
        return not self.is_well and self.rng.random() < self._loss

    def delay(self) -> float:
        """How long something is under way: now and then longer than anybody waits."""
        return (
            self.rng.expovariate(200)
            if self.is_well or self.rng.random() < 0.97
            else self.rng.uniform(0.5, 3)
        )

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do this later."""
        heapq.heappush(self._orders, (self.now + seconds, next(self._ids), act))

    def tell(self, origin: Origin, event: Event, seconds: float, life: int | None = None) -> None:
        """Bring an event to a member, if its link is the same by then."""
        raise NotImplementedError

    def next_at(self) -> float:
        """When the next of what was put off is to be done."""
        return self._orders[0][0] if self._orders else math.inf

    def do_next(self) -> None:
        """The next of what was put off. Time is not earlier than that."""
        moment, _, act = heapq.heappop(self._orders)
        self.now = max(self.now, moment)
        act()

    def name_at(self, sequence: int) -> Name | None:
        """Whose message stands there."""
        if not 1 <= sequence <= len(self.broker.stored):
            return None
        stored = self.broker.stored[sequence - 1]
        return Name(stored.origin, unpacked(stored.message, RULES).number, stored.stored_us)

    def forget(self) -> None:
        """The store forgets what it acknowledged; it was restarted for that, so everybody connects anew."""
        for link in list(self.links.values()):
            link.go_down()
        self.has_forgotten = True
        if self.rng.random() < 0.8:
            self.broker.go_back()
        else:
            self.broker.begin_anew()


class ModelLink:
    """The link of one member: everything takes a while, and may be lost. A restart loses all under way."""

    def __init__(self, world: Weather, origin: Origin) -> None:
        self._world, self.origin = world, origin
        self.life = 0
        self.is_up = False

    def publish(self, batch: Publish) -> None:
        self.send(lambda: self.store(batch))

    def fetch(self, first: int, last: int) -> None:
        self.send(
            lambda: self.reply(Fetched(first, last, self._world.broker.stored[first - 1 : last][:FETCHED], 1))
        )

    def look(self, sequence: int) -> None:
        self.send(lambda: self.reply(Looked(sequence, self._world.name_at(sequence))))

    def look_at_ours(self) -> None:
        self.send(self._look_at_ours)

    def go_down(self) -> None:
        """The connection breaks; the member notices at once."""
        if self.is_up:
            self.is_up, self.life = False, self.life + 1
            self._world.tell(self.origin, Down(), 0.0)

    def come_up(self) -> None:
        """Connected anew."""
        if not self.is_up:
            self.is_up, self.life = True, self.life + 1
            self.reply(Up(self._world.broker.seen), may_be_lost=False)

    def live(self, stored: Stored) -> None:
        """A message by the live path, which keeps the order and may leave some out."""
        if self.is_up and not self._world.is_lost():
            self._world.tell(self.origin, stored, 0.001, self.life)

    def send(self, reach: Callable[[], object]) -> None:
        """A request, which may be lost, and is lost with its connection."""
        world, life = self._world, self.life
        if not world.is_lost():
            world.after(world.delay(), lambda: reach() if self.life == life else None)

    def reply(self, event: Event, *, may_be_lost: bool = True) -> None:
        """An answer of the broker."""
        world = self._world
        if not (may_be_lost and world.is_lost()):
            world.tell(self.origin, event, world.delay() if may_be_lost else 0.0, self.life)

    def store(self, batch: Publish) -> None:
        """A batch has come to the broker."""
        broker = self._world.broker
        if self._world.now < broker.busy_until:
            if self._world.rng.random() < 0.5:
                self.reply(Denied(is_busy=True))
            return
        stored = broker.store(self.origin, batch)
        if stored is None:
            self.reply(Denied(is_busy=False))
            return
        self.reply(Acked(batch.number, stored.sequence))
        for link in self._world.links.values():
            link.live(stored)

    def _look_at_ours(self) -> None:
        last = self._world.broker.last(self.origin)
        name = self._world.name_at(last)
        self.reply(OursIs(name.number if name else 0, last))


class World(Weather):
    """Members, their links, the broker, and what everybody said and heard."""

    def __init__(self, seed: int, member: type[Member] = Member) -> None:
        super().__init__(seed)
        self.members = dict[Origin, Member]()
        self._kind = member
        self.said, self.heard = dict[Origin, list[bytes]](), dict[Origin, list[bytes]]()
        self.killed: set[Origin] = set()
        """Lives that ended at once: what they had in their outboxes went with them."""
        for number in range(HUBS):
            self._start(Origin(f"hub{number}", "1"))
        self.told: Counter[Origin] = Counter()

    def tell(self, origin: Origin, event: Event, seconds: float, life: int | None = None) -> None:
        """As inherited."""
        member, link = self.members[origin], self.links[origin]  # A killed one gets it, and nobody sees it.

        def bring() -> None:
            if life in (None, link.life):
                member.take(event, self.now)

        self.after(seconds, bring)

    # The run.

    def _start(self, origin: Origin) -> None:
        self.links[origin] = ModelLink(self, origin)
        self.members[origin] = self._kind(origin, RULES, self.links[origin], 0.003)
        self.said[origin], self.heard[origin] = [], []

    def _restart(self, origin: Origin) -> None:
        """Kill a hub and start it again: it reads the stream from its beginning."""
        self.links[origin].go_down()
        self.killed.add(origin)
        del self.members[origin], self.links[origin], self.heard[origin]
        again = Origin(origin.hub, str(int(origin.start) + 1))
        self._start(again)
        self.links[again].come_up()

    def run(self, steps: int = 400) -> None:
        """Both halves, and the judgement. Raises Violation."""
        for link in self.links.values():
            link.come_up()
        self._beat()
        for _ in range(steps):
            self._happen()
            self._pass(self.rng.choice([0.0, 0.001, 0.02, 0.3]))
        self.is_well, self.broker.busy_until = True, self.now
        for link in self.links.values():
            link.come_up()
        end_s = self.now + WELL_S
        while not self._is_settled():
            if self.now > end_s:
                raise Violation(f"not settled after {WELL_S:g} s: {self._places()}")
            self._pass(0.05)
        self._judge()

    def _happen(self) -> None:
        """Something: mostly talk, sometimes trouble."""
        origin = self.rng.choice([*self.members])
        luck = self.rng.random()
        if luck < 0.8:
            self._say(origin)
        elif luck < 0.86:
            self.links[origin].go_down()
        elif luck < 0.95:
            self.links[origin].come_up()
        elif luck < 0.97:  # An election: nothing is stored, and most connections break.
            self.broker.busy_until = self.now + self.rng.uniform(0.1, 5)
        elif luck < 0.975:
            self._restart(origin)
        elif self.may_forget and luck < 0.985:
            self.forget()

    def _say(self, origin: Origin) -> None:
        for _ in range(self.rng.randint(1, 4)):
            line = f"{origin.hub}.{origin.start} {len(self.said[origin])}".encode()
            if self.members[origin].outbox.put(Entry(Kind.TALK, "lobby", 1, line + b"\n"), 7, self.now):
                self.said[origin].append(line)

    def _pass(self, seconds: float) -> None:
        """Let time go by: orders are carried out, and members step behind each and after each millisecond."""
        end = self.now + seconds
        self._step()
        while self.next_at() <= end:
            self.do_next()
            self._step()
        self.now = end
        self._step()

    def _beat(self) -> None:
        """Each hub tells all others where it is."""
        for origin, link in self.links.items():
            if link.is_up:
                for other in self.links.values():
                    if other.is_up and not self.is_lost():
                        self.tell(other.origin, HeadIs(self.members[origin].fold.applied), 0.001, other.life)
        self.after(1.0, self._beat)

    def _step(self) -> None:
        for origin, member in self.members.items():
            member.step(self.now, int(self.now * 1000))
            for heard in everything(member, self.now):
                if heard.entry.kind is Kind.TALK:
                    self._judge_sender(origin, heard.entry, heard.sender)
                    self.heard[origin] += heard.entry.data.splitlines()
                else:
                    self.told[origin] += 1

    def _judge_sender(self, origin: Origin, entry: Entry, sender: int) -> None:
        is_own = entry.data.startswith(f"{origin.hub}.{origin.start} ".encode())
        if sender != (7 if is_own else -1):
            raise Violation(f"{origin.hub} took {entry.data!r} for a line of client {sender}")

    def _is_settled(self) -> bool:
        head = len(self.broker.stored)
        return all(
            member.follows and member.outbox.is_empty and member.fold.applied == head
            for member in self.members.values()
        )

    def _recorded(self) -> set[bytes]:
        """The lines that the stream has in the end."""
        entries = (entry for item in self.broker.stored for entry in unpacked(item.message, RULES).entries)
        return {line for entry in entries if entry.kind is Kind.TALK for line in entry.data.splitlines()}

    def _places(self) -> list[str]:
        return [
            f"{origin.hub} {'follows' if member.follows else 'is apart'} at {member.fold.applied} of "
            f"{len(self.broker.stored)}, {member.outbox.waiting_bytes} bytes wait"
            for origin, member in self.members.items()
        ]

    def _judge(self) -> None:
        """All heard the same, without hole and double; after the store forgot, nothing is silent."""
        for origin, heard in self.heard.items():
            self._judge_heard(origin, heard)
        sequences = list(self.heard.values())
        if not self.has_forgotten and any(sequence != sequences[0] for sequence in sequences):
            raise Violation("not all heard the same sequence")
        for origin, lines in self.said.items():
            for other, heard in self.heard.items():
                ours = [line for line in heard if line.startswith(f"{origin.hub}.{origin.start} ".encode())]
                if ours != [line for line in lines if line in set(ours)]:
                    raise Violation(f"{other.hub} heard the lines of {origin.hub} in another order")

    def _judge_heard(self, origin: Origin, heard: list[bytes]) -> None:
        """What one hub heard: nothing twice, nothing that nobody said, all that the record has."""
        living = [lines for life, lines in self.said.items() if life not in self.killed]
        said, counts = Counter(itertools.chain.from_iterable(living)), Counter(heard)
        if strays := counts.keys() - {line for lines in self.said.values() for line in lines}:
            raise Violation(f"{origin.hub} heard what nobody said: {sorted(strays)[:5]}")
        if doubles := [line for line, count in counts.items() if count > 1]:
            raise Violation(f"{origin.hub} heard twice: {doubles[:5]}")
        if unheard := self._recorded() - counts.keys():
            raise Violation(f"{origin.hub} never heard {sorted(unheard)[:5]}, which the record has")
        missing = said - counts
        if missing and not self.has_forgotten:
            raise Violation(f"{origin.hub} never heard {sorted(missing)[:5]}, and nothing was forgotten")
        if missing and not self.told[origin]:
            raise Violation(f"{origin.hub} never heard {sorted(missing)[:5]}, and was not told")


def everything(member: Member, now: float) -> Iterator[Heard]:
    """All that a member has to be heard now."""
    yield from member.misses(now)
    while member.next_bytes:
        yield from member.hear(now)


def failures(seeds: Sequence[int], member: type[Member] = Member) -> Iterator[tuple[int, Violation]]:
    """The seeds whose run breaks a promise."""
    for seed in seeds:
        try:
            World(seed, member).run()
        except Violation as violation:
            yield seed, violation


def main(arguments: Sequence[str]) -> int:
    """The command line; exit code 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.cluster.model", description=__doc__)
    parser.add_argument("--seeds", default="0-1000", help="the first, and behind a hyphen the end")
    first, _, end = parser.parse_args(arguments).seeds.partition("-")
    began_s, seeds, failed = time.monotonic(), range(int(first), int(end or first) + (not end)), 0
    for seed, violation in failures(seeds):
        print(f"seed {seed}: {violation}", flush=True)
        failed += 1
    print(f"{len(seeds)} seeds in {time.monotonic() - began_s:.1f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
