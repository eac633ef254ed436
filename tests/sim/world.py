"""A run: the hub's own loop on a simulated kernel, peers that follow a plan, and a look after every turn.

While the hub waits, the world goes on: the steps up to the next `turn` happen, then whatever is ready is
reported. Where nothing is, time passes, and more steps happen. A step under `meanwhile` happens in the middle
of a turn, just before the hub's n-th system call from then on. When the plan is over, all peers read, all
links move and time passes until everybody has what it is owed; then the hub is asked to stop.
"""

import math
from collections import deque
from dataclasses import replace
from functools import partial

from hub.control.mailbox import Stop, WantClient, WantRows
from hub.loop.assembly import intake_of, limits_of
from hub.loop.event_loop import EventLoop
from hub.rooms.accounting import Account
from hub.rooms.log import Log
from hub.session.commons import Commons
from hub.session.ready_sets import ReadySets
from tests.sim.checks import Checks
from tests.sim.client_invariants import look_before_closing
from tests.sim.fakes import SimMailbox, SimPoller, SimSockets, WatchedCloser, WatchedHub
from tests.sim.journal import Journal, JournaledRoom
from tests.sim.kernel import Kernel, Violation
from tests.sim.outcome import Outcome
from tests.sim.peers import Peer
from tests.sim.plan import Plan, Step

SETTLING_TURNS = 6000
"""So many turns after the plan is over everybody has what it is owed."""


_SAID = ("command", "control", "telnet", "blank", "spoil", "unfinished")


