"""What must be true of each client after a turn: one walk over all of them, as it is done so often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.loop.admission import MESSAGE_BYTES
from hub.rooms.room import Room
from hub.session.client import Client
from tests.sim.kernel import OUT, fail
from tests.sim.pressure import Pressure
from tests.sim.tcp import tcp_at

if TYPE_CHECKING:
    from tests.sim.world import World

_WRITTEN = ("open", "flushing")


class ClientInvariants:
    def __init__(self, world: World) -> None:
        self._world = world
        self.pressure = Pressure(world)

    def look(self) -> int:
        """What all of them together are still owed, in canonical bytes."""
        hub = self._world.hub
        queued = members = 0
        most_lag, most_items, most_partial, most_input = self._bounds()
        for client in hub.connections.by_fd.values():
            self._interest(client)
            room, outbox, name = client.room, client.outbox, client.peer
            lag, partial = outbox.lag_bytes, outbox.partial
            owed = self._items(client) if outbox.items or outbox.item_bytes else 0
            queued += lag - outbox.own_bytes + owed + (partial.owed if partial else 0)
            lag >= outbox.own_bytes >= 0 or fail(f"{name} lags {lag}")
            size = outbox.item_bytes
            size <= most_items or fail(f"{name} has {size} of items, at most {most_items}")
            lag <= most_lag or fail(f"{name} lags {lag}, at most {most_lag}")
            size = len(partial.wire) if partial else 0
            size <= most_partial or fail(f"{name} has a partial line of {size}")
            size = client.inbox.transport.unfinished_bytes
            most = most_input if client.transport != "websocket" else max(most_input, MESSAGE_BYTES)
            size <= most or fail(f"{name} has {size} bytes of unfinished input")
            if room is not None:
                members += 1
                self._membership(client, room)
        lingering = sum(client.phase == "lingering" for client in hub.connections.closing.values())
        lingering <= hub.budgets.lingering or fail(f"{lingering} linger")
        self._open_ones()
        self._rooms(members)
        self.pressure.look()
        return queued

    def _bounds(self) -> tuple[int, int, int, int]:
        """At most so much of lag, items, one begun line, unfinished input."""
        hub = self._world.hub
        line = max(hub.settings.max_line_bytes, 1) + 200
        lag, items = hub.limits.lag_bytes, hub.intake.outbox_bytes + hub.budgets.client_bytes + 20_000
        more = 4 * (hub.intake.room_bytes + line) + 2000
        return lag + more, lag + items, 2 * line + 20_000, hub.settings.max_line_bytes + 1

    def most_log(self) -> int:
        """At most so much of what was said is kept: what the slowest may still be owed, and history."""
        hub, most_lag = self._world.hub, self._bounds()[0]
        settings = hub.settings
        lines = settings.history if settings.mode == "chat" else 0
        history = min(hub.limits.history_bytes, lines * (settings.max_line_bytes + 200))
        return most_lag + history + 2 * self._world.most_heard()  # A chunk is kept whole, on either side.

    def _interest(self, client: Client) -> None:
        """OUT is wanted exactly of those whose kernel refused bytes, and their last write was."""
        kernel = self._world.kernel
        armed, tcp = kernel.epoll.items[client.fd].mask & OUT, tcp_at(kernel, client.fd)
        if armed:
            client.outbox.blocked or fail(f"{client.peer} is armed, and not blocked")
            tcp.refused or fail(f"{client.peer} is armed, and its kernel took all")
            return
        client.outbox.blocked and fail(f"{client.peer} is blocked, and not armed")
        is_written = client.phase in _WRITTEN and not (client.outbox.closed or client.close.peer_error)
        if is_written and tcp.refused:
            fail(f"{client.peer} was refused bytes, and nobody waits for room")

    def _items(self, client: Client) -> int:
        """How many bytes of its items it is owed; as many are there as are counted."""
        size = owed = 0
        for item in client.outbox.items:
            size += len(item.data)
            owed += len(item.data) if item.owed else 0
        counted = client.outbox.item_bytes
        size == counted or fail(f"{client.peer} has {size}, and counts {counted}")
        return owed

    def _membership(self, client: Client, room: Room) -> None:
        """Its room knows it, and still has what it is owed."""
        outbox = client.outbox
        client.id in self._world.hub.connections.clients or fail("the dead in", room.name)
        known = room.subscribers.get(client.id) or room.unsubscribed.get(client.id)
        known is outbox or fail(f"{client.peer} is no member of {room.name}")
        if client.id in room.subscribers:
            outbox.log is room.log or fail(f"{client.peer} hears another room than {room.name}")
            lowest = room.log.chunks[0].start if room.log.chunks else room.log.head
            outbox.offset >= lowest or fail("somebody needs what was trimmed")
        else:
            outbox.closed or fail(f"{client.peer} hears nothing of {room.name}")

    def _open_ones(self) -> None:
        """A client that can be read or written is marked, or epoll will say so: no event gets lost."""
        hub, epoll = self._world.hub, self._world.kernel.epoll
        readable, flush, items, ready = hub.ready.readable, hub.ready.writable, epoll.items, epoll.ready
        for id, client in hub.connections.clients.items():
            is_left = client.close.reason is not None and id not in hub.ready.closing
            is_left and fail(f"{client.peer} has a reason, and is left")
            tcp = tcp_at(self._world.kernel, client.fd)
            if (tcp.input or tcp.shut_in) and client not in readable and client.is_reading:
                items[client.fd] in ready or fail(f"{client.peer} has input that nobody reads")
            if client.outbox.blocked and tcp.is_writeable and client not in flush:
                told = items[client.fd] in ready or client in hub.writer.queue
                told or fail(f"{client.peer} has room that nobody fills")

    def _rooms(self, members: int) -> None:
        """Every table of a room is a part of the one before; nobody is in one that is not counted above."""
        rooms = self._world.hub.rooms
        for room in rooms.all():
            room.size or room is rooms.lobby or fail("nobody is in", room.name)
            others, subscribers, trailing = room.unsubscribed.keys(), room.subscribers.keys(), room.trailing
            members -= room.size
            subscribers.isdisjoint(others) or fail("subscribers of", room.name)
            not trailing or trailing.keys() <= subscribers or fail("trailing of", room.name)
        members == 0 or fail(f"rooms have {-members} too many members")


def look_before_closing(world: World, client: Client, now: float) -> None:
    """Of each client whose descriptor is about to be closed."""
    # A client that is given up while it takes nothing has a timer of its own.
    if client.phase != "closed" and client.outbox.is_empty:
        _was_given_time(world, client)


def _was_given_time(world: World, client: Client) -> None:
    """The peer's end came; or it was waited for; or the drain is over, or too many linger already."""
    tcp, hub, loop = tcp_at(world.kernel, client.fd), world.hub, world.loop
    now = world.kernel.now
    if tcp.shut_in or tcp.has_failed or now >= loop.drained_by:
        return
    lingering = sum(other.phase == "lingering" for other in hub.connections.closing.values())
    if client.phase != "lingering" and lingering >= hub.budgets.lingering:
        return
    if tcp.shut_at is None:
        fail(f"{client.peer} is closed right behind its last line ({client.close.reason})")
    waited_s = now - tcp.shut_at
    is_enough = waited_s >= hub.limits.linger_s
    is_enough or fail(f"{client.peer} is closed after {waited_s} s ({client.close.reason})")
