"""What must be true of flow control after a turn, worked out anew from outboxes and logs.

Nobody waits without a reason that stands now: a sender that waits for its room has a place in that room's
congestion record, and a client that waits for its own outbox has a full one. No record outlives what it is
about.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hub.loop.congestion import Congestion, last_sign
from hub.loop.flow_control import CAUGHT_UP
from hub.session.read_gate import OUTBOX, RATE, ROOM
from tests.sim.kernel import CALL_S, fail
from tests.sim.tcp import tcp_at

if TYPE_CHECKING:
    from hub.rooms.room import Room
    from hub.session.client import Client
    from tests.sim.world import World


class Pressure:
    def __init__(self, world: World) -> None:
        self._world = world
        self._congested: dict[Room, set[int]] = {}
        """By room, the ids of the senders that waited at the last look because most others lagged."""

    def look(self) -> None:
        hub = self._world.hub
        for client in hub.connections.clients.values():
            if client.gate.is_held and client.close.reason is None:
                self._waits_with_reason(client)
            self._gave_its_signs(client)
            self._is_opened_in_time(client)
        self._go_on_late_enough()
        for record in hub.flow.records.values():
            self._is_about_something(record)
            self._knows_those_who_lag(record)

    def next_deadline(self) -> float:
        """When the next client has to have taken a byte (rule 5), from the outboxes."""
        records, progress_s = self._world.hub.flow.records.values(), self._world.hub.limits.progress_s
        return min(
            (
                max(last_sign(outbox), record.since) + progress_s
                for record in records
                if record.since < math.inf
                for outbox in record.lagging.values()
            ),
            default=math.inf,
        )

    def _waits_with_reason(self, client: Client) -> None:
        hub, gate = self._world.hub, client.gate
        if gate.has(ROOM):
            record = None if client.room is None else hub.flow.records.get(client.room)
            record is not None or fail(f"{client.peer} waits for a room without pressure")
            record is None or client.id in record.paused or fail(f"{client.peer} waits, and no room knows it")
        if gate.has(OUTBOX):
            least = hub.intake.outbox_bytes // 2
            client.outbox.item_bytes > least or fail(f"{client.peer} waits for an outbox that is half empty")
            client.id in hub.timers.progress.last_s or fail(f"{client.peer} waits for its outbox for ever")
        if gate.has(RATE):
            client.id in hub.timers.rate.last_s or fail(f"{client.peer} waits for its rate for ever")

    def _gave_its_signs(self, client: Client) -> None:
        """Only what a kernel took, or a peer took from it, is a sign of life."""
        kernel = self._world.kernel
        jumped_s = sum(s for at, s in self._world.jumps if at >= kernel.woke_at)
        seen_at = kernel.woke_at + jumped_s + 2.15 * CALL_S  # The wait is two calls at most.
        latest = max(tcp_at(kernel, client.fd).took_at, seen_at)
        client.outbox.took_at <= latest or fail(f"{client.peer} took nothing, and is taken for alive")

    def _is_opened_in_time(self, client: Client) -> None:
        """A client that is not open yet has a timer, which opens or ends it."""
        if client.phase == "opening" and client.close.reason is None:
            timers = self._world.hub.timers
            known = client.id in timers.opening.last_s or client.id in timers.handshake.last_s
            known or fail(f"{client.peer} waits for its opening for ever")

    def _go_on_late_enough(self) -> None:
        """Rule 2: where most lagged, senders wait until no more than one in eight lags that can catch up."""
        hub, oldest = self._world.hub, self._world.kernel.now - self._world.hub.limits.alive_s
        for room, waiting in self._congested.items():
            record = hub.flow.records.get(room)
            if record is None:
                continue
            for id in waiting & {outbox.id for outbox in room.members()}:
                others = record.lagging.keys() - {id}
                alive = sum(last_sign(record.lagging[other]) > oldest for other in others)
                most = len(room.subscribers.keys() - {id})
                is_late_enough = id in record.paused or CAUGHT_UP * alive <= most
                is_late_enough or fail(f"{room.name} goes on, and {alive} lag")
        self._congested = {
            room: set(record.paused)
            for room, record in hub.flow.records.items()
            if any(_most_others_lag(record, id) for id in record.paused)
        }

    def _is_about_something(self, record: Congestion) -> None:
        """A record goes when nobody lags, nobody waits, and patience has come back."""
        hub, room = self._world.hub, record.room
        is_there = room in hub.rooms.all() or not record.paused
        is_there or fail(f"{len(record.paused)} wait for a room that is gone")
        for client in record.paused.values():
            client.gate.has(ROOM) or fail(f"{client.peer} is kept waiting, and does not know")
            client.room is room or fail(f"{client.peer} waits for {room.name}, where it is not")
        about = record.lagging or record.paused or record.deadline < math.inf
        about or fail(f"a congestion record of {room.name} is about nothing")
        (not record.paused or record.since < math.inf) or fail(f"nobody has to take a byte in {room.name}")
        is_asked = record.asked_at > -math.inf  # By lines of other hubs.
        is_over = record.since == math.inf
        (record.paused or is_asked or is_over) or fail(f"time runs in {room.name}, and nobody waits")
        (not record.paused or record.lagging) or fail(f"senders of {room.name} wait, and nobody lags")

    def _knows_those_who_lag(self, record: Congestion) -> None:
        """Between two passes the record has exactly the blocked subscribers that lag."""
        hub, room = self._world.hub, record.room
        if room in hub.ready.rooms:
            return
        half = hub.limits.lagging_bytes
        lagging = {
            id for id, outbox in room.subscribers.items() if outbox.blocked and outbox.lag_bytes > half
        }
        known = record.lagging.keys()
        lagging == known or fail(f"in {room.name} {lagging} lag, and flow control knows of {set(known)}")


def _most_others_lag(record: Congestion, id: int) -> bool:
    """Rule 2, where congestion begins."""
    return 2 * len(record.lagging.keys() - {id}) > len(record.room.subscribers.keys() - {id})
