"""The schedule of an open loop, and a wait that is exact enough for it."""

import select
import time
from collections.abc import Iterator

MAX_EVENTS = 256
WAIT_S = 0.05
"""The longest wait, so that a loop looks at its clock."""
RETRY_S = 0.001
"""The longest wait while the kernel refuses bytes."""


class Plan:
    """Evenly spaced moments, so many a second."""

    def __init__(self, rate: float) -> None:
        self._step_ns = 1e9 / rate
        self._start_ns = 0
        self._number = 0

    def start(self) -> None:
        """The first moment is now."""
        self._start_ns = time.perf_counter_ns()

    def due(self) -> Iterator[int]:
        """The moments that have passed and were not given out yet, in nanoseconds of perf_counter_ns."""
        now_ns = time.perf_counter_ns()
        while (planned_ns := self._start_ns + int(self._number * self._step_ns)) <= now_ns:
            self._number += 1
            yield planned_ns

    def wait_s(self) -> float:
        """The time until the next moment, at most WAIT_S."""
        next_ns = self._start_ns + int(self._number * self._step_ns)
        return min(WAIT_S, max(0.0, (next_ns - time.perf_counter_ns()) / 1e9))


def wait(epoll: select.epoll, timeout_s: float) -> list[tuple[int, int]]:
    """The events of an epoll. Its own timeout is rounded up to milliseconds; select(2) knows microseconds."""
    if timeout_s > 0.0:
        select.select([epoll], [], [], timeout_s)
    return epoll.poll(0, MAX_EVENTS)
