"""The write step: one write path for everybody, but for an echo that nothing waits before.

A writable event and a new line both only mark; here each marked client gets one send. The outbox goes
first, then rooms in turn, in slices, so that between two slices the loop can look at the clock: no client
waits behind fifteen thousand subscribers. Write interest is armed if and only if the kernel refused bytes,
and lag is judged only after a refusal: a burst that the kernel can take costs nobody anything.
"""

from typing import Final

from hub.loop.core import Core, Step
from hub.loop.flow_control import FlowControl
from hub.net.listeners import SEND_BYTES
from hub.net.sockets import PeerGone
from hub.rooms.chunk import Chunk
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.rooms.segments import Item, Segment, from_log
from hub.session.client import Client

SEGMENTS_A_SEND: Final = 4
"""So many segments in one send cost as much as a send more."""
PARTS_A_SEND: Final = 128
"""So many chunks to look through for those that a client said itself cost as much."""


class Pass:
    """A round through the subscribers of a room. Each gets what there is when its turn comes, as much as a
    send brings: what the room had when the pass began, up to the `goal`, and what came since."""

    __slots__ = ("_chunk", "_sealed", "at", "goal", "log", "subscribers")

    def __init__(self, room: Room) -> None:
        self.log = room.log
        self.goal = room.log.begin_pass()
        self.subscribers = list(room.subscribers.values())
        self.at = 0
        self._chunk: Chunk | None = None
        self._sealed = 0

    def chunk_from(self, offset: int) -> Chunk | None:
        """All that there is from this offset on, or as much as a send brings, as one chunk: the same for all
        who stand there.

        None for who stands inside a chunk, or is so far behind that one send does not bring it to the goal.
        """
        log, chunk = self.log, self._chunk
        if chunk is not None and chunk.start == offset and self._sealed == log.sealed:
            return chunk
        chunks = log.chunks_from(offset, SEND_BYTES) if offset < log.sealed else []
        if not chunks or chunks[-1].end < self.goal:
            return None
        self._chunk = chunks[0] if len(chunks) == 1 else Chunk.of_parts(chunks)
        self._sealed = log.sealed
        return self._chunk


