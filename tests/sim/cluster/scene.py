"""The cluster: its hubs, its broker, and the one clock. Steps happen to it, and then all is well.

While a hub starts or ends, which its product code does in one call, the other hubs go on, and so do steps.
"""

from __future__ import annotations

from collections.abc import Collection

from cluster.events import Event
from cluster.fold import Name, Origin
from cluster.join import NameTaken
from hub.control.mailbox import Stop
from tests.sim.cluster.broker import SimLink, Store
from tests.sim.cluster.node import Node
from tests.sim.cluster.parts import with_limits
from tests.sim.cluster.plan import ClusterPlan
from tests.sim.kernel import fail
from tests.sim.plan import Step
from tests.unit.cluster.model import Weather

STOP_S = 5.0
"""So long a hub that stops may take to have stored what was said (hub/cli/main.py)."""
AGAIN_S = 1.0
"""A hub that could not start is started again after so long."""
WELL_S = 40.0
REST_S = 6.0
"""So long after all was said it is known who is alive, and whose nick is whose."""
QUIET_S = 2.0
OLD_S = 5.0
"""What is under way is never so old."""
BEGAN_AT = 1000.0
MOST_STARTING = 2


class Cluster(Weather):
    """Runs one plan. `run` raises Violation."""

    def __init__(self, plan: ClusterPlan, but: Collection[str] = ()) -> None:
        """`but` names checks that are not made."""
        super().__init__(plan.seed)
        self.plan, self.but, self.now = plan, but, BEGAN_AT
        self.broker: Store = Store(self.rng)
        self.links: dict[Origin, SimLink] = {}  # type: ignore[assignment]
        self.is_down_until = 0.0
        self.has_begun = self.is_still = False
        """Nobody came or went in the last seconds."""
        self.nodes: list[Node | None] = [None] * len(plan.hubs)
        self.gone: list[Node] = []
        """Lives that ended in order; of those that were killed nothing is asked."""
        self.killed: set[Origin] = set()
        self.forgot_at: list[float] = []
        self.expired_at: list[float] = []
        self._counts: list[tuple[float, int]] = []
        """How many messages there were when."""
        self.spun_s = 0.0
        """How long hubs that started or ended did not wait."""
        self.steps = list(reversed(plan.steps))
        self._peers = self.lives = self._starting = 0
        self._wall_off_s = [self.rng.choice([0.0, 0.0, -3.0, 7.0]) for _ in plan.hubs]

    def run(self) -> None:
        with with_limits(self.plan.limits):
            for hub in range(len(self.nodes)):
                self._start(hub)
            self.has_begun = True
            while self.steps:
                self._do(self.steps.pop())
            self.end()

    def end(self) -> None:
        """All is well: what was taken comes out, the hubs rest, and then they are asked to stop."""
        from tests.sim.cluster.judge import judge

        self.is_well, self.broker.busy_until, self.is_down_until = True, self.now, 0.0
        for node in self.alive():
            node.frozen_until = 0.0
            node.relieve()
            node.live()
        self._settle()
        self.pass_(REST_S)
        turns, there = [node.turns for node in self.alive()], self._there()
        self.pass_(QUIET_S)
        self.is_still = there == self._there()
        judge(self, [node.turns - before for node, before in zip(self.alive(), turns, strict=True)])
        for hub in range(len(self.nodes)):
            self._stop(hub)

    def _there(self) -> list[int]:
        """How many clients each hub has."""
        return [len(node.hub.connections.clients) for node in self.alive()]

    def alive(self) -> list[Node]:
        return [node for node in self.nodes if node is not None]

    def number_of_next(self) -> int:
        """The number of the next peer of any hub."""
        self._peers += 1
        return self._peers

    # Time.

    def pass_(self, seconds: float) -> None:
        """Let time go by. No time: a turn of one hub that is due."""
        end = self.now + seconds
        while True:
            node = self._next_due()
            if node is not None:
                node.go()
            else:
                nodes = [node.next_at() for node in self._serving()]
                moment = min(self.next_at(), *nodes) if nodes else self.next_at()
                if moment >= end:
                    self.now = max(self.now, end)
                else:
                    self.now = max(self.now, moment)
            self.do_due()
            if self.now >= end:
                break
        for node in self._serving():
            for peer in node.peers:
                peer.tcp.time_out()
            node.live()

    def go_on(self, seconds: float) -> None:
        """The same while a hub starts or ends; what clients do goes on as well."""
        if self.has_begun and self.steps and self.steps[-1][0] == "at":
            self._do(self.steps.pop())
        self.pass_(seconds)

    def do_due(self) -> None:
        """What was put off until now."""
        while self.next_at() <= self.now:
            self.do_next()

    def tell(self, origin: Origin, event: Event, seconds: float, life: int | None = None) -> None:
        link = self.links.get(origin)

        def bring() -> None:
            if link is not None and life in (None, link.life) and not link.is_over:
                link.post(event)

        self.after(seconds, bring)

    def _serving(self) -> list[Node]:
        return [node for node in self.nodes if node is not None and node.is_serving]

    def _next_due(self) -> Node | None:
        due = [node for node in self._serving() if node.is_due(self.now)]
        return due[0] if len(due) == 1 else self.rng.choice(due) if due else None

    # Steps.

    def _do(self, step: Step) -> None:
        name, *numbers = step
        self._counts.append((self.now, len(self.broker.stored)))
        getattr(self, f"_do_{name}")(*numbers)

    def _do_at(self, hub: int, step: Step) -> None:
        node = self.nodes[hub]
        if node is not None and node.is_serving:
            node.do(step)
            node.live()

    def _do_pass(self, seconds: float) -> None:
        self.pass_(seconds)

    def _do_cut(self, hub: int) -> None:
        node = self.nodes[hub]
        if node is not None:
            node.link.go_down()

    def _do_busy(self, seconds: float) -> None:
        """An election: nothing is stored, and most connections break."""
        self.broker.busy_until = self.now + seconds
        for link in list(self.links.values()):
            if self.rng.random() < 0.6:
                link.go_down()

    def _do_outage(self, seconds: float) -> None:
        self.is_down_until = self.now + seconds
        for link in list(self.links.values()):
            link.go_down()

    def _do_freeze(self, hub: int, seconds: float) -> None:
        node = self.nodes[hub]
        if node is not None and node.is_serving:
            node.freeze(seconds)

    def _do_forget(self, _: int) -> None:
        if self.may_forget:
            self.forgot_at.append(self.now)
            self.forget()

    def _do_expire(self, most: int) -> None:
        """The oldest messages are dropped. All hubs have applied them, and nobody sends one of them again,
        because a message is kept for long."""
        members = [node.joined.member for node in self.alive()]
        if not all(member.follows for member in members) or len(members) < len(self.nodes):
            return
        applied = [member.fold.applied for member in members]
        old = max((count for at, count in self._counts if at < self.now - OLD_S), default=0)
        before = self.broker.expired
        self.broker.expired = max(before, min(before + most, old, *applied, len(self.broker.stored)))
        self.expired_at.append(self.now)

    def name_at(self, sequence: int) -> Name | None:
        return super().name_at(sequence) if sequence > self.broker.expired else None

    def _do_kill(self, hub: int) -> None:
        node = self.nodes[hub]
        if node is None or self._starting >= MOST_STARTING:
            return
        self.killed.add(node.joined.member.origin)
        node.link.stop()
        self._start(hub)

    def _do_stop(self, hub: int) -> None:
        if self.nodes[hub] is not None and self._starting < MOST_STARTING:
            self._stop(hub)
            self._start(hub)

    def _start(self, hub: int) -> None:
        """A new life, which may take a while to begin."""
        self.nodes[hub] = None
        self._starting += 1
        while self.nodes[hub] is None:
            try:
                self.nodes[hub] = Node(self, self.plan.hubs[hub], self._wall_off_s[hub])
            except NameTaken:
                self.go_on(AGAIN_S)
        self._starting -= 1

    def _stop(self, hub: int) -> None:
        """The hub ends in order: it drains, and leaves the cluster once all is stored."""
        node = self.nodes[hub]
        assert node is not None
        node.frozen_until = 0.0
        node.mailbox.post(Stop())
        ends_at = self.now + 3 * node.hub.settings.drain_s + 5.0
        while not node.loop.is_drained:
            self.now < ends_at or fail(f"{node.name} does not end")
            self.go_on(0.01)
        node.outcome.when_drained()
        self.nodes[hub] = None
        node.serves(in_turns=False)
        node.joined.stop(STOP_S)
        self.gone.append(node)

    # The end.

    def _settle(self) -> None:
        ends_at = self.now + WELL_S
        while said := self._unsettled():
            self.now < ends_at or fail(f"not settled after {WELL_S:g} s: {said}")
            self.pass_(0.05)
        for node in self.alive():
            node.outcome.when_settled()

    def _unsettled(self) -> str:
        head = len(self.broker.stored)
        for node in self.alive():
            member = node.joined.member
            if not member.follows:
                return f"{node.name} is apart"
            if member.fold.applied != head:
                return f"{node.name} is at {member.fold.applied} of {head}"
            if not member.outbox.is_empty:
                return f"{node.name}: {member.outbox.waiting_bytes} bytes wait"
            if said := node.outcome.unsettled():
                return f"{node.name}: {said}"
        return ""
