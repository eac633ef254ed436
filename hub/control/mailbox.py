"""The one way into the loop's thread: a deque of commands, and an eventfd that is only the doorbell.

Other threads and signal handlers post; the loop takes everything at one fixed step of its turn. The
eventfd carries no information: a thousand posts may ring once, and a ring may find nothing.
Source: eventfd(2); the queue must not be in the pipe, where it can overflow or be lost.

A signal needs a bell of its own. Python runs the handler between two instructions, so one that comes just
before epoll_wait would wait as long as that does (seen: up to a second, 1 in 500). The interpreter's
C-level handler writes a byte to the descriptor of signal.set_wakeup_fd at once, and that ends the wait. The
bell must be a pipe: an eventfd refuses single bytes.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hub.control.snapshots import ClientRow, ClosedClient, RoomRow


class Stop(NamedTuple):
    """Stop accepting, say farewell, flush, end. `signal` is the number that asked for it, or 0."""

    signal: int = 0


class WantRows(NamedTuple):
    """`reply` gets the rows of all open clients, taken after this command was read, in slices."""

    reply: Callable[[Sequence[ClientRow]], None]


class WantClient(NamedTuple):
    """`reply` gets the row of the open client with this id, or None."""

    id: int
    reply: Callable[[ClientRow | None], None]


class WantClosed(NamedTuple):
    """`reply` gets at most `limit` closed clients, newest first, after skipping `offset`, and how many are
    kept."""

    offset: int
    limit: int
    reply: Callable[[tuple[Sequence[ClosedClient], int]], None]


class WantRooms(NamedTuple):
    """`reply` gets at most `limit` rooms, largest first, after skipping `offset`, and how many there are."""

    offset: int
    limit: int
    reply: Callable[[tuple[Sequence[RoomRow], int]], None]


Command = Stop | WantRows | WantClient | WantClosed | WantRooms


class Mailbox:
    """Commands from other threads to the loop, in order per sender.

    `bells` is what the loop has to watch: readable when somebody posted, or when a signal came.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._signalled, self.signal_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.bells: tuple[int, ...] = (self._doorbell, self._signalled)

    @property
    def has_commands(self) -> bool:
        """Whether somebody posted. The bell is only a hint: a ring may be lost."""
        return bool(self._commands)

    def post(self, command: Command) -> None:
        """Leave a command and ring. Safe from any thread and from a signal handler; never blocks."""
        self._commands.append(command)
        self.ring()

    def take(self, budget: int) -> list[Command]:
        """At most `budget` commands in the order they came. Stops the bell once nothing is left."""
        taken = [self._commands.popleft() for _ in range(min(budget, len(self._commands)))]
        if not self._commands:
            self._silence()
            if self._commands:  # Posted between the look and the reading: ring again for the next turn.
                self.ring()
        return taken

    def close(self) -> None:
        """Give the descriptors back. Nobody may post afterwards."""
        for fd in (*self.bells, self.signal_fd):
            os.close(fd)

    def ring(self) -> None:
        """End the loop's wait. Safe from any thread."""
        with contextlib.suppress(BlockingIOError):  # Where the counter is full, the bell is ringing already.
            os.eventfd_write(self._doorbell, 1)

    def _silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._doorbell)
        with contextlib.suppress(BlockingIOError):
            os.read(self._signalled, 4096)
