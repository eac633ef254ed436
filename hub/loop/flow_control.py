"""Flow control: five rules say who waits for whom, each with a bound, so that nobody holds others up.

A hub that reads as fast as it can outruns every subscriber, and one that waits for every subscriber is held
up by the slowest. docs/design/flow-control.md tells why the rules are these, with measurements.

1. Outbox: a client with too much in its own outbox is not read until half of it is gone.
2. Majority: while most subscribers of a room lag, its senders are not read, until at most one in eight does.
3. Patience (broadcast): a room waits for a single subscriber near the limit that takes bytes, for --patience.
4. Limit: a subscriber past --max-lag is closed; under --slow skip it skips lines before its room keeps more
   than that; under --slow wait its room waits for it.
5. Progress: a client that holds others up must take a byte within a time, or is closed, or skips.

What the rules know of a room is its congestion record, made when a subscriber first lags. A record is
looked at once a turn when something changed or its deadline passed, never for each event; so senders that
wait are always resumed. A look costs the same however many lag: in overload every turn has one.
"""

from itertools import islice
from math import inf, nextafter
from typing import Final

from mypy_extensions import mypyc_attr

from hub.close_reasons import CloseReason
from hub.loop.congestion import Congestion
from hub.loop.core import Core, Step
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.session.client import Client
from hub.session.read_gate import COMMONS, OUTBOX, ROOM

CAUGHT_UP: Final = 8
"""A congested room goes on when no more than one subscriber in so many lags."""
SENDERS_A_TURN: Final = 128
"""So many waiting senders of a room are looked at in one turn: to resume one costs a system call."""


def is_outbox_full(outbox: Outbox, limit_bytes: int) -> bool:
    """Rule 1."""
    return outbox.item_bytes > limit_bytes


def most_lag(record: Congestion, sender: int) -> bool:
    """Rule 2, where congestion begins. The sender counts only where it is alone and hears itself."""
    others = len(record.room.subscribers) - (sender in record.room.subscribers)
    lagging = len(record.lagging) - (sender in record.lagging and others > 0)
    return 2 * lagging > others


def are_most_catching_up(record: Congestion, sender: int) -> bool:
    """Rule 2, until congestion ends. A subscriber that has given no sign of life lately is not counted."""
    others = len(record.room.subscribers) - (sender in record.room.subscribers)
    return record.majority and CAUGHT_UP * (len(record.alive) - (sender in record.alive)) > others


def is_somebody_waited_for(record: Congestion, sender: int) -> bool:
    """Rule 3: somebody else near the limit is waited for. Under --slow wait a sender waits for itself too."""
    return len(record.waited_for) > (not record.waits_for_all and sender in record.waited_for)


def is_patience_spent_on_few(record: Congestion, now: float) -> bool:
    """Rule 3: patience goes only while a sender waits and most others have nothing left to take.

    Among twenty equal readers, the one of which the kernel happened to keep less looks slower. The one that
    is waited for and the sender are not counted.
    """
    subscribers, trailing = record.room.subscribers, record.room.trailing
    sender = next(iter(record.paused), 0)
    others = len(subscribers) - 1 - (sender in subscribers)
    busy = len(trailing) - 1 - (sender in trailing)
    is_sender_waiting = record.paused or record.is_asked(now)
    return bool(record.waited_for and is_sender_waiting) and not record.majority and 2 * busy < others


def is_at_end(client: Client) -> bool:
    """Its input has ended, and all of its lines are taken; nobody keeps one whose connection has failed."""
    close = client.close
    return close.pending is not None and close.peer_error is None and not client.inbox.has_lines


def is_over(outbox: Outbox, limit_bytes: int) -> bool:
    """Rule 4. 0 is no limit."""
    return 0 < limit_bytes < outbox.lag_bytes


def is_stuck(record: Congestion, outbox: Outbox, until: float) -> bool:
    """Rule 5. A subscriber that left the room meanwhile holds nobody up."""
    return outbox.log is record.room.log and record.stuck_after(outbox) <= until


def holds(record: Congestion, sender: int) -> bool:
    """Whether this sender has to wait for its room: rules 2 and 3."""
    by_most = most_lag(record, sender) or are_most_catching_up(record, sender)
    return by_most or is_somebody_waited_for(record, sender)


