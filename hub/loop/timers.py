"""Timers for clients that are idle too long: three strategies behind four methods, and time is always an
argument.

The lecture behind this project puts one question: a server must close a connection on which nothing
happened for a while; how does it know when, with thousands of them? Three answers, from easy to exact:

strategy   an activity costs            a turn costs                        how late
poll       one store                    one comparison                      for ever, while anyone is busy
sweep      one store into a table       a look at the whole table           up to one interval
                                        once an interval, in slices
deadline   one store into a table       one comparison, and one O(log n)    not at all
                                        repair for each client and timeout

Late is what the strategy adds; the rest of a turn and the rounding of epoll_wait(2) to milliseconds come
on top. None is ever early: nobody is expired before a whole timeout has passed since its last activity.

An id is a client's number. Times are seconds on one clock that never goes back. The four methods:

touch      the id was active; one that is not known, or no longer, is known from here on
forget     the id is gone; nothing happens if it was not known
timeout    seconds until `expired` should be called: 0.0 if work is waiting, infinite if nobody can expire
expired    at most `budget` (>= 1) ids whose time is up, each with the moment it was due; they are forgotten

The loop asks `timeout` before it waits, and calls `expired` after it, or after a later wait, until `timeout`
is not 0.0. No timeout is capped: epoll_wait(2) takes less than 25 days, so the caller takes the minimum.
"""

from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Final

from hub.config.settings import IdleStrategy

REPAIRS_PER_CALL: Final = 250
"""How many heap entries Deadline puts right in one call: 2 to 4 us each among twenty thousand."""

EXAMINED_PER_CALL: Final = 1000
"""How many table entries Sweep looks at in one call: 0.1 to 0.2 us each."""

# Entries of forgotten ids that Deadline may carry, beside as many as there are live ones.
_STALE_ALLOWED: Final = 64


class Poll:
    """The easy way: the wait itself times out, and then everybody goes.

    This is what `poll(timeout)` returning 0 gives for nothing: no event for a whole timeout means that every
    client has been idle for at least as long. The reverse does not hold, and that is the lesson: one busy
    client keeps all the idle ones alive. An activity costs a store, a turn a comparison, and there is no
    table of times.

    All are due at the same moment, the last event + timeout, and are handed out in slices. The verdict
    stands while they are: an event of somebody else between two slices (a peer that answers its farewell
    is one) reprieves nobody, but a client that is itself active then lives on, since none may go early.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.last_event_s = 0.0
        """When a client or a listener last had an event: the loop sets it."""
        self.alive: dict[int, None] = {}
        self.condemned: dict[int, None] = {}
        self._condemned_due_s = 0.0

    def touch(self, id: int, now: float) -> None:
        """Restart the clock for all."""
        self.last_event_s = now
        if id not in self.alive:
            self.condemned.pop(id, None)
            self.alive[id] = None

    def forget(self, id: int) -> None:
        """Drop an id, condemned or not."""
        self.alive.pop(id, None)
        self.condemned.pop(id, None)

    def timeout(self, now: float) -> float:
        """The rest of the timeout since the last event of all."""
        if self.condemned:
            return 0.0
        return max(0.0, self.last_event_s + self.timeout_s - now) if self.alive else inf

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """A slice of those condemned, all with the same due."""
        due_s = self.last_event_s + self.timeout_s
        if not self.condemned and due_s <= now:
            self.condemned, self.alive = self.alive, self.condemned
            self._condemned_due_s = due_s
        count = min(budget, len(self.condemned))
        return [(self.condemned.popitem()[0], self._condemned_due_s) for _ in range(count)]


class Sweep:
    """Mark and sweep: each activity marks the time in a table, and the table is looked through now and then.

    An activity costs a store. Once an interval every entry is looked at, at most EXAMINED_PER_CALL in one
    turn, so an idle client goes at most one interval late, plus the turns that the slices take. A shorter
    interval buys accuracy with wake-ups and with looks at clients that are not idle: interval and table
    size decide the cost, not the number of those who expire.

    A sweep walks over a copy of the table's keys, so touches and forgets meanwhile cannot disturb it: who is
    gone is passed over, who is new waits for the next one. (Copying ten thousand keys takes about 0.1 ms;
    walking the table itself in slices is a RuntimeError as soon as it changes.)
    """

    def __init__(self, timeout_s: float, interval_s: float) -> None:
        self.timeout_s = timeout_s
        self._interval_s = interval_s
        self.last_s: dict[int, float] = {}
        self.next_sweep_s = 0.0
        self.to_examine: list[int] = []

    def touch(self, id: int, now: float) -> None:
        """Mark the time."""
        if not self.last_s:
            self.to_examine.clear()
            self.next_sweep_s = now + self._interval_s
        self.last_s[id] = now

    def forget(self, id: int) -> None:
        """Drop an id from the table."""
        self.last_s.pop(id, None)

    def timeout(self, now: float) -> float:
        """The time to the next sweep, 0.0 in the middle of one."""
        if not self.last_s:
            return inf
        return 0.0 if self.to_examine else max(0.0, self.next_sweep_s - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those found idle in the next slice of the sweep, in the order of the table, not of their dues.

        The sweep after the one that begins now is measured from here, so a late loop does not catch up.
        """
        if not self.to_examine and self.next_sweep_s <= now:
            self.next_sweep_s = now + self._interval_s
            self.to_examine = list(reversed(self.last_s))
        gone: list[tuple[int, float]] = []
        for _ in range(min(EXAMINED_PER_CALL, len(self.to_examine))):
            if len(gone) == budget:
                break
            id = self.to_examine.pop()
            due_s = self.last_s.get(id, inf) + self.timeout_s
            if due_s <= now:
                del self.last_s[id]
                gone.append((id, due_s))
        return gone


