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

An id is a client's number, from 1 up. Times are seconds on one clock that never goes back. The loop asks
`timeout` before it waits, and calls `expired` after it, or after a later wait, until `timeout` is not 0.0.
"""

from heapq import heapify, heappop, heappush, heapreplace
from typing import ClassVar, Final

from hub.config.settings import IdleStrategy
from hub.loop.expiry import EVENT, Expiry, Never

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

    counts_events: ClassVar[bool] = True

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.last_event_s = 0.0
        self.alive: dict[int, None] = {}
        self.condemned: dict[int, None] = {}
        self._condemned_due_s = 0.0

    def touch(self, id: int, now: float) -> None:
        """Restart the clock for all; EVENT does so without registering anybody."""
        self.last_event_s = now
        if id not in self.alive:
            self._enter(id)

    def forget(self, id: int) -> None:
        """Drop an id, condemned or not."""
        self.alive.pop(id, None)
        self.condemned.pop(id, None)

    def timeout(self, now: float) -> float | None:
        """The rest of the timeout since the last event of all."""
        if self.condemned:
            return 0.0
        if not self.alive:
            return None
        return max(0.0, self.last_event_s + self.timeout_s - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """A slice of those condemned, all with the same due."""
        if not self.condemned:
            self._judge(now)
        count = min(budget, len(self.condemned))
        return [(self.condemned.popitem()[0], self._condemned_due_s) for _ in range(count)]

    def _enter(self, id: int) -> None:
        if id != EVENT:
            self.condemned.pop(id, None)
            self.alive[id] = None

    def _judge(self, now: float) -> None:
        due_s = self.last_event_s + self.timeout_s
        if due_s <= now:
            self.condemned, self.alive = self.alive, self.condemned
            self._condemned_due_s = due_s


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

    counts_events: ClassVar[bool] = False

    def __init__(self, timeout_s: float, interval_s: float) -> None:
        self.timeout_s = timeout_s
        self._interval_s = interval_s
        self.last_s: dict[int, float] = {}
        self.next_sweep_s = 0.0
        self.to_examine: list[int] = []

    def touch(self, id: int, now: float) -> None:
        """Mark the time."""
        if id in self.last_s:
            self.last_s[id] = now
        else:
            self._enter(id, now)

    def forget(self, id: int) -> None:
        """Drop an id from the table."""
        self.last_s.pop(id, None)

    def timeout(self, now: float) -> float | None:
        """The time to the next sweep, 0.0 in the middle of one."""
        if not self.last_s:
            return None
        if self.to_examine:
            return 0.0
        return max(0.0, self.next_sweep_s - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those found idle in the next slice of the sweep, in the order of the table, not of their dues."""
        if not self.to_examine:
            self._begin(now)
        gone: list[tuple[int, float]] = []
        for _ in range(min(EXAMINED_PER_CALL, len(self.to_examine))):
            if len(gone) == budget:
                break
            id = self.to_examine.pop()
            last_s = self.last_s.get(id)
            if last_s is not None and last_s + self.timeout_s <= now:
                del self.last_s[id]
                gone.append((id, last_s + self.timeout_s))
        return gone

    def _enter(self, id: int, now: float) -> None:
        if id == EVENT:
            return
        if not self.last_s:
            self.to_examine.clear()
            self.next_sweep_s = now + self._interval_s
        self.last_s[id] = now

    def _begin(self, now: float) -> None:
        """Start a sweep if one is due. The next is measured from here, so a late loop does not catch up."""
        if self.next_sweep_s <= now:
            self.next_sweep_s = now + self._interval_s
            self.to_examine = list(reversed(self.last_s))


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
    of progress.
    """

    counts_events: ClassVar[bool] = False

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.last_s: dict[int, float] = {}
        self.heap: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def touch(self, id: int, now: float) -> None:
        """Move the deadline of `id` to `now` + timeout."""
        if id in self.last_s:
            self.last_s[id] = now
        else:
            self._enter(id, now)

    def renew(self, id: int, now: float) -> None:
        """The same for an id that is known; nothing happens if it is not."""
        if id in self.last_s:
            self.last_s[id] = now

    def forget(self, id: int) -> None:
        """Drop an id; its heap entry follows later."""
        if self.last_s.pop(id, None) is not None:
            self._shed_stale_entries()

    def timeout(self, now: float) -> float | None:
        """The time to the first deadline, or to an entry that will turn out to need repair."""
        if not self.last_s:
            return None
        return max(0.0, self.heap[0][0] - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those whose deadline has passed, the oldest due first."""
        gone: list[tuple[int, float]] = []
        repairs_left = REPAIRS_PER_CALL
        while repairs_left and len(gone) < budget and self.heap and self.heap[0][0] <= now:
            queued_due_s, id = self.heap[0]
            true_due_s = self._true_due_s(id)
            if true_due_s == queued_due_s:
                self._drop_first()
                del self.last_s[id]
                gone.append((id, true_due_s))
                continue
            repairs_left -= 1
            if true_due_s is None:
                self._drop_first()
            else:
                heapreplace(self.heap, (true_due_s, id))
        self._shed_stale_entries()
        return gone

    def _enter(self, id: int, now: float) -> None:
        if id == EVENT:
            return
        self.last_s[id] = now
        if id not in self._queued:
            self._queued.add(id)
            heappush(self.heap, (now + self.timeout_s, id))

    def _true_due_s(self, id: int) -> float | None:
        last_s = self.last_s.get(id)
        return None if last_s is None else last_s + self.timeout_s

    def _drop_first(self) -> None:
        self._queued.discard(heappop(self.heap)[1])

    def _shed_stale_entries(self) -> None:
        if len(self.heap) > 2 * len(self.last_s) + _STALE_ALLOWED:
            self.heap = [entry for entry in self.heap if entry[1] in self.last_s]
            heapify(self.heap)
            self._queued = set(self.last_s)


def make_expiry(strategy: IdleStrategy, timeout_s: float, sweep_interval_s: float) -> Expiry:
    """The strategy of that name; with a timeout of 0 it is Never. `sweep_interval_s` is for sweep alone."""
    if timeout_s == 0:
        return Never()
    match strategy:
        case "poll":
            return Poll(timeout_s)
        case "sweep":
            return Sweep(timeout_s, sweep_interval_s)
        case "deadline":
            return Deadline(timeout_s)