@mypyc_attr(allow_interpreted_subclasses=True)
class FlowControl(Step):
    """Decides which clients are not read for now, and which have had their chance."""

    def __init__(self, core: Core, outbox_bytes: int) -> None:
        super().__init__(core)
        self._outbox_bytes = outbox_bytes
        self._slow = self._settings.slow
        has_patience = self._settings.mode == "broadcast" and self._slow != "wait"
        self._patience_s = self._settings.patience_s if has_patience else 0.0
        self._commons = core.commons
        self._unheard: dict[int, Client] = {}
        """Clients that the commons holds up."""
        self.records: dict[Room, Congestion] = {}
        """What the rules know of each room under pressure."""

    def timeout(self, now: float) -> float:
        """Seconds until a room under pressure has to be looked at; infinite while none has to."""
        if self._unheard and self._heard():
            return 0.0
        if not self.records:
            return inf
        deadlines = (now if record.unseen else record.deadline for record in self.records.values())
        return max(0.0, min(deadlines) - now)

    def must_wait(self, client: Client, now: float) -> bool:
        """Whether this client is not to be read now; if so, its gate has the reason from here on."""
        gate = client.gate
        if client.close.pending is not None and not client.inbox.has_lines:
            return False
        if client.room is not None:
            is_dead = client.close.peer_error is not None
            if self._commons.holds_up(client.id, at_end=False, is_dead=is_dead):
                self._wait_for_commons(client)
                return True
        if is_outbox_full(client.outbox, self._outbox_bytes) and not gate.has(OUTBOX):
            self._timers.progress.touch(client.id, now)
            self._connections.pause(client, OUTBOX)
        record = self._record_of(client) if self.records else None
        if record is not None and holds(record, client.id):
            record.majority |= most_lag(record, client.id)  # Even if none lags any more when the turn ends.
            record.pause(client, now)
            self._connections.pause(client, ROOM)
        return gate.is_held

    def waits_at_end(self, client: Client) -> bool:
        """Whether a client whose input has ended stays until it has heard what it said."""
        waits = is_at_end(client) and client.room is not None
        if waits and self._commons.holds_up(client.id, at_end=True):
            self._wait_for_commons(client)
            return True
        return False

    def holds_up(self, room: Room, now: float) -> bool:
        """Whether a line of another hub has to wait for this room; it counts as a sender that waits."""
        record = self.records.get(room) if self.records else None
        if record is None or not holds(record, 0):
            return False
        record.majority |= most_lag(record, 0)
        record.ask(now)
        return True

    def took(self, client: Client, now: float) -> None:
        """The kernel took bytes of this client."""
        self._timers.progress.renew(client.id, now)
        if client.gate.has(OUTBOX) and client.outbox.item_bytes <= self._outbox_bytes // 2:
            self._timers.progress.forget(client.id)
            self._connections.resume(client, OUTBOX)
        record = self._record_of(client) if self.records else None
        if record is not None:
            record.is_stale = True
            if client.id in record.lagging:
                record.gave_sign(client.id, now)

    def judge(self, outbox: Outbox, room: Room, now: float) -> None:
        """After a send, or when lines came that this subscriber could not be sent: does it lag?"""
        record, limits = self.records.get(room), self._limits
        if outbox.blocked and outbox.lag_bytes > limits.lagging_bytes:
            if record is None:
                record = Congestion(room, limits, self._patience_s, now, waits_for_all=self._slow == "wait")
                self.records[room] = record
            record.fell_behind(outbox, now, is_near=outbox.lag_bytes > limits.near_bytes)
        elif record is not None and outbox.id in record.lagging:
            record.caught_up(outbox.id)

    def refused(self, client: Client, room: Room, now: float) -> None:
        """Rule 4, after a refused write."""
        outbox, limit = client.outbox, self._limits.limit_bytes
        self.judge(outbox, room, now)
        if not is_over(outbox, limit) or client.close.reason is not None:
            return
        if self._slow == "disconnect":
            self._ready.end(client, CloseReason.SLOW_CONSUMER, f"lag={outbox.lag_bytes} limit={limit}")
        elif self._slow == "skip":
            self._skip(outbox, room, now)

    def expire(self, until: float, now: float) -> None:
        """Rule 5, for those that held up a room: `until` is the last complete look at the kernel."""
        for record in self.records.values():
            record.forget_asking(now)
            if record.stuck_at > until:
                continue
            record.stuck_at = inf
            for outbox in list(record.lagging.values()):
                if not is_stuck(record, outbox, until):
                    record.stuck_at = min(record.stuck_at, record.stuck_after(outbox))
                elif self._slow == "skip":
                    self._skip(outbox, record.room, now)
                else:
                    self.stuck(outbox.owner, record.stuck_after(outbox), now)

    def stuck(self, client: Client, due: float, now: float) -> None:
        """Rule 5, where it closes."""
        limit = f"{self._limits.progress_s:g}s"
        detail = f"stuck={limit} limit={limit}"
        self._ready.end(client, CloseReason.SLOW_CONSUMER, detail, due=due, decided=now)

    def step(self, now: float) -> None:
        """At the end of a turn: look at the rooms under pressure in which something changed."""
        for client in self._heard() if self._unheard else ():
            del self._unheard[client.id]
            self._connections.resume(client, COMMONS)
        for record in list(self.records.values()) if self.records else ():
            if record.is_stale or record.changes != record.room.changes or now >= record.deadline:
                record.unseen = len(record.paused)
                self._look(record, now)
            elif record.unseen:
                self._look(record, now)

    def _look(self, record: Congestion, now: float) -> None:
        room = record.room
        if record.changes != room.changes:
            for id in [id for id in record.lagging if id not in room.subscribers]:
                record.caught_up(id)
        record.is_stale, record.changes = False, room.changes
        record.forget_silent(now)
        record.forget_asking(now)
        if any(most_lag(record, sender) for sender in islice(record.paused, SENDERS_A_TURN)):
            record.majority = True
        elif max(2 * len(record.lagging), CAUGHT_UP * len(record.alive)) < max(1, len(room.subscribers)):
            record.majority = False  # No sender would wait for it, whether it is counted itself or not.
        self._wait_for_those_near(record, now)
        self._resume(record)
        record.spends = record.patience_s > 0 and is_patience_spent_on_few(record, now)
        record.deadline = self._deadline(record, now)
        is_rested = record.patience_s == self._patience_s or room.size == 0
        if not record.lagging and not record.paused and is_rested:
            del self.records[room]
            self._ready.rooms.setdefault(room, None)  # A pass trims what was kept for those that lagged.

    def _wait_for_those_near(self, record: Congestion, now: float) -> None:
        """Rule 3: wait for those near the limit that move, out of the patience that is left."""
        if record.waits_for_all:
            return
        passed, record.patience_at = now - record.patience_at, now
        change = -passed if record.spends else passed * self._limits.patience_gain
        record.patience_s = min(max(0.0, record.patience_s + change), self._patience_s)
        is_asked = record.patience_s > 0 and not record.majority
        record.waited_for = record.near & record.alive if is_asked else set()

    def _resume(self, record: Congestion) -> None:
        """Read the senders again that need not wait any more, out of the next few that were not looked at."""
        count = min(record.unseen, SENDERS_A_TURN)
        record.unseen -= count
        for client in list(islice(record.paused.values(), count)):
            if client.room is record.room and holds(record, client.id):
                record.paused[client.id] = record.paused.pop(client.id)  # The last of them from here on.
            else:
                record.resume(client)
                self._connections.resume(client, ROOM)

    def _deadline(self, record: Congestion, now: float) -> float:
        """When this room has to be looked at though nothing happens; later than now, or time stood still."""
        times = [record.stuck_at, record.silent_at(now)]
        if record.spends:
            times.append(now + record.patience_s)
        elif record.patience_s < self._patience_s and not record.waited_for:
            times.append(now + (self._patience_s - record.patience_s) / self._limits.patience_gain)
        return max(min(times), nextafter(now, inf))

    def _wait_for_commons(self, client: Client) -> None:
        self._unheard[client.id] = client
        self._connections.pause(client, COMMONS)

    def _heard(self) -> list[Client]:
        """The next few that the commons holds up no more. The others among them come last from here on."""
        few, goes_on = list(islice(self._unheard.values(), SENDERS_A_TURN)), []
        for client in few:
            at_end, is_dead = is_at_end(client), client.close.peer_error is not None
            if client.is_alive and self._commons.holds_up(client.id, at_end=at_end, is_dead=is_dead):
                self._unheard[client.id] = self._unheard.pop(client.id)
            else:
                goes_on.append(client)
        return goes_on

    def _record_of(self, client: Client) -> Congestion | None:
        return None if client.room is None else self.records.get(client.room)

    def _skip(self, outbox: Outbox, room: Room, now: float) -> None:
        outbox.skip()
        self.judge(outbox, room, now)
