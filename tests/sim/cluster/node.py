"""A life of a hub of a simulated cluster: the world of a single hub, on the clock that all hubs share.

A loop waits by raising out of its wait, as nothing is lost of a turn that only asked how long to wait.
So turns of several hubs take place one after the other in one thread, in an order that a seed decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.commons import Clocks
from cluster.join import Joined
from cluster.outbox import Outbox
from hub.rooms.accounting import Account
from hub.rooms.log import Log
from hub.session.client import Client
from hub.session.commons import Commons
from hub.session.ready_sets import ReadySets
from tests.sim.cluster.broker import SimLink
from tests.sim.cluster.parts import CountedEvents, with_own_parts
from tests.sim.fakes import SimPoller
from tests.sim.journal import Journal, JournaledRoom
from tests.sim.kernel import Kernel, fail
from tests.sim.outcome import Outcome
from tests.sim.peers import COMMANDS, Peer
from tests.sim.plan import Plan, Step
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.cluster.scene import Cluster

MOST_LOOKS = 20
"""So often a hub that starts or ends looks at the clock without a wait; from there on it spins."""
SPUN_S = 0.01
NOTICES_BYTES = 1000
SLEPT_S = 0.0005
"""A wait of less is none, as others take turns meanwhile."""


class Asleep(Exception):
    """The loop waits for so long, if nothing happens."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s


