"""The flush step: one write path for everybody.

A writable event and a new line both only mark; here each marked client gets one send. Private output
goes first, then rooms in turn, in slices, so that between two slices the loop can look at the others:
no one waits behind fifteen thousand readers. Write interest is armed only while the kernel refuses
bytes, and lag is judged only after a refusal: a burst that the kernel can take costs nobody anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from hub.loop.context import Hub
from hub.loop.flow_control import Pacing
from hub.net.sockets import PeerGone
from hub.rooms.chunk import Chunk
from hub.rooms.outbox import Part, next_parts, pass_own, take
from hub.rooms.room import Room
from hub.rooms.skipping import skip, tell_skipped
from hub.session.client import Client, Phase

PARTS_A_SEND: Final = 4
"""So many chunks in one send cost as much as a send more."""


@dataclass(slots=True)
class Pass:
    """One round through the hearers of a room. `reached` is the offset that it brings them to."""

    hearers: list[Client]
    reached: int
    at: int = 0


class Sender:
    """Hands out what is owed."""

    def __init__(self, hub: Hub, pacing: Pacing) -> None:
        self._hub = hub
        self._pacing = pacing
        self._private: deque[Client] = deque()
        self._passes: dict[Room, Pass] = {}
        self._give = self._hand if hub.settings.self_echo else self._hand_but_own

    @property
    def has_work(self) -> bool:
        """Somebody is marked and has not had its send."""
        return bool(self._private or self._hub.marks.flush or self._hub.marks.rooms)

    def slice(self, now: float) -> int:
        """A few sends; returns how many were made, long ones as several; 0 when there is nothing to do."""
        budget = self._hub.budgets.sends_between_clock_readings
        rooms = self._hub.marks.rooms
        share = max(1, budget // 2) if rooms else budget
        unused = self._flush_private(now, share)
        left = budget - share + max(0, unused)
        while rooms and left > 0:
            room = next(iter(rooms))
            left = self._flush_room(room, now, left)
            if room in rooms:  # Unfinished: the other rooms come first.
                rooms[room] = rooms.pop(room)
        return budget - left - min(0, unused)

    def flush(self, client: Client, now: float) -> int:
        """Offer the kernel what this client gets next, once, and see what it took.

        Returns what that cost more than one send: many chunks are work of their own.
        """
        if client.untold_lines and not client.deaf:
            tell_skipped(client)
        if client.own_bytes:
            pass_own(client)
        parts = next_parts(client)
        if not parts:
            self._all_taken(client, now)
            return 0
        sockets = self._hub.sockets
        try:
            if len(parts) == 1:
                taken = sockets.send(client.sock, parts[0].wire)
            else:
                taken = sockets.send_many(client.sock, [part.wire for part in parts])
        except PeerGone as gone:
            self._lost(client, gone)
            return 0
        self._took(client, parts, taken, now)
        return len(parts) // PARTS_A_SEND

    def _flush_private(self, now: float, left: int) -> int:
        marks = self._hub.marks
        if not self._private and marks.flush:
            self._private.extend(marks.flush.values())
            marks.flush.clear()
        while self._private and left > 0:
            client = self._private.popleft()
            if client.phase in (Phase.OPEN, Phase.FLUSHING) and not (client.deaf or client.fresh):
                left -= 1 + self.flush(client, now)
        return left

    def _flush_room(self, room: Room, now: float, left: int) -> int:
        """Go on with this room's pass; a look costs as much of the budget as a send."""
        round_ = self._passes.get(room) or self._start(room)
        newest = room.chunks[-1] if room.chunks else None
        hearers, at, more = round_.hearers, round_.at, 0
        for client in hearers[at : at + left]:
            if at + more >= round_.at + left:
                break
            at += 1
            if client.room is not room or client.deaf:
                continue  # It left meanwhile. Who only has a reason is still owed its lines.
            if client.blocked:
                self._judge(client, room, now)
            elif client.bulk and client.websocket is None and room.is_only_itself_to(client):
                self._withhold(client, room)
            elif client.fresh:
                more += self._wait_or_start(client, room)
            elif newest is not None and client.offset == newest.start and not (client.rest or client.private):
                self._give(client, newest, now)
            elif client.offset != room.end:
                more += self.flush(client, now)
        left -= max(1, at - round_.at) + more
        round_.at = at
        if at == len(hearers):
            self._finish(room, round_)
        return left

    def _start(self, room: Room) -> Pass:
        room.intake = 0
        round_ = self._passes[room] = Pass(list(room.hearers.values()), room.end)
        return round_

    def _finish(self, room: Room, round_: Pass) -> None:
        """Everyone had its turn: trim the log, and start again if lines came meanwhile."""
        del self._passes[room]
        settings, limits = self._hub.settings, self._hub.limits
        room.trim(round_.reached, settings.history if settings.mode == "chat" else 0, limits.history_bytes)
        if room.end == round_.reached:
            self._hub.marks.rooms.pop(room, None)

    def _withhold(self, client: Client, room: Room) -> None:
        """A bulk sender hears only itself: its own lines wait until it pauses.

        A feed such as `socat -u` never reads. If one byte waits unread when it closes, the kernel resets
        the connection and throws away what it had not got through yet, up to 4 MB (measured on loopback);
        so it must not be sent its own lines while it sends. More of them than the allowed lag are skipped,
        and whoever does read is told how many. Lines of others end the waiting.
        """
        limit = self._hub.limits.lag_bytes
        if client.own_bytes:
            pass_own(client)
        if limit and client.lag_bytes > limit:
            if not self._hub.settings.notices:  # It could not be told: so it gets them.
                self._hub.start_output(client)
                return
            skip(client, room, self._hub.account)
            tell_skipped(client)  # It waits with the rest; who has something waiting is not handed lines.
        else:
            room.slow[client.id] = client

    def _wait_or_start(self, client: Client, room: Room) -> int:
        """A newcomer gets nothing before its first line or a pause, but one that talks on may never pause.

        So lines of others end the waiting of who has said its first line; and nobody may hold the log back.
        Returns what that cost, in sends.
        """
        if client.opening is None or client.lag_bytes > self._hub.limits.behind_bytes:
            self._hub.start_output(client)
            return self._hub.budgets.sends // self._hub.budgets.starts
        room.slow[client.id] = client
        return 0

    def _hand(self, client: Client, chunk: Chunk, now: float) -> None:
        """The common case: in step, so the shared bytes of the newest chunk are all that it gets."""
        wire = chunk.wire(client.form)
        try:
            taken = self._hub.sockets.send(client.sock, wire)
        except PeerGone as gone:
            self._lost(client, gone)
            return
        if taken != len(wire):
            self._took(client, [Part(wire, chunk, len(chunk.lf))], taken, now)
            return
        client.position += chunk.count
        client.offset = chunk.end
        if client.room is not None and client.room.slow:
            client.room.slow.pop(client.id, None)
        client.lines_out += chunk.count
        client.bytes_out += taken
        hub = self._hub
        hub.counters.lines_out += chunk.count
        hub.counters.bytes_out += taken
        hub.account.delivered += len(chunk.lf)
        if chunk.talk:
            hub.marks.took.append(client)

    def _hand_but_own(self, client: Client, chunk: Chunk, now: float) -> None:
        """The same where nobody gets its own lines: it is the common case for who said nothing."""
        if chunk.own is not None and client.id in chunk.own:
            self.flush(client, now)
        else:
            self._hand(client, chunk, now)

    def _took(self, client: Client, parts: list[Part], taken: int, now: float) -> None:
        hub, lines_before = self._hub, client.lines_out
        take(client, parts, taken, hub.account)
        hub.counters.lines_out += client.lines_out - lines_before
        hub.counters.bytes_out += taken
        if taken:
            if any(part.counts for part in parts):
                hub.marks.took.append(client)
            self._pacing.took_some(client, now)
        self._pacing.relieve(client)
        if taken == sum(len(part.wire) for part in parts):
            self._all_taken(client, now)
        else:
            self._refused(client, now)

    def _all_taken(self, client: Client, now: float) -> None:
        """The kernel took everything it was offered; there may be more."""
        hub, room = self._hub, client.room
        client.blocked = False
        hub.interest(client)
        if room is not None:
            if client.lag_bytes:  # The batch was cut short: it may still hold the log back.
                room.slow[client.id] = client
            else:
                room.slow.pop(client.id, None)
            self._pacing.judge(client, room, now)
        if not client.owes_nothing:
            if room is not None and room.end != client.offset:
                hub.marks.rooms[room] = None
            hub.marks.flush[client.id] = client
        elif client.phase is Phase.FLUSHING:
            hub.marks.finished[client.id] = client

    def _refused(self, client: Client, now: float) -> None:
        """The kernel is full: wait for it to call the client writable, and see how far behind it is."""
        client.blocked = True
        self._hub.interest(client)
        room = client.room
        if room is None:
            return
        room.slow[client.id] = client
        self._pacing.judge(client, room, now)
        limit = self._hub.limits.lag_bytes
        if limit and client.lag_bytes > limit and client.reason is None:
            self._pacing.cut(client, room, now)

    def _judge(self, client: Client, room: Room, now: float) -> None:
        """A blocked client, and there are new lines: past the limit it gets one more try."""
        limit = self._hub.limits.lag_bytes
        if limit and client.lag_bytes > limit:
            self.flush(client, now)
        else:
            self._pacing.judge(client, room, now)

    def _lost(self, client: Client, gone: PeerGone) -> None:
        self._pacing.gone(client, gone.reason)
        if client.phase is not Phase.OPEN:
            self._hub.marks.finished[client.id] = client
            self._hub.interest(client)