class Deadline:
    """Exact: a heap of deadlines, moved lazily.

    A heap that moves with every activity costs O(log n) each time, or fills with stale entries. Here an
    activity is one store into a table, and the heap may lag behind: it holds one entry per queued id, due no
    later than the id is. When an entry comes up, the table tells its true due: the id is gone and the
    entry is dropped, or it was active since and the entry is pushed again with the true due, or its time is
    up. So however busy a client is, it costs one O(log n) repair in each timeout, and at most one wake-up
    for nothing. Not late at all, and the oldest due comes first.

    Forgotten ids leave their entry behind, to be found by themselves if they come back; past twice the live
    ids + 64 entries the heap is cleared of them (5 to 12 ms when ten thousand of twenty thousand have left).
    Repairs are budgeted: thousands may wait after a pause.

    This strategy serves any timer of one duration: idle, the warning before it, the limits of closing and
    of progress. With an infinite one nobody expires.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.last_s: dict[int, float] = {}
        self.heap: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def touch(self, id: int, now: float) -> None:
        """Move the deadline of `id` to `now` + timeout."""
        if id not in self.last_s and id not in self._queued:
            self._queued.add(id)
            heappush(self.heap, (now + self.timeout_s, id))
        self.last_s[id] = now

    def renew(self, id: int, now: float) -> None:
        """The same for an id that is known; nothing happens if it is not."""
        if id in self.last_s:
            self.last_s[id] = now

    def forget(self, id: int) -> None:
        """Drop an id; its heap entry follows later."""
        if self.last_s.pop(id, None) is not None:
            self._shed_stale_entries()

    def timeout(self, now: float) -> float:
        """The time to the first deadline, or to an entry that will turn out to need repair."""
        return max(0.0, self.heap[0][0] - now) if self.last_s else inf

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those whose deadline has passed, the oldest due first."""
        gone: list[tuple[int, float]] = []
        repairs_left = REPAIRS_PER_CALL
        while repairs_left and len(gone) < budget and self.heap and self.heap[0][0] <= now:
            queued_due_s, id = self.heap[0]
            true_due_s = self.last_s.get(id, -inf) + self.timeout_s
            if true_due_s > queued_due_s:
                heapreplace(self.heap, (true_due_s, id))
                repairs_left -= 1
                continue
            heappop(self.heap)
            self._queued.discard(id)
            if self.last_s.pop(id, None) is None:
                repairs_left -= 1
            else:
                gone.append((id, true_due_s))
        self._shed_stale_entries()
        return gone

    def _shed_stale_entries(self) -> None:
        if len(self.heap) > 2 * len(self.last_s) + _STALE_ALLOWED:
            self.heap = [entry for entry in self.heap if entry[1] in self.last_s]
            heapify(self.heap)
            self._queued = set(self.last_s)


Expiry = Poll | Sweep | Deadline


def make_expiry(strategy: IdleStrategy, timeout_s: float, sweep_interval_s: float) -> Expiry:
    """The strategy of that name; with a timeout of 0 nobody expires. The interval is for sweep alone."""
    if strategy == "poll" and timeout_s:
        return Poll(timeout_s)
    if strategy == "sweep" and timeout_s:
        return Sweep(timeout_s, sweep_interval_s)
    return Deadline(timeout_s or inf)
