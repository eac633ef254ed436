"""epoll: which descriptors are ready, and which readiness is wanted of each.

Level or edge triggered is one flag in the mask (EPOLLET), here and nowhere else; the listener and the
wake-up descriptor are always level-triggered. The mask that the kernel holds is remembered and compared,
so a change costs at most one epoll_ctl and no change costs none.

Two traps of epoll(7) bind whoever uses this. The kernel hands back only the descriptor's number, and
numbers are reused at once, so a batch of events must never close a descriptor. And HUP and ERR are
reported whatever the mask says: `quiet` is for a descriptor that is to be left alone all the same.
"""

import errno
import math
import select
from array import array
from collections.abc import Sequence
from typing import Final

from mypy_extensions import mypyc_attr

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
PRI: Final = select.EPOLLPRI
RDHUP: Final = select.EPOLLRDHUP
HUP: Final = select.EPOLLHUP
ERR: Final = select.EPOLLERR

EVENTS_PER_WAIT: Final = 1024


@mypyc_attr(allow_interpreted_subclasses=True)
class Poller:
    """An epoll instance. `trigger` is "level" or "edge"; `epoll` is given where the network is simulated."""

    def __init__(
        self, trigger: str, epoll: select.epoll | None = None, events_per_wait: int = EVENTS_PER_WAIT
    ) -> None:
        self.events_per_wait = events_per_wait
        self._epoll = epoll or select.epoll()
        self._edge = select.EPOLLET if trigger == "edge" else 0
        self._masks = array("q")
        """By descriptor what the kernel holds, -1 for nothing: a dict with its numbers takes 110 B each."""
        self._watched = 0
        self._waits = self._changes = 0
        self.round_begins = self.round_ends = True
        """What the last wait was of a round: at its end, all that was ready at its beginning is reported.

        A wait is a round; where batches are full, as many as take the ready list round once.
        """
        self._untold = 0

    def __len__(self) -> int:
        return self._watched

    @property
    def calls(self) -> dict[str, int]:
        """System calls so far, by kind."""
        return {"epoll_wait": self._waits, "epoll_ctl": self._changes}

    def wait(self, timeout_s: float) -> Sequence[tuple[int, int]]:
        """Ready descriptors with their event bits; infinity waits for ever.

        The kernel counts in whole milliseconds and Python rounds up, so a wait is never too short. What a
        full batch leaves out comes first in the next. When a signal ends a wait (epoll_wait(2), EINTR) whose
        time is over, as SIGCONT does, Python returns without another look (PEP 475): here it is made.
        """
        self._waits += 1
        events = self._epoll.poll(None if timeout_s == math.inf else timeout_s, self.events_per_wait)
        if not events and timeout_s != 0:
            self._waits += 1
            events = self._epoll.poll(0, self.events_per_wait)
        is_full = len(events) == self.events_per_wait
        self.round_begins = self.round_ends or not is_full
        if self.round_begins:
            self._untold = self._watched
        self._untold -= len(events)
        self.round_ends = self._untold <= 0 or not is_full
        return events

    def watch(self, fd: int) -> None:
        """Report input on a listener or the wake-up descriptor, level-triggered."""
        self._set(fd, IN)

    def want(self, fd: int, *, reading: bool, writing: bool) -> None:
        """Report input with the peer's end of it, or room for output, or both, on a client."""
        mask = self._edge
        if reading:
            mask |= IN | RDHUP
            if self._edge:  # recv(2) stops at an urgent byte, and nobody would tell of what is behind it.
                mask |= PRI
        if writing:
            mask |= OUT
        self._set(fd, mask)

    def quiet(self, fd: int) -> None:
        """Report HUP and ERR once more at most, for a dead peer that must not be closed yet."""
        self._set(fd, select.EPOLLET)

    def forget(self, fd: int) -> None:
        """Stop reporting on it. To be called before its close."""
        if self._known(fd) >= 0:
            self._masks[fd] = -1
            self._watched -= 1
            self._changes += 1
            try:
                self._epoll.unregister(fd)
            except OSError as error:
                if error.errno != errno.ENOMEM:  # epoll_ctl(2) allows it; the close takes it out.
                    raise

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._epoll.close()

    def _set(self, fd: int, mask: int) -> None:
        known = self._known(fd)
        if known == mask:
            return
        self._changes += 1
        if known >= 0:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
            self._watched += 1
            while len(self._masks) <= fd:
                self._masks.append(-1)
        self._masks[fd] = mask

    def _known(self, fd: int) -> int:
        return self._masks[fd] if 0 <= fd < len(self._masks) else -1
