"""Who has been idle too long: three strategies behind four methods, and time is always an argument.

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
from typing import ClassVar, Final, Protocol

from hub.config.settings import IdleStrategy

EVENT: Final = 0
"""Not a client: "some client or the listener had an event". Only Poll counts it, the others ignore it."""

REPAIRS_PER_CALL: Final = 250
"""How many heap entries Deadline puts right in one call: 2 to 4 us each among twenty thousand."""

EXAMINED_PER_CALL: Final = 1000
"""How many table entries Sweep looks at in one call: 0.1 to 0.2 us each."""

# Entries of forgotten ids that Deadline may carry, beside as many as there are live ones.
_STALE_ALLOWED: Final = 64


class Expiry(Protocol):
    """Which ids had no activity for a whole timeout."""

    counts_events: ClassVar[bool]
    """Whether `touch(EVENT, now)` does anything, so that the loop may leave the call out."""

    def touch(self, id: int, now: float) -> None:
        """`id` was active at `now`. An id that is not known, or no longer, is known from here on."""

    def forget(self, id: int) -> None:
        """`id` is gone; nothing happens if it was not known."""

    def timeout(self, now: float) -> float | None:
        """Seconds until `expired` should be called: 0.0 if work is waiting, None if nobody can expire.

        Not capped: epoll_wait(2) takes less than 25 days, so its caller takes the minimum.
        """

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """At most `budget` (>= 1) ids whose time is up, each with the moment it was due; forgets them."""


class Never:
    """No timeout: nobody expires, and nothing is kept."""

    counts_events: ClassVar[bool] = False

    def touch(self, id: int, now: float) -> None:
        """Nothing to note."""

    def forget(self, id: int) -> None:
        """Nothing to forget."""

    def timeout(self, now: float) -> float | None:
        """Never."""
        return None

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Nobody."""
        return []