class SharedKernel(Kernel):
    """A kernel of its own with the clock of all."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._looks = 0
        self.turns = False
        """The hub serves, and waits in its turns."""
        super().__init__()

    @property
    def now(self) -> float:
        return self._cluster.now

    @now.setter
    def now(self, moment: float) -> None:
        self._cluster.now = max(self._cluster.now, moment)

    def clock(self) -> float:
        self._looks += not self.turns
        if self._looks > MOST_LOOKS:  # The others go on meanwhile.
            self._looks = 0
            self._cluster.spun_s += SPUN_S
            self._cluster.go_on(SPUN_S)
        return super().clock()

    def waited(self) -> None:
        self._looks = 0


class NappingPoller(SimPoller):
    """Waits only where it is known that the wait is over."""

    is_over = False

    def wait(self, timeout_s: float) -> Sequence[tuple[int, int]]:
        if not self.is_over:
            raise Asleep(timeout_s)
        self.is_over = False
        return super().wait(timeout_s)


class ClusterJournal(Journal):
    """The rooms by the numbers of their logs, and what newcomers were shown: the past of a room that was not
    here is in no log of this hub."""

    def __init__(self, *, marked: bool) -> None:
        super().__init__(marked=marked)
        self.rooms: dict[int, str] = {}
        self.shown: list[tuple[str, str, list[bytes]]] = []
        """By room and peer."""

    def enter(self, room: int, peer: str, start: int, shown: list[bytes]) -> None:
        any(line.startswith(b"* ") for line in shown) and fail(f"{peer} is shown notices as history: {shown}")
        self.shown.append((self.rooms[room], peer, shown))
        super().enter(room, peer, start, [])
        self.stays[peer][-1].shown = shown


class NodeOutcome(Outcome):
    """Whose lines were heard is judged for all hubs together."""

    def was_heard(self, number: int, said: list[bytes], *, whole: bool) -> None:
        """See tests/sim/cluster/judge.py."""


class Node(World):
    """A life of a hub. Raises NameTaken where another has its name."""

    joined: Joined
    poller: NappingPoller

    def __init__(self, cluster: Cluster, plan: Plan, wall_off_s: float) -> None:
        self.cluster, self._wall_off_s = cluster, wall_off_s
        self.events: CountedEvents
        self.link: SimLink
        self.asked: dict[Peer, Counter[str]] = {}
        """Commands, by their first word."""
        self.came_at: dict[Peer, float] = {}
        self.wakes_at, self._slept_at, self._timeout_s = math.inf, 0.0, 0.0
        self.frozen_until = 0.0
        self.began_at = cluster.now
        self.is_serving = False
        super().__init__(plan)
        self.outcome = NodeOutcome(self)
        self.kernel.on_wait = lambda timeout_s: None
        self.kernel.on_call = cluster.do_due
        self.serves(in_turns=True)
        self._nap()

    @property
    def name(self) -> str:
        return self.joined.member.origin.hub

    # What is otherwise than in a hub alone.

    def make_kernel(self) -> Kernel:
        return SharedKernel(self.cluster)

    def make_journal(self, *, marked: bool) -> ClusterJournal:
        return ClusterJournal(marked=marked)

    def make_poller(self) -> SimPoller:
        self.poller = NappingPoller(self.plan.trigger, self.kernel)
        return self.poller

    def make_room(self, name: str, key: str, account: Account, log: Log) -> JournaledRoom:
        assert isinstance(self.journal, ClusterJournal)
        self.journal.rooms[log.number] = key
        return super().make_room(name, key, account, log)

    def make_commons(self, ready: ReadySets) -> Commons:
        kernel = self.kernel
        clocks = Clocks(kernel.clock, lambda: kernel.now + self._wall_off_s, kernel.clock)
        with with_own_parts(self):
            self.joined = Joined(self.plan.of_hub(), clocks, self.mailbox, lambda text: None)
        member = self.joined.member
        member.outbox = Outbox(member.outbox.spacing_s, self.cluster.plan.limits.outbox_bytes)
        return self.joined.make_commons(ready)

    def enter(self) -> None:
        if self.joined.start():
            self.joined.catch_up(lambda heard, of: None)
        self.loop.listen()

    def beside(self) -> tuple[object, ...]:
        fold = self.joined.member.fold
        return self.link.asked, self.link.told, self.events.taken, fold.applied

    def number_of_next(self) -> int:
        return self.cluster.number_of_next()

    def do(self, step: Step) -> None:
        super().do(step)
        if step[0] == "connect":
            self.came_at[self.peers[-1]] = self.cluster.now

    # Turns.

    def is_due(self, now: float) -> bool:
        """Its wait is over."""
        is_awake = now >= self.wakes_at or self.kernel.epoll.has_events()
        return is_awake and now >= self.frozen_until and not self.loop.is_drained

    def next_at(self) -> float:
        """When it is due if nothing happens."""
        return max(self.wakes_at, self.frozen_until) if not self.loop.is_drained else math.inf

    def go(self) -> None:
        """The end of its wait, the turn, and the beginning of the next wait."""
        self.checks.clocks.waited = self._timeout_s > 0 and self.cluster.now > self._slept_at + SLEPT_S
        self.poller.is_over = True
        before = self.hub.rooms.lobby.log.head
        self.turn()
        grown, most = self.hub.rooms.lobby.log.head - before, self.most_heard()
        grown <= most or fail(f"a turn of {self.name} brings {grown} bytes into one room, at most {most}")
        self.live()
        self._nap()

    def most_heard(self) -> int:
        """So much may one turn bring into one room: what it has place for, or one message, and notices."""
        message_bytes = self.cluster.plan.limits.message_bytes
        return max(self.hub.intake.room_bytes, message_bytes) + NOTICES_BYTES

    def _nap(self) -> None:
        if self.loop.is_drained:
            self.wakes_at = math.inf
            return
        try:
            self.loop.turn()
        except Asleep as nap:
            self.checks.clocks.before_wait(nap.timeout_s)
            self._timeout_s, self._slept_at = nap.timeout_s, self.cluster.now
            self.wakes_at = self._slept_at + (
                math.ceil(nap.timeout_s * 1000) / 1000 if nap.timeout_s < math.inf else math.inf
            )

    def serves(self, *, in_turns: bool) -> None:
        """Whether it waits in its turns, or in the call that starts or ends it."""
        assert isinstance(self.kernel, SharedKernel)
        self.kernel.turns = self.is_serving = in_turns

    def waited(self) -> None:
        """The call that starts or ends it has waited."""
        assert isinstance(self.kernel, SharedKernel)
        self.kernel.waited()

    def freeze(self, seconds: float) -> None:
        """The process stands still, and its links with it."""
        self.frozen_until = self.cluster.now + seconds
        self.jumps.append((self.cluster.now, seconds))

    # Peers.

    def peer_does(self, peer: Peer, name: str, numbers: list[int]) -> None:
        if name == "command" and self.plan.mode == "chat" and not (peer.is_over or peer.remote.fin_sent):
            word = COMMANDS[numbers[0] % len(COMMANDS)].split()[0]
            self.asked.setdefault(peer, Counter())[word] += 1
        super().peer_does(peer, name, numbers)

    def staying(self) -> dict[Peer, Client]:
        """The peers whose connection is in order, with the hub's clients."""
        clients = {client.peer: client for client in self.hub.connections.clients.values()}
        return {
            peer: clients[peer.name]
            for peer in self.peers
            if peer.name in clients and not (peer.is_over or peer.remote.fin_sent or peer.tcp.lost)
            and clients[peer.name].close.reason is None
        }  # fmt: skip
