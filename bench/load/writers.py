"""The writers of a fan-out: they take equal shares of the lines, and throw away what comes as a reply."""

import os
import select

from bench.load.options import FanoutOptions
from bench.load.room import Room
from bench.load.unsent import Unsent
from bench.load.verify import line_of, numbered_line
from bench.load.wire import Wire

REPLY_BYTES = 1 << 16
MOST_REPLIES = 256


class Writers:
    """What sends. False when the server has closed the last of them."""

    def __init__(self, room: Room, options: FanoutOptions, wire: Wire) -> None:
        self.unsent = Unsent()
        self._wire = wire
        self._size = options.size
        self._verify = options.verify
        self._fds = dict(enumerate(sock.fileno() for sock in room.writers))
        self._order = list(self._fds)
        self._next = 0
        self._numbers = [0] * len(room.writers)
        self._most = options.window
        self._message_bytes = len(wire.message(line_of(options.size)))
        self._bulk = memoryview(wire.message(line_of(options.size)) * self._most)
        self._replies = select.epoll()
        self._replied = not room.writers_hear
        if self._replied:
            for sock in room.writers:
                self._replies.register(sock, select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._order)

    def send(self, lines: int) -> None:
        """Send so many lines, in shares that differ by at most one; the extra ones go round."""
        share, more = divmod(lines, len(self._order))
        for at in range(len(self._order) if share else more):
            writer = self._order[(self._next + at) % len(self._order)]
            left = share + (at < more)
            while left > 0:
                part = min(left, self._most)
                self.unsent.send(self._fds[writer], self._lines(writer, part))
                left -= part
        self._next = (self._next + more) % len(self._order)

    def read_replies(self) -> int:
        """Throw away what came to writers who are no readers; how many of them are gone."""
        gone = 0
        for fd, _ in self._replies.poll(0, MOST_REPLIES) if self._replied else ():
            try:
                data = os.read(fd, REPLY_BYTES)
            except OSError:
                data = b""
            if not data:
                self._replies.unregister(fd)
                self.drop(fd)
                gone += 1
        return gone

    def drop(self, fd: int) -> None:
        """Go on without the writer of this descriptor, if there is one."""
        self._order = [writer for writer in self._order if self._fds[writer] != fd]
        self._next = 0

    def close(self) -> None:
        """The connections stay open."""
        self._replies.close()

    def _lines(self, writer: int, lines: int) -> bytes | memoryview:
        if not self._verify:
            return self._bulk[: lines * self._message_bytes]
        first = self._numbers[writer]
        self._numbers[writer] += lines
        message, size = self._wire.message, self._size
        return b"".join(message(numbered_line(writer, first + at, size)) for at in range(lines))
