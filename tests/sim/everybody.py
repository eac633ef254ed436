"""What must be true of each client after a turn: one walk over all of them, as it is done so often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.rooms.room import Room
from hub.session.client import Client, Phase
from tests.sim.kernel import OUT, fail

if TYPE_CHECKING:
    from tests.sim.tcp import Tcp
    from tests.sim.world import World

_WRITTEN = (Phase.OPEN, Phase.FLUSHING)


class Everybody:
    """Looks at the clients of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def look(self) -> int:
        """What all of them together are still owed, in canonical bytes."""
        hub = self._world.hub
        queued = members = held = 0
        most_lag, most_private, most_rest, most_input = self._bounds()
        for client in hub.by_fd.values():
            self._interest(client)
            room, deaf = client.room, client.deaf
            lag = 0 if room is None or deaf else room.end - client.offset
            owed = self._private(client) if client.private or client.private_bytes else 0
            queued += lag - client.own_bytes + client.rest_owed + owed
            lag >= client.own_bytes >= 0 or fail(f"{client.peer} lags {lag}")
            client.private_bytes <= most_private or fail(
                f"{client.peer} has {client.private_bytes} of its own, at most {most_private}"
            )
            lag <= most_lag or fail(f"{client.peer} lags {lag}, at most {most_lag}")
            len(client.rest) <= most_rest or fail(f"{client.peer} has a rest of {len(client.rest)}")
            size = client.lines.unfinished_bytes
            size <= most_input or fail(f"{client.peer} has {size} bytes of unfinished input")
            if room is not None:
                members += 1
                held += client.held
                self._membership(client, room)
        lingering = sum(client.phase is Phase.LINGERING for client in hub.ended.values())
        lingering <= hub.budgets.lingering or fail(f"{lingering} linger")
        self._open_ones()
        self._rooms(members, held)
        return queued

    def _bounds(self) -> tuple[int, int, int, int]:
        """At most so much of lag, private output, one begun line, unfinished input."""
        hub = self._world.hub
        line = max(hub.settings.max_line_bytes, 1) + 200
        lag, private = hub.limits.lag_bytes, hub.intake.private_bytes + hub.budgets.client_bytes + 20_000
        more = 4 * (hub.intake.room_bytes + line) + 2000
        return lag + more, lag + private, 2 * line + 20_000, hub.settings.max_line_bytes + 1

    def most_log(self) -> int:
        """At most so much of what was said is kept: what the slowest may still be owed, and history."""
        hub, most_lag = self._world.hub, self._bounds()[0]
        settings = hub.settings
        lines = settings.history if settings.mode == "chat" else 0
        history = min(hub.limits.history_bytes, lines * (settings.max_line_bytes + 200))
        return most_lag + history + 2 * hub.intake.room_bytes  # A chunk is kept whole, on either side.

    def _interest(self, client: Client) -> None:
        """OUT is wanted exactly of those whose kernel refused bytes, and their last write was."""
        armed = self._world.kernel.epoll.items[client.fd].mask & OUT
        if armed:
            client.blocked or fail(f"{client.peer} is armed, and not blocked")
            client.sock.refused or fail(f"{client.peer} is armed, and its kernel took all")  # type: ignore[attr-defined]
            return
        client.blocked and fail(f"{client.peer} is blocked, and not armed")
        if client.sock.refused and client.phase in _WRITTEN and not (client.deaf or client.gone):  # type: ignore[attr-defined]
            fail(f"{client.peer} was refused bytes, and nobody waits for room")

    def _private(self, client: Client) -> int:
        """How many bytes of its private output it is owed; as many are there as are counted."""
        size = owed = 0
        for piece in client.private:
            size += len(piece.data)
            owed += len(piece.data) if piece.owed else 0
        size == client.private_bytes or fail(f"{client.peer} has {size}, and counts {client.private_bytes}")
        return owed

    def _membership(self, client: Client, room: Room) -> None:
        """Its room knows it, and still has what it is owed."""
        client.id in self._world.hub.clients or fail("the dead in", room.name)
        room.members.get(client.id) is client or fail(f"{client.peer} is no member of {room.name}")
        not client.held or client.id in room.held or fail("held in", room.name)
        if client.id in room.hearers:
            lowest = room.chunks[0].start if room.chunks else room.end
            client.offset >= lowest or fail("somebody needs what was trimmed")

    def _open_ones(self) -> None:
        """Who can be read or written is marked, or epoll will say so: no event gets lost."""
        hub, epoll = self._world.hub, self._world.kernel.epoll
        readable, flush, items, ready = hub.marks.readable, hub.marks.flush, epoll.items, epoll.ready
        for id, client in hub.clients.items():
            client.reason is None or id in hub.marks.ended or fail(f"{client.peer} has a reason, and is left")
            tcp: Tcp = client.sock  # type: ignore[assignment]
            if (tcp.input or tcp.shut_in) and id not in readable and client.reading:
                items[client.fd] in ready or fail(f"{client.peer} has input that nobody reads")
            if client.blocked and tcp.is_writeable and id not in flush:
                told = items[client.fd] in ready or client in self._world.loop._sender._private
                told or fail(f"{client.peer} has room that nobody fills")

    def _rooms(self, members: int, held: int) -> None:
        """Every list of a room is a part of the one before; nobody is in one that is not counted above."""
        rooms = self._world.hub.rooms
        for room in rooms.all():
            room.members or room is rooms.lobby or fail("nobody is in", room.name)
            mine, hearers, behind = room.members.keys(), room.hearers.keys(), room.behind
            members -= len(mine)
            held -= len(room.held)
            hearers <= mine or fail("hearers of", room.name)
            not room.held or room.held.keys() <= mine or fail("held of", room.name)
            not room.slow or room.slow.keys() <= hearers or fail("slow of", room.name)
            if behind:
                behind.keys() <= hearers or fail("behind of", room.name)
            not room.stalled or room.stalled.keys() <= behind.keys() or fail("stalled of", room.name)
            not room.pressed or room.pressed.keys() <= behind.keys() or fail("pressed of", room.name)
        members == 0 == held or fail(f"rooms have {-members} too many members, {-held} too many held ones")