class World:
    """Runs one plan. `run` returns the trace hash, or raises Violation."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kernel = self.make_kernel()
        self.sockets = SimSockets(self.kernel)
        self.mailbox = SimMailbox(self.kernel)
        self.peers: list[Peer] = []
        self.living: dict[Peer, None] = {}
        self.log: list[tuple[str, dict[str, object]]] = []
        self.jumps: list[tuple[float, float]] = []
        """When time went on by itself, as after a suspend, and by how many seconds."""
        self.turns = 0
        self.steps: deque[Step] = deque(plan.steps)
        self._meanwhile: list[tuple[int, Step]] = []
        self.quiet_s = 0.0
        self.journal = self.make_journal(marked=plan.mode == "chat" and plan.settings["notices"])
        self.rows_asked = 0
        settings = plan.of_hub()
        self.hub = WatchedHub(
            settings, limits_of(settings), replace(intake_of(settings), outbox_bytes=plan.outbox_bytes),
            self.sockets, self.make_poller(), self.kernel.clock,
            lambda event, like=None, **fields: self.log.append((event, fields)), lambda summary: None,
            wall_clock=lambda: 0.0, steady_clock=self.kernel.clock, budgets=plan.of_turns(),
            make_room=self.make_room, make_commons=self.make_commons,
        )  # fmt: skip
        self.loop = EventLoop(self.hub, self.mailbox)
        self.hub.closer = closer = WatchedCloser(self.hub, self.kernel)
        closer.before_close = partial(look_before_closing, self)
        self.enter()
        self.checks, self.outcome = Checks(self), Outcome(self)
        self.kernel.on_wait = self._wait

    # What a hub is made of, and what a hub of a cluster has otherwise.

    def make_kernel(self) -> Kernel:
        return Kernel(self.plan.descriptors)

    def make_journal(self, *, marked: bool) -> Journal:
        return Journal(marked=marked)

    def make_poller(self) -> SimPoller:
        return SimPoller(self.plan.trigger, self.kernel)

    def make_commons(self, ready: ReadySets) -> Commons:
        return Commons(ready)

    def make_room(self, name: str, key: str, account: Account, log: Log) -> JournaledRoom:
        return JournaledRoom(name, key, account, log, self.journal)

    def enter(self) -> None:
        """The hub begins to serve."""
        self.loop.listen()

    def most_heard(self) -> int:
        """So much may one turn bring into one room."""
        return self.hub.intake.room_bytes

    def beside(self) -> tuple[object, ...]:
        """What else shows that a turn did something."""
        return ()

    def number_of_next(self) -> int:
        """The number of the next peer."""
        return len(self.peers)

    # The run.

    def run(self) -> str:
        while self.steps and not self.loop.is_drained:
            self.turn()
        self.end()
        return self.kernel.trace

    def end(self) -> None:
        """Everybody gets what it is owed, then the hub is asked to stop."""
        self.settle()
        self.outcome.when_settled()
        self.mailbox.post(Stop())
        for _ in range(self._settling_turns()):
            if self.loop.is_drained:
                break
            self.turn()
        self.outcome.when_drained()

    def turn(self) -> None:
        self.turns += 1
        self.kernel.calls_before = self.kernel.calls
        self.checks.before_turn()
        self.kernel.may_close = False
        self.loop.turn()
        self.checks.after_turn()

    def settle(self) -> None:
        """From here on nothing is scarce, and time is short: what is left over has to go."""
        self.relieve()
        turns = self._settling_turns()
        for _ in range(turns):
            if self.outcome.is_settled():
                return
            self.turn()
        raise Violation(f"after {turns} turns {self.outcome.unsettled()}")

    def relieve(self) -> None:
        """From here on all peers read, and all links move."""
        self._meanwhile.clear()
        self.kernel.accept_errors.clear()
        self.kernel.most_descriptors = 1 << 20
        for peer in self.peers:
            peer.greedy = True
            peer.push()
            peer.tcp.widen()

    def _settling_turns(self) -> int:
        """Enough turns; a hub that may discard four bytes in one needs the more the more it has not read."""
        unread = sum(peer.unread_bytes for peer in self.peers)
        return SETTLING_TURNS + unread // self.plan.of_turns().discard_bytes

    # Time.

    def _wait(self, timeout_s: float | None) -> None:
        kernel = self.kernel
        timeout_s = math.inf if timeout_s is None else timeout_s
        self.checks.clocks.before_wait(timeout_s)
        deadline = kernel.now + math.ceil(timeout_s * 1000) / 1000 if timeout_s < math.inf else math.inf
        self._go_on()
        while timeout_s > 0 and not kernel.epoll.has_events():
            if not self.quiet_s and self.steps:
                self._go_on()
                continue
            passing = max(0.0, min(self.quiet_s or math.inf, deadline - kernel.now))
            assert passing < math.inf, "the hub waits for ever"
            kernel.now += passing
            self.checks.clocks.waited |= passing > 0
            self.quiet_s = max(0.0, self.quiet_s - passing)
            self._time_passed()
            if kernel.now >= deadline:
                return

    def _time_passed(self) -> None:
        for peer in self.peers:
            peer.tcp.time_out()

    def _go_on(self) -> None:
        """The steps up to the next turn, unless it is quiet."""
        while self.steps and not self.quiet_s:
            step = self.steps.popleft()
            if step[0] == "turn":
                break
            self.do(step)
        self.live()

    def live(self) -> None:
        """What the peers do by themselves."""
        for peer in list(self.living):
            if peer.is_over:
                del self.living[peer]
            elif peer.greedy:
                peer.live()

    def _during_a_call(self) -> None:
        due = [step for calls, step in self._meanwhile if calls <= self.kernel.calls]
        self._meanwhile = [entry for entry in self._meanwhile if entry[0] > self.kernel.calls]
        if not self._meanwhile:
            self.kernel.on_call = None
        for step in due:
            self.do(step)

    # Deeds.

    def do(self, step: Step) -> None:
        self.kernel.note(*map(str, step))
        name, *numbers = step
        if deed := getattr(self, f"_do_{name}", None):
            deed(*numbers)
        elif self.peers:
            self.peer_does(self.peers[-1 - numbers[0] % len(self.peers)], name, numbers[1:])

    def _do_meanwhile(self, calls: int, step: Step) -> None:
        self._meanwhile.append((self.kernel.calls + calls, step))
        self.kernel.on_call = self._during_a_call

    def _do_connect(self, which: int, greedy: int, out: int, into: int, its: int, host: int) -> None:
        listener = self.sockets.listeners[which]
        if self.hub.status.draining:
            return
        peer = Peer(self.kernel, listener, self.number_of_next(), sizes=(out, into, its), host=host)
        peer.follow(self.journal, own_too=self.hub.settings.hears_itself, echo=self.plan.mode == "echo")
        if which == 2:
            peer.follower.echoes = [] if self.plan.mode == "echo" else None
        peer.follower.strips_telnet = self.plan.settings["telnet"]
        peer.greedy = bool(greedy)
        peer.spotless = which != 2
        self.peers.append(peer)
        self.living[peer] = None
        peer.push()

    def _do_wait(self, seconds: float) -> None:
        self.quiet_s = seconds

    def _do_jump(self, seconds: float) -> None:
        self.jumps.append((self.kernel.now, seconds))
        self.kernel.now += seconds
        self._time_passed()

    def _do_ask(self, which: int) -> None:
        if which % 2:
            self.rows_asked += 1
            self.mailbox.post(WantRows(self._got_rows))
        else:
            self.mailbox.post(WantClient(1, lambda row: None))

    def _got_rows(self, rows: object) -> None:
        self.rows_asked -= 1

    def _do_errno(self, number: int) -> None:
        self.kernel.accept_errors.append(number)

    def _do_limit(self, count: int) -> None:
        self.kernel.most_descriptors = count

    def _do_stop(self) -> None:
        self.mailbox.post(Stop())

    def peer_does(self, peer: Peer, name: str, numbers: list[int]) -> None:
        if not self._makes_sense(name):
            return
        if name == "say":
            *numbers, keep = numbers
            peer.say(*numbers)
            peer.push(keep)
        elif name == "command":
            peer.command(numbers[0], history=self.plan.settings["notices"])
        elif name == "control":
            peer.control(numbers[0] % (3 if self.plan.mode == "echo" else 5))
        elif name in ("stall", "go"):
            peer.stall(name == "stall")
        elif name == "half":
            peer.half_close()
        elif name == "greedy":
            peer.greedy = bool(numbers[0])
        elif name == "crlf":
            peer.crlf = True
        else:
            getattr(peer, name)(*numbers)
        if name in _SAID:
            peer.push()

    def _makes_sense(self, name: str) -> bool:
        """Whether what is said can be told apart in what is heard."""
        if name == "command":
            return self.plan.mode == "chat"
        if name == "telnet":
            return bool(self.plan.settings["telnet"])
        return name not in ("blank", "spoil", "unfinished") or (
            self.hub.settings.hears_itself and self.plan.mode != "echo"
        )
