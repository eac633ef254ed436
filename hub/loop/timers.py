"""Timers for clients that are idle too long: three strategies behind the same methods, and time is always an
argument.

The lecture behind this project puts one question: a server must close a connection on which nothing
happened for a while; how does it know when, with thousands of them? Three answers, from easy to exact:

strategy   an activity costs            a turn costs                        how late
poll       one store                    one comparison                      for ever, while anyone is busy
sweep      one store                    a look at every client              up to one interval
                                        once an interval, in slices
deadline   a move to a list's end       one comparison                      not at all

Late is what the strategy adds; the rest of a turn and the rounding of epoll_wait(2) to milliseconds come
on top. None is ever early: nobody is expired before a whole timeout has passed since its last activity.

What a strategy knows of a client stands in the client (hub/session/timed.py): when it was last active, and
its neighbours in one list. So an idle client costs two pointers, and no call works on all clients at once.
Times are seconds on one clock that never goes back. The methods:

touch      the client was active; one that is not in the list, or no longer, is from here on
forget     the client is gone; nothing happens if it was not in the list
timeout    seconds until `expired` should be called: 0.0 if work is waiting, infinite if nobody can expire
expired    at most `budget` (>= 1) ids whose time is up, each with the moment it was due; they are forgotten
warned     at most `budget` ids that are to be warned of it; called after `expired`

The loop asks `timeout` before it waits, and calls the last two after it, or after a later wait, until
`timeout` is not 0.0. No timeout is capped: epoll_wait(2) takes less than 25 days, so the caller takes the
minimum.
"""

from math import inf
from typing import Final

from hub.config.settings import IdleStrategy
from hub.session.timed import Timed, TimedList, after, before

EXAMINED_PER_CALL: Final = 1000
"""How many clients a walk looks at in one call: 0.1 to 0.2 us each."""


class _Walk:
    """Clients in the order in which they came, and a walk through them in slices.

    Touches and forgets between two slices cannot disturb it: a client that has left is passed over, and one
    that was active after the moment that the walk judges is not due.
    """

    def __init__(self, timeout_s: float, warn_after_s: float) -> None:
        self.timeout_s, self._warn_after_s = timeout_s, warn_after_s
        self.clients = TimedList()
        self.next = self.clients.end
        """The client that the walk looks at next; the end while there is no walk."""
        self._judged_s = self._judged_before_s = -inf
        """The moment that this walk judges, and that of the walk before."""
        self._to_warn: list[int] = []

    def forget(self, timed: Timed) -> None:
        """Drop a client."""
        if timed is self.next:
            self.next = after(timed)
        self.clients.remove(timed)

    def warned(self, now: float, budget: int) -> list[int]:
        """Those that the last slice found."""
        found, self._to_warn = self._to_warn, []
        return found

    def _wait_s(self, begins_s: float, now: float) -> float:
        if self.next is not self.clients.end:
            return 0.0
        return inf if self.clients.is_empty else max(0.0, begins_s - now)

    def _begin(self, judged_s: float) -> None:
        self.next = self.clients.first
        self._judged_before_s, self._judged_s = self._judged_s, judged_s

    def _slice(self, budget: int) -> list[tuple[int, float]]:
        """Those of the next few whose time is up; to be warned are those that were not in the walk before."""
        gone: list[tuple[int, float]] = []
        for _ in range(EXAMINED_PER_CALL):
            timed = self.next
            if timed is self.clients.end or len(gone) == budget or len(self._to_warn) == budget:
                break
            self.next = after(timed)
            due_s = timed.active_at + self.timeout_s
            if due_s <= self._judged_s:
                self.clients.remove(timed)
                gone.append((timed.id, due_s))
            elif self._judged_before_s < timed.active_at + self._warn_after_s <= self._judged_s:
                self._to_warn.append(timed.id)
        return gone


