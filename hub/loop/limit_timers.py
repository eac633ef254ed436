"""Timers of the limits that few clients are under at a time: exact, and by id.

Their methods are those of an idle strategy (hub/loop/timers.py), but none warns.
"""

from collections import OrderedDict
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Final

REPAIRS_PER_CALL: Final = 250
"""How many heap entries BackdatedLimit puts right in one call: 2 to 4 us each among twenty thousand."""

# Entries of forgotten ids that BackdatedLimit may carry, beside as many as there are live ones.
_STALE_ALLOWED: Final = 64


class Limit:
    """A limit that counts from now: the order of the touches is that of the dues."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.last_s: OrderedDict[int, float] = OrderedDict()

    def touch(self, id: int, now: float) -> None:
        """Move the deadline of `id` to `now` + timeout."""
        self.last_s[id] = now
        self.last_s.move_to_end(id)

    def renew(self, id: int, now: float) -> None:
        """The same for an id that is known; nothing happens if it is not."""
        if id in self.last_s:
            self.touch(id, now)

    def forget(self, id: int) -> None:
        """Drop an id."""
        self.last_s.pop(id, None)

    def timeout(self, now: float) -> float:
        """The time to the first deadline."""
        return max(0.0, next(iter(self.last_s.values()), inf) + self.timeout_s - now)

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Those whose deadline has passed, the oldest due first."""
        gone: list[tuple[int, float]] = []
        while len(gone) < budget and next(iter(self.last_s.values()), inf) + self.timeout_s <= now:
            id, last_s = self.last_s.popitem(last=False)
            gone.append((id, last_s + self.timeout_s))
        return gone


class BackdatedLimit:
    """A limit that counts from a time in the past, another for each id, so the dues come in any order.

    A heap that moves with every touch costs O(log n) each time, or fills with stale entries. Here a touch is
    one store into a table, and the heap may lag behind: it holds one entry per queued id, due no later than
    the id is. When an entry comes up, the table tells its true due: the id is gone and the entry is dropped,
    or it was touched since and the entry is pushed again with the true due, or its time is up.

    Forgotten ids leave their entry behind, to be found by themselves if they come back; past twice the live
    ids + 64 entries the heap is cleared of them. Repairs are budgeted: thousands may wait after a pause.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.last_s: dict[int, float] = {}
        self.heap: list[tuple[float, int]] = []
        self._queued: set[int] = set()

    def touch(self, id: int, at: float) -> None:
        """Move the deadline of `id` to `at` + timeout."""
        if id not in self.last_s and id not in self._queued:
            self._queued.add(id)
            heappush(self.heap, (at + self.timeout_s, id))
        self.last_s[id] = at

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
