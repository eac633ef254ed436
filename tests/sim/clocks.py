"""What must be true of time: nobody waits too long, nothing due stays undone, no turn goes round in vain."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hub.loop.limit_timers import BackdatedLimit, Limit
from hub.loop.timers import Deadline, Expiry, Poll, Sweep
from hub.session.client import Client
from hub.session.timed import Timed, after
from tests.sim.kernel import fail

if TYPE_CHECKING:
    from tests.sim.world import World

LIMITS = ("closing", "progress", "opening", "handshake", "ping", "rate")
"""All timers of the hub but the idle one."""
IDLE_TURNS = 12
"""So many turns in a row may pass in which no time passes and nothing changes; with budgets of one, more.
At most 6 in 250 runs."""
LATE_S = 0.005
"""So late may a clock's decision be, beside what its strategy adds and time that jumped.
In 250 runs it was 0.6 ms at most."""


class Clocks:
    def __init__(self, world: World) -> None:
        self._world = world
        timers = world.hub.timers
        self._idle = timers.idle
        self._limits: list[tuple[str, Limit | BackdatedLimit]] = [
            (name, getattr(timers, name)) for name in LIMITS
        ]
        len(self._limits) == len(timers.by_id) or fail("a clock of an unknown kind")
        self._expiries = world.hub.budgets.expiries
        self._overdue: dict[str, int] = {}
        self._crowd = 0
        self._still = 0
        self._state: object = None
        self._hurried = False
        self._spins = 0
        self.waited = False
        """Time passed in the last wait."""

    def _running(self) -> list[tuple[str, Limit | BackdatedLimit]]:
        """Those that somebody depends on."""
        return [pair for pair in self._limits if pair[1].last_s]

    def before_wait(self, timeout_s: float) -> None:
        """No wait is longer than to the next deadline, worked out from the tables and the clients."""
        self.waited = False
        self._hurried = timeout_s == 0
        if self._hurried:
            return
        timeout_s > 0 or fail("a wait of", timeout_s)
        now, loop = self._world.kernel.now, self._world.loop
        until = now + timeout_s - 1e-3
        if until <= now:
            return
        dues = {name: due_s(timer) for name, timer in self._running()}
        dues |= {
            "the idle timer": self._idle_due_s(now),
            "the acceptor": loop.hub.acceptor.resumes_at,
            "the drain": loop.drained_by,
            "a subscriber": self._world.checks.clients.pressure.next_deadline(),
        }
        for name, due in dues.items():
            until <= due or fail(f"a wait of {timeout_s} s, and {name} is due in {due - now}")

    def after_turn(self, closed: int) -> None:
        self._nothing_is_overdue()
        self._progress(closed)

    def _nothing_is_overdue(self) -> None:
        """Nothing that is due stays undone for more than a few turns."""
        now, before = self._world.kernel.now, self._overdue
        late = [name for name, timer in (*self._running(), ("idle", self._idle)) if timer.timeout(now) == 0.0]
        if not late:
            before.clear()
            self._crowd = 0
            return
        self._overdue = {name: before.get(name, 0) + 1 for name in late}
        self._crowd = max(
            self._crowd, len(self._world.hub.connections.by_fd)
        )  # A client that was closed meanwhile is no more.
        most = 4 + (2 * self._crowd) // self._expiries
        for name, count in self._overdue.items():
            count <= most or fail(f"{name} is due for {count} turns")

    def _progress(self, closed: int) -> None:
        """Turns that do not wait move something."""
        world, hub = self._world, self._world.hub
        if self.waited:
            self._still, self._spins, self._state = 0, 0, None
            return
        counters, ready, account = hub.counters, hub.ready, hub.account
        said, waiting, writer = 0, 0, hub.writer
        for client in hub.connections.clients.values():
            said += client.inbox.next + client.outbox.next_line
            waiting += len(client.inbox.lines or ())  # An empty line leaves no other trace when it is taken.
        state = (
            world.kernel.useful, counters.lines_in, counters.accepted, closed,
            account.delivered, account.skipped, account.unsent, said, waiting, len(world.log),
            len(ready.readable), len(ready.writable), len(ready.rooms), len(world.steps),
            len(hub.connections.by_fd), len(writer.queue), [pass_.at for pass_ in writer.passes.values()],
            len(hub.publisher.rows), world.rows_asked,
            [next(iter(timer.last_s.items())) for _, timer in self._running()],
            [timer.heap[0] for _, timer in self._limits if isinstance(timer, BackdatedLimit) and timer.heap],
            where(self._idle), world.beside(),
        )  # fmt: skip
        same = state == self._state
        self._still = self._still + 1 if same else 0
        self._spins = self._spins + 1 if same and self._hurried else 0
        self._state = state
        self._spins < 2 or fail("two waits of no time, one after the other, and nothing was done")
        most = IDLE_TURNS + 4 * len(hub.connections.by_fd)
        self._still <= most or fail(f"{self._still} turns without a wait and without progress")

    def was_in_time(self, end: dict[str, Any]) -> None:
        """A clock ended somebody when it was due: never before, and not later than it may."""
        due, decided = end["due_s"], end["decided_s"]
        if due is None:
            return
        settings = self._world.hub.settings
        late, most = decided - due, LATE_S
        late >= 0 or fail(f"{end['peer']} ended {-late} s early as {end['reason']}")
        if settings.idle_strategy == "sweep" and end["reason"] in ("idle", "slow_consumer"):
            most += settings.sweep_interval_s
        most += sum(s for at, s in self._world.jumps if due < at + s and at <= decided)
        late <= most or fail(f"{end['peer']} ended {late} s late as {end['reason']}, at most {most}")

    def tables(self) -> None:
        """No heap is later than its table, lists are in order, and nothing is kept about who is not there."""
        hub = self._world.hub
        known = hub.connections.clients.keys() | hub.connections.closing.keys()
        for name, timer in self._limits:
            last = timer.last_s
            last.keys() <= known or fail(f"{name} keeps the dead", last.keys() - known)
            if isinstance(timer, BackdatedLimit):
                heap = timer.heap
                len(heap) <= 2 * len(last) + 64 or fail(f"{name} keeps {len(heap)} entries of {len(last)}")
                (not last or heap[0][0] <= due_s(timer)) or fail(f"{name} wakes up too late")
            else:
                list(last.values()) == sorted(last.values()) or fail(f"{name} is out of order")
        listed = list(clients_of(self._idle))
        ids, must = [timed.id for timed in listed], {client.id for client in self._stamped()}
        must <= set(ids) <= known or fail("the idle timer has", ids, "and not", must)
        len(ids) == len(set(ids)) or fail("the idle timer has somebody twice", ids)
        if isinstance(self._idle, Deadline):
            times = [timed.active_at for timed in listed]
            times == sorted(times) or fail("the idle timer is out of order", times)

    def _stamped(self) -> list[Client]:
        """The clients whose idle time runs."""
        hub = self._world.hub
        if not hub.settings.idle_timeout_s:
            return []
        return [
            client
            for client in hub.connections.clients.values()
            if client.phase == "open" and client.close.reason is None and client not in hub.ready.received
        ]

    def _idle_due_s(self, now: float) -> float:
        """When the idle timer has to be looked at, from what the clients say."""
        settings, active = self._world.hub.settings, [client.active_at for client in self._stamped()]
        if isinstance(self._idle, Sweep):
            return self._idle.next_sweep_s if active else math.inf
        if isinstance(self._idle, Poll):
            return self._idle.last_event_s + self._idle.timeout_s if active else math.inf
        dues = [at + settings.idle_timeout_s for at in active]
        warn_after_s = settings.idle_timeout_s - settings.idle_warning_s
        if settings.mode == "chat" and settings.notices and 0 < warn_after_s < settings.idle_timeout_s:
            dues += [at + warn_after_s for at in active if at + warn_after_s > now]  # The others were warned.
        return min(dues, default=math.inf)


def clients_of(idle: Expiry) -> Iterator[Timed]:
    """Those that an idle timer has, in its order."""
    timed = idle.clients.first
    while timed is not idle.clients.end:
        yield timed
        timed = after(timed)


def where(idle: Expiry) -> int:
    """How far it has come, which may leave no trace elsewhere: a warning that nobody is to hear."""
    return (idle.clients.first if isinstance(idle, Deadline) else idle.next).id


def due_s(timer: Limit | BackdatedLimit) -> float:
    """When this has to be looked at, from its table."""
    return min(timer.last_s.values(), default=math.inf) + timer.timeout_s