class Writer(Step):
    """Hands out what is owed."""

    def __init__(self, core: Core, flow: FlowControl) -> None:
        super().__init__(core)
        self._flow, self._account = flow, core.account
        self.queue: list[Client] = []
        """Clients that were marked writable and wait for their send, the next one last."""
        self.passes: dict[Room, Pass] = {}
        """The passes under way."""

    @property
    def has_work(self) -> bool:
        """Somebody is marked and has not had its send."""
        return bool(self.queue or self._ready.writable or self._ready.rooms)

    def slice(self, now: float) -> int:
        """A few sends; returns how many were made, long ones as several; 0 when there is nothing to do."""
        budget = self._budgets.sends
        rooms = self._ready.rooms
        share = max(1, budget // 2) if rooms else budget
        unused = self._write_outboxes(now, share)
        left = budget - share + max(0, unused)
        while rooms and left > 0:
            room = next(iter(rooms))
            left = self._write_room(room, now, left)
            if room in rooms:  # Unfinished: the other rooms come first.
                rooms[room] = rooms.pop(room)
        return budget - left - min(0, unused)

    def write(self, client: Client, now: float) -> int:
        """Offer the kernel what this client gets next, once, and see what it took.

        Returns what that cost more than one send: many segments are work of their own.
        """
        item = client.outbox.only_item()
        if item is not None and client.is_reading and not (client.outbox.blocked or self._flow.records):
            return self._write_item(client, item, now)
        segments = client.outbox.segments()
        if not segments:
            self._all_taken(client, now)
            return 0
        try:
            if len(segments) == 1:
                taken = self._sockets.send(client.fd, segments[0].wire)
            else:
                taken = self._sockets.send_many(client.fd, [segment.wire for segment in segments])
        except PeerGone as gone:
            self._connections.peer_is_gone(client, gone.reason)
            return 0
        self._took(client, segments, taken, now)
        return len(segments) // SEGMENTS_A_SEND

    def send_back(self, client: Client, text: bytes, count: int, now: float) -> bool:
        """Send whole lines back as they came, in the read step, where nothing waits before them; whether they
        are taken.

        They pass by the outbox, the ready sets and the write step, as nearly all lines of an echo can.
        """
        outbox = client.outbox
        if not outbox.is_clear:
            return False
        self._turn_budget.left -= self._budgets.echo_bytes
        self._account.owed += len(text)
        try:
            taken = self._sockets.send(client.fd, text)
        except PeerGone as gone:
            outbox.put(text, owed=True, own=True, lines=count)
            self._connections.peer_is_gone(client, gone.reason)
            return True
        if taken != len(text):
            outbox.put(text, owed=True, own=True, lines=count)
            self._took(client, outbox.segments(), taken, now)
            return True
        outbox.took_text(count, taken)
        self._counters.lines_out += count
        self._counters.bytes_out += taken
        return True  # That it took something is no more activity than that it said something.

    def _write_item(self, client: Client, item: Item, now: float) -> int:
        """The common case without a room: one item of a client that nothing holds up, nor it anybody."""
        outbox = client.outbox
        wire = item.wire(outbox.encoding)
        try:
            taken = self._sockets.send(client.fd, wire)
        except PeerGone as gone:
            self._connections.peer_is_gone(client, gone.reason)
            return 0
        if taken != len(wire):
            self._took(client, [Segment(wire, item, len(item.data))], taken, now)
            return 0
        lines, counters = item.lines, self._counters
        outbox.took_item(item, lines, taken)
        counters.lines_out += lines
        counters.bytes_out += taken
        if item.owed:
            self._ready.took.append(client)
        return 0

    def _write_outboxes(self, now: float, left: int) -> int:
        writable = self._ready.writable
        if not self.queue and writable:
            self.queue = list(writable)
            self.queue.reverse()
            writable.clear()
        while self.queue and left > 0:
            client = self.queue.pop()
            if not client.outbox.closed and client.phase != "closed":
                left -= 1 + self.write(client, now)
        return left

    def _write_room(self, room: Room, now: float, left: int) -> int:
        """Go on with this room's pass; a look costs as much of the budget as a send."""
        if room not in self.passes:
            self.passes[room] = Pass(room)
        pass_, log = self.passes[room], room.log
        chunk, start = None, -1
        subscribers, at, more = pass_.subscribers, pass_.at, 0
        for outbox in subscribers[at : at + left]:
            if at + more >= pass_.at + left:
                break
            at += 1
            if outbox.log is not log:
                continue  # The client left meanwhile. With a close reason alone it is still owed its lines.
            if outbox.blocked:
                self._judge(outbox, room, now)
                continue
            if outbox.offset != start:
                chunk = pass_.chunk_from(outbox.offset)
                start = chunk.start if chunk else -1
            if chunk is None or not outbox.is_in_step(start):
                more += self.write(outbox.owner, now) if outbox.offset < log.sealed else 0
            elif outbox.own_bytes:
                more += self._hand_others(outbox, room, chunk, now)
            else:
                self._hand(outbox, room, chunk, now)
        left -= max(1, at - pass_.at) + more
        pass_.at = at
        if at == len(subscribers):
            self._end_pass(room, pass_)
        return left

    def _end_pass(self, room: Room, pass_: Pass) -> None:
        """Everyone had its turn: trim the log, and start again if lines came meanwhile."""
        del self.passes[room]
        room.trim(pass_.goal)
        if room.log.head == pass_.goal:
            self._ready.rooms.pop(room, None)

    def _hand(self, outbox: Outbox, room: Room, chunk: Chunk, now: float) -> None:
        """The common case: in step with others, so that shared bytes are all that the client gets."""
        client: Client = outbox.owner
        wire = chunk.encoded(outbox.encoding)
        try:
            taken = self._sockets.send_shared(client.fd, wire)
        except PeerGone as gone:
            self._connections.peer_is_gone(client, gone.reason)
            return
        if taken != len(wire):
            self._took(client, [Segment(wire, chunk, len(chunk.lf))], taken, now)
            return
        outbox.took_chunk(chunk, taken)
        self._handed(client, room, chunk, chunk.count, taken)

    def _hand_others(self, outbox: Outbox, room: Room, chunk: Chunk, now: float) -> int:
        """The same for one that said some of it and does not get that; what it cost more than one send."""
        client: Client = outbox.owner
        wire = chunk.without(outbox.id, outbox.encoding)
        if not wire:
            return self.write(client, now)
        try:
            taken = self._sockets.send(client.fd, wire)
        except PeerGone as gone:
            self._connections.peer_is_gone(client, gone.reason)
            return 0
        if taken != len(wire):
            segments = list(from_log(outbox.id, outbox.encoding, room.log, outbox.offset, chunk.end))
            self._took(client, segments, taken, now)
            return 1 + len(segments) // SEGMENTS_A_SEND
        own_lines, own_bytes = chunk.share_of(outbox.id)
        outbox.took_chunk(chunk, taken, own_lines, own_bytes)
        self._handed(client, room, chunk, chunk.count - own_lines, taken)
        return len(chunk.parts or ()) // PARTS_A_SEND

    def _handed(self, client: Client, room: Room, chunk: Chunk, lines: int, taken: int) -> None:
        """The kernel took all that the client gets of this chunk."""
        if room.trailing:
            room.trailing.pop(client.id, None)
        self._counters.lines_out += lines
        self._counters.bytes_out += taken
        if chunk.talk:
            self._ready.took.append(client)

    def _took(self, client: Client, segments: list[Segment], taken: int, now: float) -> None:
        outbox, counters = client.outbox, self._counters
        lines_before = outbox.lines_out
        outbox.advance(segments, taken, now)
        counters.lines_out += outbox.lines_out - lines_before
        counters.bytes_out += taken
        if taken:
            if any(segment.is_talk for segment in segments):
                self._ready.took.append(client)
            self._flow.took(client, now)
        if taken == sum(len(segment.wire) for segment in segments):
            self._all_taken(client, now)
        else:
            self._refused(client, now)

    def _all_taken(self, client: Client, now: float) -> None:
        """The kernel took everything it was offered; there may be more."""
        outbox, room, rooms = client.outbox, client.room, self._ready.rooms
        if outbox.blocked:  # Else nothing changed: a client that ends lingers with the interest it had.
            outbox.accepted()
            self._connections.watch(client)
        if room is not None and outbox.log is not None:
            if outbox.has_more:  # The batch was cut short: it may still hold the log back.
                room.trailing[client.id] = outbox
                rooms[room] = None
            elif room.trailing.pop(client.id, None) is not None and not (room.trailing or room in rooms):
                # The last one that trailed has caught up; where a pass is due, its end trims the log.
                room.trim(room.log.head)
            self._flow.judge(outbox, room, now)
        if outbox.has_more:
            self._ready.writable[client] = None
        elif client.phase == "flushing":
            self._ready.finished[client.id] = client

    def _refused(self, client: Client, now: float) -> None:
        """The kernel is full: wait for it to call the client writable, and see how far behind it is."""
        client.outbox.refused(now)
        self._connections.watch(client)
        room = client.room
        if room is not None and client.outbox.log is not None:
            room.trailing[client.id] = client.outbox
            self._flow.refused(client, room, now)

    def _judge(self, outbox: Outbox, room: Room, now: float) -> None:
        """A blocked client, and there are new lines: past the limit it gets one more try."""
        if 0 < self._limits.limit_bytes < outbox.lag_bytes:
            self.write(outbox.owner, now)
        else:
            self._flow.judge(outbox, room, now)
