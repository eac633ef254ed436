"""What must be true after every turn, whatever happens; each method looks at one promise.

Where it can, a check counts for itself: what kernels took and gave, who came, what was said; the hub's own
books are then held against that. Violation says what is wrong. This is most of what a run costs, so what can
only have changed along with a number that was counted anyway is looked at when that number changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hub.loop.close_log import PROBE_S
from tests.sim.client_invariants import ClientInvariants
from tests.sim.clocks import Clocks
from tests.sim.fakes import SimSpare
from tests.sim.kernel import ERR, fail
from tests.support import queued_bytes

if TYPE_CHECKING:
    from hub.rooms.room import Room
    from tests.sim.peers import Peer
    from tests.sim.world import World

THOROUGH_TURNS = 8
"""So often everything is looked at, changed or not."""


class Checks:
    def __init__(self, world: World) -> None:
        self._world = world
        self.clocks = Clocks(world)
        self.clients = ClientInvariants(world)
        self._thorough = True
        self._accepts = self._sends = self._bytes_in = 0
        self._done: object = None
        self._registrations: object = None
        self._counts: object = None
        self._logs: dict[int, tuple[int, int, int]] = {}
        self._closed = self._settled = 0
        self._logged = self._kept = 0
        self._ended: set[object] = set()
        self._heard = 0
        """What those heard whose connection is over."""
        self._hearing: dict[Peer, None] = {}
        self._peers = 0
        self._read_at, self._taken = -1, (0, 0)

    # Around a turn.

    def before_turn(self) -> None:
        hub = self._world.hub
        self._accepts, self._sends = hub.sockets.calls["accept"], hub.sockets.calls["send"]
        self._bytes_in = hub.counters.bytes_in
        self._settled = self._closed

    def after_turn(self) -> None:
        """All of it; the dear ones only after turns that did something."""
        self._closed = sum(self._world.hub.counters.closed.values())
        self._thorough = self._world.turns % THOROUGH_TURNS == 0
        self.clocks.after_turn(self._closed)
        if self._acted() or self._thorough:
            self._faults()
            self._registered()
            self._connections()
            self._books(self.clients.look())
            for room in self._world.hub.rooms.all():
                self._log_of(room)
            self._work()
        if self._thorough:
            self.clocks.tables()

    def _acted(self) -> bool:
        """Whether the turn made a call beside its wait, took lines, or wrote a record."""
        world, hub = self._world, self._world.hub
        account = hub.account
        done = (
            world.kernel.calls - hub.poller.calls["epoll_wait"], len(world.log), self._closed,
            account.owed, account.replayed, account.delivered, account.skipped, account.unsent,
        )  # fmt: skip
        before, self._done = self._done, done
        return done != before

    # One promise each.

    def _faults(self) -> None:
        """No exception was caught."""
        log = self._world.log
        for event, fields in log[self._logged :]:
            event != "fault" or fail(fields.get("trace"))
            if event == "closed":
                fields["id"] not in self._ended or fail(f"{fields['peer']} ended twice")
                self._ended.add(fields["id"])
                self.clocks.was_in_time(fields)
                if fields["transport"] == "read-only" and fields["reason"] == "peer_closed":
                    self._was_over(fields)
                if fields["reason"] == "idle":
                    self._was_idle(fields)
                if fields["reason"] == "silent":
                    # The log tells of a connection that held a place for long.
                    is_long = float(str(fields["age_s"])) >= PROBE_S
                    said = fields["bytes_in"], fields["lines_in"], is_long or fields.get("level") == "debug"
                    said == (0, 0, True) or fail(f"{fields['peer']} is silent, and said {said}")
                self._kept += fields.get("level") != "debug"
                if str(fields["detail"]).startswith("lag=") and fields["due_s"] is None:
                    slow = self._world.plan.slow
                    slow == "disconnect" or fail(f"{fields['peer']} is closed for its lag under {slow}")
        self._logged = len(log)
        kept = len(self._world.hub.close_log)  # A peer has an address of its own, or is one of two hundred.
        min(self._kept, 200) <= kept <= self._kept or fail(f"{self._kept} ends are told, {kept} are kept")

    def _registered(self) -> None:
        """What epoll has is what is open: clients, listeners while they are looked at, the bell."""
        world, hub = self._world, self._world.hub
        acceptor, items, fds = world.hub.acceptor, world.kernel.epoll.items, world.kernel.fds
        clients, calls = (
            {client.fd: client for client in hub.connections.by_fd.values()},
            hub.poller.calls["epoll_ctl"],
        )
        now = len(clients), len(items), len(fds), calls, acceptor.resumes_at
        before, self._registrations = self._registrations, now
        if now == before and not self._thorough:
            return
        wanted = {*clients, *world.mailbox.bells}
        listeners = set(acceptor.listeners)
        if acceptor.resumes_at == math.inf:
            wanted |= listeners
        items.keys() == wanted or fail("epoll has", set(items), "and open is", wanted)
        spare = acceptor.spare
        assert isinstance(spare, SimSpare)
        held = len(clients) + len(listeners) + len(world.mailbox.bells) + spare.held + 4
        len(fds) == held or fail(f"{len(fds)} descriptors, {held} are accounted for")

    def _connections(self) -> None:
        """Accepted = open + closed, one reason and one ending each."""
        hub, world, closed = self._world.hub, self._world, self._closed
        clients, closing = hub.connections.clients, hub.connections.closing
        accepted, there, ending = hub.counters.accepted, len(clients), len(closing)
        accepted == there + closed or fail(f"accepted {accepted}, open {there}, closed {closed}")
        ends = len(self._ended)
        ends + ending == closed or fail(f"closed {closed}, in the ledger {ends}, ending {ending}")
        now = (accepted, closed, there, ending, len(hub.connections.by_fd))
        before, self._counts = self._counts, now
        if now == before and not self._thorough:
            return
        accepted == world.kernel.accepted or fail("accept was called", world.kernel.accepted, "times")
        both = sorted((*clients.values(), *closing.values()), key=lambda client: client.fd)
        there_are = hub.connections.by_fd.values()
        both == there_are or fail("by number", [c.fd for c in there_are], "by id", [c.fd for c in both])
        addresses = sum(hub.connections.per_address.values())
        addresses == there or fail("addresses count", addresses, "clients", there)
        0 not in hub.connections.per_address.values() or fail("an address is kept of which nobody is there")

    def _was_over(self, end: dict[str, object]) -> None:
        """The end of its stream closes no viewer: it goes on receiving until its connection fails."""
        peer = next(peer for peer in self._world.peers if peer.name == end["peer"])
        has_failed = peer.is_over or peer.tcp.has_failed or peer.tcp.events() & ERR
        has_failed or fail(f"{peer.name} is closed, and can receive")

    def _was_idle(self, end: dict[str, object]) -> None:
        """Nobody ends as idle that was heard within the timeout, as its kernel saw it."""
        peer = next(peer for peer in self._world.peers if peer.name == end["peer"])
        if peer.has_negotiated or peer.websocket:  # Not all that it sends is activity.
            return
        quiet_s = end["decided_s"] - peer.tcp.heard_at  # type: ignore[operator]
        least = self._world.hub.settings.idle_timeout_s
        quiet_s >= least or fail(f"{peer.name} ended idle after {quiet_s} s")

    def _log_of(self, room: Room) -> None:
        """The log has no hole, and is no longer than the slowest and history may need."""
        chunks = room.log.chunks
        now = (len(chunks), room.log.head, chunks[0].start if chunks else room.log.head)
        if self._logs.get(room.log.number) == now and not self._thorough:
            return
        self._logs[room.log.number] = now
        at = now[2]
        for chunk in chunks:
            chunk.start == at or fail("log torn in", room.name)
            at = chunk.end
        at == room.log.head or fail("log torn in", room.name)
        size, most = room.log.head - now[2], self.clients.most_log()
        size <= most or fail(f"{room.name} keeps a log of {size} bytes, at most {most}")

    def _books(self, queued: int) -> None:
        """Promise 6: the hub's two sides, and delivered once more from what the kernels took."""
        world, account = self._world, self._world.hub.account
        left, right = account.owed + account.replayed, account.delivered + account.skipped + account.unsent
        left == right + queued or fail(f"owed and replayed {left}, accounted for {right} and {queued} queued")
        if self._thorough:
            its = queued_bytes(world.hub.connections.by_fd.values())
            its == queued or fail(f"queued are {queued}, and the hub says {its}")
        sends = world.hub.sockets.calls["send"]
        if sends != self._read_at or self._thorough:
            self._read_at, self._taken = sends, self._read_streams()
        least, most = self._taken
        said = account.delivered
        least <= said <= most or fail(f"delivered {said}, kernels took {least} to {most}")

    def _read_streams(self) -> tuple[int, int]:
        """What the kernels took, at least and at most, as the streams of all peers say."""
        world = self._world
        self._hearing.update(dict.fromkeys(world.peers[self._peers :]))
        self._peers = len(world.peers)
        least = most = 0
        for peer in list(self._hearing):
            peer.write_only and peer.tcp.taken and fail(f"{peer.name} only sends, and got {peer.tcp.taken!r}")
            low, high = peer.follower.heard(peer.tcp.taken)
            least, most = least + low, most + high
            if peer.tcp.is_closed and low == high:
                self._heard += low
                least, most = least - low, most - low
                del self._hearing[peer]
        return self._heard + least, self._heard + most

    def _work(self) -> None:
        """A turn makes no more calls than its budgets allow."""
        hub, budgets = self._world.hub, self._world.hub.budgets
        accepts, sends = hub.sockets.calls["accept"] - self._accepts, hub.sockets.calls["send"] - self._sends
        rounds, settled = budgets.rounds, self._closed - self._settled
        accepts <= rounds * (2 * budgets.accepts + 1) or fail("accepts in a turn:", accepts)
        settled <= rounds * (budgets.closes + 2 * budgets.accepts) or fail("endings in a turn:", settled)
        most = rounds * (budgets.sends + 1) + settled + accepts
        sends <= most or fail("sends in a turn:", sends, "at most", most)
        read = hub.counters.bytes_in - self._bytes_in
        once = 2 * max(budgets.read_bytes, 4096 if self._world.plan.mix != "line" else 0)
        most = budgets.turn_bytes + budgets.client_bytes + once
        read <= most or fail("bytes read in a turn:", read, "at most", most)