class Poll(_Walk):
    """The easy way: the wait itself times out, and then everybody goes.

    This is what `poll(timeout)` returning 0 gives for nothing: no event for a whole timeout means that every
    client has been idle for at least as long. The reverse does not hold, and that is the lesson: one busy
    client keeps all the idle ones alive. An activity costs a store, a turn a comparison, and nobody looks at
    the clients. As it knows of nobody in particular, this strategy cannot warn.

    All are due at the same moment, the last event + timeout, and are handed out in slices. The verdict
    stands while they are: an event of somebody else between two slices (a peer that answers its farewell
    is one) reprieves nobody, but a client that is itself active then lives on, since none may go early.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s, inf)
        self.last_event_s = 0.0
        """When a client or a listener last had an event: the loop sets it."""

    def touch(self, timed: Timed, now: float) -> None:
        """Restart the clock for all."""
        self.last_event_s = timed.active_at = now
        if timed.later is None:
            self.clients.move_to_end(timed)

    def timeout(self, now: float) -> float:
        """The rest of the timeout since the last event of all."""
        return self._wait_s(self.last_event_s + self.timeout_s, now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """A slice of those condemned, all with the same due."""
        due_s = self.last_event_s + self.timeout_s
        if self.next is self.clients.end and due_s <= now:
            self._begin(due_s)
        return [(id, self._judged_s) for id, _ in self._slice(budget)]


class Sweep(_Walk):
    """Mark and sweep: each activity marks the time in its client, and now and then all clients are looked at.

    An activity costs a store. Once an interval every client is looked at, at most EXAMINED_PER_CALL in one
    turn, so an idle client goes at most one interval late, plus the turns that the slices take. A shorter
    interval buys accuracy with wake-ups and with looks at clients that are not idle: interval and number of
    clients decide the cost, not the number of those who expire.
    """

    def __init__(self, timeout_s: float, interval_s: float, warn_after_s: float = inf) -> None:
        super().__init__(timeout_s, warn_after_s)
        self._interval_s = interval_s
        self.next_sweep_s = 0.0

    def touch(self, timed: Timed, now: float) -> None:
        """Mark the time."""
        timed.active_at = now
        if timed.later is None:
            if self.clients.is_empty:
                self.next_sweep_s = now + self._interval_s
            self.clients.move_to_end(timed)

    def timeout(self, now: float) -> float:
        """The time to the next sweep, 0.0 in the middle of one."""
        return self._wait_s(self.next_sweep_s, now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those found idle in the next slice of the sweep, in the order of the list, not of their dues.

        The sweep after the one that begins now is measured from here, so a late loop does not catch up.
        """
        if self.next is self.clients.end and self.next_sweep_s <= now:
            self.next_sweep_s = now + self._interval_s
            self._begin(now)
        return self._slice(budget)


class Deadline:
    """Exact: since all have the same timeout, the order of their last activities is that of their dues.

    A heap of deadlines would cost O(log n) at each activity, or fill with stale entries. Here a client that
    was active moves to the end of a list, so the oldest due stands in front, and what is not yet due ends
    the search. Not late at all.

    A warning is a second deadline in the same list: the client warned last divides those that were warned
    from those that are still to be. With an infinite timeout nobody expires.
    """

    def __init__(self, timeout_s: float, warn_after_s: float = inf) -> None:
        self.timeout_s, self._warn_after_s = timeout_s, warn_after_s
        self.clients = TimedList()
        self._warned = self.clients.end
        """The last of those that were warned; the end, before the first, when nobody was."""

    def touch(self, timed: Timed, now: float) -> None:
        """Move the client to the end, and its deadline to `now` + timeout."""
        if timed is self._warned:
            self._warned = before(timed)
        timed.active_at = now
        self.clients.move_to_end(timed)

    def forget(self, timed: Timed) -> None:
        """Drop a client."""
        if timed is self._warned:
            self._warned = before(timed)
        self.clients.remove(timed)

    def timeout(self, now: float) -> float:
        """The time to the first deadline or the first warning."""
        due_s = self.clients.first.active_at + self.timeout_s
        warning_s = after(self._warned).active_at + self._warn_after_s
        return max(0.0, min(due_s, warning_s) - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those whose deadline has passed, the oldest due first."""
        gone: list[tuple[int, float]] = []
        timed = self.clients.first
        while len(gone) < budget and timed.active_at + self.timeout_s <= now:
            gone.append((timed.id, timed.active_at + self.timeout_s))
            self.forget(timed)
            timed = self.clients.first
        return gone

    def warned(self, now: float, budget: int) -> list[int]:
        """Those whose warning is due, in the order of their dues."""
        found: list[int] = []
        timed = after(self._warned)
        while len(found) < budget and timed.active_at + self._warn_after_s <= now:
            found.append(timed.id)
            self._warned, timed = timed, after(timed)
        return found


Expiry = Poll | Sweep | Deadline


def make_expiry(
    strategy: IdleStrategy, timeout_s: float, sweep_interval_s: float, warn_after_s: float = inf
) -> Expiry:
    """The strategy of that name; with a timeout of 0 nobody expires. The interval is for sweep alone."""
    if strategy == "poll" and timeout_s:
        return Poll(timeout_s)
    if strategy == "sweep" and timeout_s:
        return Sweep(timeout_s, sweep_interval_s, warn_after_s)
    return Deadline(timeout_s or inf, warn_after_s)
