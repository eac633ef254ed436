"""The part of a kernel that the hub talks to: descriptors, epoll, an eventfd, and a clock.

What it imitates, each held against the real thing in test_kernel.py: the lowest free number is given out,
and at once again (open(2)); EMFILE comes before anything else is looked at (accept(2)); epoll keeps a ready
list, an event is what is true when it is reported, so several changes merge into one (epoll(7)); a
level-triggered item stays on the list until it is found not ready, an edge-triggered one leaves it when it
is reported; HUP and ERR are reported whatever the mask says; changing a mask looks anew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import select
from collections.abc import Callable
from itertools import count
from typing import NoReturn

IN, OUT, ERR, HUP, RDHUP = (
    select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP, select.EPOLLRDHUP
)  # fmt: skip
EVERYTHING = 0xFFFFFFFF
"""The key of a wake-up that says nothing more exact."""
CALL_S = 1e-6
"""What a system call takes."""


MOST_CALLS = 20_000
"""So many in one turn are no turn any more."""


class Violation(AssertionError):
    """Something happened that must never happen."""


def fail(*what: object) -> NoReturn:
    """What is wrong, as one text. `so or fail(...)` makes the text only where it is needed."""
    raise Violation(" ".join(map(str, what)))


def error(number: int) -> OSError:
    """What Python raises for it: OSError, or the class that it has for this number."""
    return OSError(number, os.strerror(number))


class Description:
    """What a descriptor stands for. Its state is asked for with `events`, its changes are told to epoll."""

    def __init__(self) -> None:
        self.watchers: list[Item] = []
        self.was_watched = False

    def events(self) -> int:
        """What poll(2) would say."""
        return 0

    def release(self) -> None:
        """The last descriptor of it is closed."""

    def wake(self, key: int = EVERYTHING) -> None:
        """Something changed that whoever waits for `key` may want to know."""
        for item in self.watchers:
            if item.mask & key or key == EVERYTHING:
                item.epoll.ready[item] = None


class Item:
    """A descriptor in an epoll, and what is wanted of it."""

    def __init__(self, epoll: Epoll, fd: int, of: Description, mask: int) -> None:
        self.epoll, self.fd, self.of = epoll, fd, of
        self.mask = mask

    def set(self, mask: int) -> None:
        """HUP and ERR are always in it."""
        self.mask = mask | ERR | HUP
        if self.of.events() & self.mask:
            self.epoll.ready[self] = None


class Bell(Description):
    rung = 0

    def events(self) -> int:
        """Readable while it has rung."""
        return IN if self.rung else 0

    def ring(self) -> None:
        self.rung += 1
        self.wake(IN)


class Epoll(Description):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.items: dict[int, Item] = {}
        self.ready: dict[Item, None] = {}
        self._was_in_vain = False

    def register(self, fd: int, mask: int) -> None:
        self.kernel.called("epoll_add", fd, mask)
        if fd in self.items:
            raise error(errno.EEXIST)
        item = self.items[fd] = Item(self, fd, self.kernel.open_at(fd), mask)
        item.of.watchers.append(item)
        item.of.was_watched = True
        item.set(mask)

    def modify(self, fd: int, mask: int) -> None:
        self.kernel.called("epoll_mod", fd, mask)
        self._item(fd).set(mask)

    def unregister(self, fd: int) -> None:
        self.kernel.called("epoll_del", fd)
        self._drop(self._item(fd))

    def poll(self, timeout_s: float | None = None, most: int = -1) -> list[tuple[int, int]]:
        """What is ready, after a wait in which the network goes on; a second look adds no time."""
        if timeout_s != 0 or not self._was_in_vain:
            self.kernel.wait(timeout_s)
        events = self.collect(most)
        self._was_in_vain = timeout_s != 0 and not events
        self.kernel.called("epoll_wait", len(events), *(value for event in events for value in event))
        return events

    def collect(self, most: int = -1) -> list[tuple[int, int]]:
        """Walk over the ready list. What the walk does not get to is first the next time; level is last."""
        found: list[tuple[int, int]] = []
        left: dict[Item, None] = {}
        again: dict[Item, None] = {}
        for item in self.ready:
            if len(found) == most:
                left[item] = None
                continue
            events = item.of.events() & item.mask
            if events:
                found.append((item.fd, events))
                if not item.mask & select.EPOLLET:
                    again[item] = None
        self.ready = left | again
        return found

    def has_events(self) -> bool:
        return any(item.of.events() & item.mask for item in self.ready)

    def close(self) -> None:
        """Nothing to give back."""

    def let_go(self, of: Description) -> None:
        for item in [item for item in of.watchers if item.epoll is self]:
            self._drop(item)

    def _item(self, fd: int) -> Item:
        self.kernel.open_at(fd)
        if fd not in self.items:
            raise error(errno.ENOENT)
        return self.items[fd]

    def _drop(self, item: Item) -> None:
        del self.items[item.fd]
        item.of.watchers.remove(item)
        self.ready.pop(item, None)


class Kernel:
    """Descriptors and time. Everything that the hub calls is counted, and goes into the trace."""

    def __init__(self, most_descriptors: int = 1 << 20) -> None:
        self.now = 1000.0
        self.most_descriptors = most_descriptors
        self.calls = self.calls_before = 0
        """In all, and before this turn."""
        self.useful = 0
        """Calls that moved something: the opposite of spinning."""
        self.fds: dict[int, Description] = {fd: Description() for fd in range(3)}
        self.epoll = Epoll(self)
        self.epoll_fd = self.open(self.epoll)
        self.accept_errors: list[int] = []
        """What the next accepts fail with."""
        self.accepted = 0
        self.woke_at = self.now
        """When the wait ended in which the turn under way began."""
        self.on_wait: Callable[[float | None], None] = lambda timeout_s: None
        self.on_call: Callable[[], None] | None = None
        """Something that happens while the hub is in the middle of a turn."""
        self.may_close = True
        """Whether this is the step in which the descriptor of a client may be closed."""
        self._noted: list[tuple[object, ...]] = []

    # Descriptors.

    def open(self, of: Description) -> int:
        if len(self.fds) >= self.most_descriptors:
            raise error(errno.EMFILE)
        fd = next(number for number in count() if number not in self.fds)
        self.fds[fd] = of
        return fd

    def open_at(self, fd: int) -> Description:
        if fd not in self.fds:
            raise error(errno.EBADF)
        return self.fds[fd]

    def close(self, fd: int) -> None:
        of = self.open_at(fd)
        if of.watchers and not isinstance(of, Bell):
            raise Violation(f"descriptor {fd} is closed while epoll still has it")
        del self.fds[fd]
        self.epoll.let_go(of)
        of.release()

    # The hub's calls.

    def called(self, name: str, *values: object) -> None:
        """A system call of the hub takes time, and others do something meanwhile."""
        self.calls += 1
        self.now += CALL_S
        if self.calls - self.calls_before > MOST_CALLS:
            raise Violation(f"{MOST_CALLS} calls in one turn")
        self._noted.append((name, *values))
        if self.on_call is not None:
            self.on_call()

    def wait(self, timeout_s: float | None) -> None:
        """Let the network go on for as long as the hub waits."""
        self.on_wait(timeout_s)
        self.woke_at = self.now

    def clock(self) -> float:
        """Seconds; it never goes back, and two looks at it differ."""
        self.now += CALL_S / 10
        return self.now

    def note(self, *values: object) -> None:
        self._noted.append(values)

    @property
    def trace(self) -> str:
        return hashlib.blake2b("".join(map(repr, self._noted)).encode(), digest_size=8).hexdigest()