class Poll:
    """The easy way: the wait itself times out, and then everybody goes.

    It is what `poll(timeout)` returning 0 gives for nothing: no event for a whole timeout means that every
    client has been idle for at least as long. The reverse does not hold, and that is the lesson: one busy
    client keeps all the idle ones alive. One store per activity, one comparison per turn, no table of times.

    All are due at the same moment, the last event + timeout, and are handed out in slices. The verdict
    stands while they are: an event of somebody else between two slices (a peer that answers its farewell
    is one) reprieves nobody, but a client that is itself active then lives on, since none may go early.
    """

    counts_events: ClassVar[bool] = True

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last_event_s = 0.0
        self._alive: dict[int, None] = {}
        self._condemned: dict[int, None] = {}
        self._condemned_due_s = 0.0

    def touch(self, id: int, now: float) -> None:
        """Restart the clock for all; EVENT does so without registering anybody."""
        self._last_event_s = now
        if id not in self._alive:
            self._enter(id)

    def forget(self, id: int) -> None:
        """Drop an id, condemned or not."""
        self._alive.pop(id, None)
        self._condemned.pop(id, None)

    def timeout(self, now: float) -> float | None:
        """The rest of the timeout since the last event of all."""
        if self._condemned:
            return 0.0
        if not self._alive:
            return None
        return max(0.0, self._last_event_s + self._timeout_s - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """A slice of those condemned, all with the same due."""
        if not self._condemned:
            self._judge(now)
        count = min(budget, len(self._condemned))
        return [(self._condemned.popitem()[0], self._condemned_due_s) for _ in range(count)]

    def _enter(self, id: int) -> None:
        if id != EVENT:
            self._condemned.pop(id, None)
            self._alive[id] = None

    def _judge(self, now: float) -> None:
        due_s = self._last_event_s + self._timeout_s
        if due_s <= now:
            self._condemned, self._alive = self._alive, self._condemned
            self._condemned_due_s = due_s


class Sweep:
    """Mark and sweep: each activity marks the time in a table, and the table is looked through now and then.

    One store per activity. Once an interval every entry is looked at, at most EXAMINED_PER_CALL in one turn,
    so an idle client goes at most one interval late, plus the turns that the slices take. A shorter interval
    buys accuracy with wake-ups and with looks at clients that are not idle: interval and table size decide
    the cost, not the number of those who expire.

    A sweep walks over a copy of the table's keys, so touches and forgets meanwhile cannot disturb it: who is
    gone is passed over, who is new waits for the next one. (Copying ten thousand keys takes about 0.1 ms;
    walking the table itself in slices is a RuntimeError as soon as it changes.)
    """

    counts_events: ClassVar[bool] = False

    def __init__(self, timeout_s: float, interval_s: float) -> None:
        self._timeout_s = timeout_s
        self._interval_s = interval_s
        self._last_s: dict[int, float] = {}
        self._next_sweep_s = 0.0
        self._to_examine: list[int] = []

    def touch(self, id: int, now: float) -> None:
        """Mark the time."""
        if id in self._last_s:
            self._last_s[id] = now
        else:
            self._enter(id, now)

    def forget(self, id: int) -> None:
        """Drop an id from the table."""
        self._last_s.pop(id, None)

    def timeout(self, now: float) -> float | None:
        """The time to the next sweep, 0.0 in the middle of one."""
        if not self._last_s:
            return None
        if self._to_examine:
            return 0.0
        return max(0.0, self._next_sweep_s - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those found idle in the next slice of the sweep, in the order of the table, not of their dues."""
        if not self._to_examine:
            self._begin(now)
        gone: list[tuple[int, float]] = []
        for _ in range(min(EXAMINED_PER_CALL, len(self._to_examine))):
            if len(gone) == budget:
                break
            id = self._to_examine.pop()
            last_s = self._last_s.get(id)
            if last_s is not None and last_s + self._timeout_s <= now:
                del self._last_s[id]
                gone.append((id, last_s + self._timeout_s))
        return gone

    def _enter(self, id: int, now: float) -> None:
        if id == EVENT:
            return
        if not self._last_s:
            self._to_examine.clear()
            self._next_sweep_s = now + self._interval_s
        self._last_s[id] = now

    def _begin(self, now: float) -> None:
        """Start a sweep if one is due. The next is measured from here, so a late loop does not catch up."""
        if self._next_sweep_s <= now:
            self._next_sweep_s = now + self._interval_s
            self._to_examine = list(reversed(self._last_s))


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

    It serves any timer of one duration: idle, the warning before it, the limits of closing and of progress.
    """

    counts_events: ClassVar[bool] = False

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last_s: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def touch(self, id: int, now: float) -> None:
        """Move the deadline of `id` to `now` + timeout."""
        if id in self._last_s:
            self._last_s[id] = now
        else:
            self._enter(id, now)

    def forget(self, id: int) -> None:
        """Drop an id; its heap entry follows later."""
        if self._last_s.pop(id, None) is not None:
            self._shed_stale_entries()

    def timeout(self, now: float) -> float | None:
        """The time to the first deadline, or to an entry that will turn out to need repair."""
        if not self._last_s:
            return None
        return max(0.0, self._heap[0][0] - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those whose deadline has passed, the oldest due first."""
        gone: list[tuple[int, float]] = []
        repairs_left = REPAIRS_PER_CALL
        while repairs_left and len(gone) < budget and self._heap and self._heap[0][0] <= now:
            queued_due_s, id = self._heap[0]
            true_due_s = self._true_due_s(id)
            if true_due_s == queued_due_s:
                self._drop_first()
                del self._last_s[id]
                gone.append((id, true_due_s))
                continue
            repairs_left -= 1
            if true_due_s is None:
                self._drop_first()
            else:
                heapreplace(self._heap, (true_due_s, id))
        self._shed_stale_entries()
        return gone

    def _enter(self, id: int, now: float) -> None:
        if id == EVENT:
            return
        self._last_s[id] = now
        if id not in self._queued:
            self._queued.add(id)
            heappush(self._heap, (now + self._timeout_s, id))

    def _true_due_s(self, id: int) -> float | None:
        last_s = self._last_s.get(id)
        return None if last_s is None else last_s + self._timeout_s

    def _drop_first(self) -> None:
        self._queued.discard(heappop(self._heap)[1])

    def _shed_stale_entries(self) -> None:
        if len(self._heap) > 2 * len(self._last_s) + _STALE_ALLOWED:
            self._heap = [entry for entry in self._heap if entry[1] in self._last_s]
            heapify(self._heap)
            self._queued = set(self._last_s)


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
