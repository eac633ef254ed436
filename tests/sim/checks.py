"""What must be true after every turn, whatever happens; each method looks at one promise.

Where it can, a check counts for itself: what kernels took and gave, who came, what was said; the hub's own
books are then held against that. Violation says what is wrong.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hub.client import Phase
from hub.expiry import Deadline, Never, Poll, Sweep
from hub.stats import queued_bytes
from tests.sim.kernel import OUT, fail
from tests.sim.seams import SimSpare

if TYPE_CHECKING:
    from tests.sim.tcp import Tcp
    from tests.sim.world import World

IDLE_TURNS = 12
"""So many turns in a row may pass in which no time passes and nothing changes; with budgets of one, more."""


class Checks:
    """Looks at one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._still = 0
        self._expiries = world.hub.budgets.expiries
        self._overdue: dict[int, int] = {}
        self._calls: dict[str, int] = {}
        self._bytes_in = 0
        self.waited = False
        """Time passed in the last wait."""
        self._state: object = None
        self._done: object = None
        self._settled = 0
        self._logged = 0
        self._ended: set[object] = set()
        timers = {name: getattr(world.hub.timers, name) for name in world.hub.timers.__slots__}
        self._timers = {name: timer for name, timer in timers.items() if not isinstance(timer, Never)}

    # Around a turn.

    def before_turn(self) -> None:
        """What is counted anew in each turn."""
        hub = self._world.hub
        self._calls = hub.sockets.calls.copy()
        self._bytes_in = hub.counters.bytes_in
        self._settled = sum(hub.counters.closed.values())

    def after_turn(self) -> None:
        """All of it; the dear ones only after turns that did something."""
        self._progress()
        self._deadlines()
        if self._acted():
            self._faults()
            self._registered()
            self._write_interest()
            self._connections()
            self._nobody_is_forgotten()
            self._rooms()
            self._limits()
            self._books()
            self._work()
        if self._world.turns % 8 == 0:
            self._heaps()

    def _acted(self) -> bool:
        """Whether the turn made a call beside its wait, took lines, or wrote a record."""
        world, hub = self._world, self._world.hub
        account = hub.account
        books = (account.owed, account.replayed, account.delivered, account.skipped, account.unsent)
        done = (sum(hub.sockets.calls.values()), hub.poller.calls["epoll_ctl"], len(world.log), books)
        before, self._done = self._done, done
        return done != before

    # One promise each.

    def _faults(self) -> None:
        """No exception was caught."""
        log = self._world.log
        for event, fields in log[self._logged :]:
            event != "fault" or fail(fields.get("trace"))
            if event == "end":
                fields["id"] not in self._ended or fail(f"{fields['peer']} ended twice")
                self._ended.add(fields["id"])
                if fields["reason"] == "idle":
                    self._was_idle(fields)
        self._logged = len(log)

    def _registered(self) -> None:
        """What epoll has is what is open: clients, listeners while the door is open, the bell."""
        world, hub = self._world, self._world.hub
        door = world.loop._door
        wanted = set(hub.by_fd) | set(world.mailbox.bells)
        listeners = set(door._listeners)
        if door._opens_at is None:
            wanted |= listeners
        found = set(world.kernel.epoll.items)
        found == wanted or fail("epoll has", found, "and open is", wanted)
        spare = door._spare
        assert isinstance(spare, SimSpare)
        held = len(hub.by_fd) + len(listeners) + len(world.mailbox.bells) + spare.held + 4
        len(world.kernel.fds) == held or fail(
            f"{len(world.kernel.fds)} descriptors, {held} are accounted for"
        )

    def _write_interest(self) -> None:
        """OUT is wanted exactly of those whose kernel refused bytes, and their last write was."""
        items = self._world.kernel.epoll.items
        for fd, client in self._world.hub.by_fd.items():
            armed = bool(items[fd].mask & OUT)
            refused = client.sock.refused  # type: ignore[attr-defined]
            armed == client.blocked or fail(f"{client.peer} is armed: {armed}, blocked: {client.blocked}")
            (not armed or refused) or fail(f"{client.peer} is armed, and its kernel took all")
            writes = client.phase in (Phase.OPEN, Phase.FLUSHING) and not (client.deaf or client.gone)
            if refused and writes and not armed:
                False or fail(f"{client.peer} was refused bytes, and nobody waits for room")

    def _connections(self) -> None:
        """Accepted = open + closed, one reason and one ending each."""
        hub, world = self._world.hub, self._world
        closed = sum(hub.counters.closed.values())
        accepted, there = hub.counters.accepted, len(hub.clients)
        accepted == there + closed or fail(f"accepted {accepted}, open {there}, closed {closed}")
        hub.counters.accepted == world.kernel.accepted or fail(
            "accept was called", world.kernel.accepted, "times"
        )
        ends = len(self._ended)
        ends + len(hub.ended) == closed or fail(
            f"closed {closed}, in the ledger {ends}, ending {len(hub.ended)}"
        )
        both = {client.fd: client for group in (hub.clients, hub.ended) for client in group.values()}
        both == hub.by_fd or fail("by number", list(hub.by_fd), "by id", list(both))
        for client in hub.clients.values():
            (client.reason is None or client.id in hub.marks.ended) or fail(
                f"{client.peer} has a reason, and is left"
            )
        addresses = sum(hub.per_address.values())
        addresses == len(hub.clients) or fail("addresses count", addresses, "clients", len(hub.clients))

    def _was_idle(self, end: dict[str, object]) -> None:
        """Nobody ends as idle that was heard within the timeout, as its kernel saw it."""
        peer = next(peer for peer in self._world.peers if peer.name == end["peer"])
        if peer.has_negotiated or peer.websocket:  # Not all that it sends is activity.
            return
        quiet_s = end["decided_s"] - peer.tcp.heard_at  # type: ignore[operator]
        least = self._world.hub.settings.idle_timeout_s
        quiet_s >= least or fail(f"{peer.name} ended idle after {quiet_s} s")

    def _nobody_is_forgotten(self) -> None:
        """Who can be read or written is marked, or epoll will say so: no event gets lost."""
        hub, epoll = self._world.hub, self._world.kernel.epoll
        for client in hub.clients.values():
            tcp: Tcp = client.sock  # type: ignore[assignment]
            if (tcp.input or tcp.shut_in) and client.reading and client.id not in hub.marks.readable:
                epoll.items[client.fd] in epoll.ready or fail(f"{client.peer} has input that nobody reads")
            if client.blocked and tcp.is_writeable and client.id not in hub.marks.flush:
                told = epoll.items[client.fd] in epoll.ready or client in self._world.loop._sender._private
                told or fail(f"{client.peer} has room that nobody fills")

    def _rooms(self) -> None:
        """Who is in a room is open, and every list of a room is a part of the one before."""
        hub = self._world.hub
        for room in hub.rooms.all():
            for name in ("hearers", "held"):
                getattr(room, name).keys() <= room.members.keys() or fail(name, "of", room.name)
            for name in ("slow", "behind", "stalled", "pressed"):
                getattr(room, name).keys() <= room.hearers.keys() or fail(name, "of", room.name)
            room.stalled.keys() <= room.behind.keys() or fail("stalled of", room.name)
            room.pressed.keys() <= room.behind.keys() or fail("pressed of", room.name)
            room.held.keys() == {c.id for c in room.members.values() if c.held} or fail("held in", room.name)
            room.members.keys() <= hub.clients.keys() or fail("the dead in", room.name)
            all(client.room is room for client in room.members.values()) or fail("members of", room.name)
            sum(len(chunk.lf) for chunk in room.chunks) <= room.end or fail("log of", room.name)
            starts = [chunk.start for chunk in room.chunks] + [room.end]
            all(chunk.end == stop for chunk, stop in zip(room.chunks, starts[1:], strict=True)) or fail(
                "log torn"
            )
            lowest = starts[0]
            all(c.offset >= lowest for c in room.hearers.values()) or fail("somebody needs what was trimmed")

    def _limits(self) -> None:
        """Unfinished input, private output and lag are bounded."""
        hub = self._world.hub
        settings, budgets, share = hub.settings, hub.budgets, hub.intake.room_bytes
        line = max(settings.max_line_bytes, 1) + 200
        for client in hub.by_fd.values():
            size = client.lines.unfinished_bytes
            size <= settings.max_line_bytes + 1 or fail(f"{client.peer} has {size} bytes of unfinished input")
            private = sum(len(piece.data) for piece in client.private) if client.private else 0
            private == client.private_bytes or fail(
                f"{client.peer} has {private}, and counts {client.private_bytes}"
            )
            client.lag_bytes >= client.own_bytes >= 0 or fail(f"{client.peer} lags {client.lag_bytes}")
            lag = client.lag_bytes - max(0, client.entered - client.offset)  # History is bounded by itself.
            most = hub.limits.lag_bytes + 4 * (share + line) + 2000
            lag <= most or fail(f"{client.peer} lags {lag}, at most {most}")
            most = hub.intake.private_bytes + hub.limits.lag_bytes + budgets.client_bytes + 20_000
            private <= most or fail(f"{client.peer} has {private} of its own, at most {most}")
            len(client.rest) <= 2 * line + 20_000 or fail(f"{client.peer} has a rest of {len(client.rest)}")

    def _books(self) -> None:
        """Promise 6: the hub's two sides, and delivered once more from what the kernels took."""
        hub, account = self._world.hub, self._world.hub.account
        queued = queued_bytes(hub.by_fd.values())
        left, right = account.owed + account.replayed, account.delivered + account.skipped + account.unsent
        left == right + queued or fail(
            f"owed and replayed {left}, accounted for {right + queued}: {account}, {queued}"
        )
        least = most = 0
        for peer in self._world.peers:
            hearer = peer.hearer
            hearer.read(peer.tcp.taken)
            low, high = hearer.partial()
            least, most = least + hearer.delivered + low, most + hearer.delivered + high
        least <= account.delivered <= most or fail(
            f"delivered {account.delivered}, kernels took {least} to {most}"
        )

    def _progress(self) -> None:
        """Turns that do not wait move something."""
        world, hub = self._world, self._world.hub
        counters, marks = hub.counters, hub.marks
        state = (
            world.kernel.useful, counters.lines_in, counters.accepted,
            sum(counters.closed.values()), hub.account.delivered, hub.account.skipped, hub.account.unsent,
            sum(client.backlog_at + client.position for client in hub.clients.values()), len(world.log),
            len(marks.readable), len(marks.flush), len(marks.rooms), len(world._steps), len(hub.by_fd),
        )  # fmt: skip
        self._still = self._still + 1 if state == self._state and not self.waited else 0
        self._state = state
        most = IDLE_TURNS + 4 * len(hub.by_fd)
        self._still <= most or fail(f"{self._still} turns without a wait and without progress")

    def before_wait(self, timeout_s: float) -> None:
        """No wait is longer than to the next deadline, worked out from the tables and not from the heaps."""
        self.waited = False
        if timeout_s == 0:
            return
        now = self._world.kernel.now
        timeout_s > 0 or fail("a wait of", timeout_s)
        for name, timer in self._timers.items():
            due = _due(timer)
            now + timeout_s <= max(now, due) + 1e-3 or fail(
                f"a wait of {timeout_s} s, and {name} is due in {due - now}"
            )

    def _deadlines(self) -> None:
        """Nothing that is due stays undone for more than a few turns."""
        hub, now = self._world.hub, self._world.kernel.now
        most = 4 + (2 * len(hub.by_fd)) // self._expiries
        for name, timer in self._timers.items():
            overdue = timer.timeout(now) == 0.0
            count = self._overdue[id(timer)] = self._overdue.get(id(timer), 0) + 1 if overdue else 0
            count <= most or fail(f"{name} is due for {count} turns")

    def _heaps(self) -> None:
        """No heap is later than its table; nothing is kept about who is not there."""
        hub = self._world.hub
        for name, timer in self._timers.items():
            if isinstance(timer, Deadline):
                len(timer._heap) <= 2 * len(timer._last_s) + 64 or fail(
                    f"{name} keeps {len(timer._heap)} entries"
                )
                (not timer._last_s or timer._heap[0][0] <= _due(timer)) or fail(f"{name} wakes up too late")
                known = hub.clients.keys() | hub.ended.keys()
                timer._last_s.keys() <= known or fail(f"{name} keeps the dead", timer._last_s.keys() - known)

    def _work(self) -> None:
        """A turn makes no more calls than its budgets allow."""
        hub, before, budgets = self._world.hub, self._calls, self._world.hub.budgets
        calls = {name: count - before[name] for name, count in hub.sockets.calls.items()}
        doors = len(self._world.sockets.listeners)
        calls["accept"] <= doors * (2 * budgets.accepts + 1) or fail("accepts in a turn:", calls["accept"])
        settled = sum(hub.counters.closed.values()) - self._settled
        settled <= budgets.endings + doors * budgets.accepts * 2 or fail("endings in a turn:", settled)
        most = budgets.sends + budgets.sends_between_clock_readings + settled + calls["accept"]
        calls["send"] <= most or fail("sends in a turn:", calls["send"], "at most", most)
        read = hub.counters.bytes_in - self._bytes_in
        once = 2 * max(budgets.read_bytes, 4096 if self._world.plan.mix != "line" else 0)
        most = budgets.turn_bytes + budgets.client_bytes + once
        read <= most or fail("bytes read in a turn:", read, "at most", most)


def _due(timer: object) -> float:
    """When this has to be looked at, from its table."""
    if isinstance(timer, Deadline):
        return min(timer._last_s.values(), default=math.inf) + timer._timeout_s
    if isinstance(timer, Sweep):
        return timer._next_sweep_s if timer._last_s else math.inf
    if isinstance(timer, Poll):
        return timer._last_event_s + timer._timeout_s if timer._alive else math.inf
    return math.inf
