"""The clients of an echo, and the two loops that they may be in."""

import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from itertools import count

from bench.load.histogram import Histogram
from bench.load.options import EchoOptions
from bench.load.plan import MAX_EVENTS, RETRY_S, WAIT_S, Plan, wait
from bench.load.result import LoadError
from bench.load.stopwatch import Stopwatch, clock_s
from bench.load.unsent import Unsent
from bench.load.verify import line_of, numbered_line

READ_BYTES = 1 << 16
LAST_S = 5.0
"""The longest wait for the last answers of an open loop."""


class Clients:
    """The clients, once each has had its first line back."""

    def __init__(
        self,
        options: EchoOptions,
        sockets: Sequence[socket.socket],
        epoll: select.epoll,
        watch: Stopwatch,
        latency: Histogram,
    ) -> None:
        self.lost = 0
        self._options = options
        self._fds = [sock.fileno() for sock in sockets]
        self._watch = watch
        self._record = latency.record
        self._unsent = Unsent()
        self._epoll = epoll
        self._owed: dict[int, int] = {}
        """Closed loop: the bytes that are still to come, where a segment came in parts."""
        self._due_ns = {fd: deque[int]() for fd in self._fds}
        """Open loop: the planned moments of lines under way."""
        self._partial = dict.fromkeys(self._fds, 0)
        self._done = 0
        for fd in self._fds:
            self._epoll.register(fd, select.EPOLLIN)

    def _lose(self, fd: int) -> None:
        """Count a connection that the server closed; the run is over when it was the last."""
        self.lost += 1
        self._epoll.unregister(fd)
        self._fds.remove(fd)
        if not self._fds:
            self._watch.end()


class ClosedLoop(Clients):
    """Each client sends its next segment when the last one is back."""

    def run(self) -> None:
        """Until the watch is over."""
        segment = line_of(self._options.size) * self._options.depth
        whole, most = len(segment), len(segment) + 1
        depth, done = self._options.depth, 0
        sent_ns = [0] * (max(self._fds) + 1)
        watch, unsent, record = self._watch, self._unsent, self._record
        poll, read, write, clock_ns = self._epoll.poll, os.read, os.write, time.perf_counter_ns
        for fd in self._fds:
            sent_ns[fd] = clock_ns()
            unsent.send(fd, segment)
        watch.start()
        while not watch.over:
            events = poll(RETRY_S if unsent else WAIT_S, MAX_EVENTS)
            now_ns = clock_ns()
            for fd, _ in events:
                try:
                    got = len(read(fd, most))
                    if got != whole and not self._completes(fd, got, whole):
                        continue
                    done += depth
                    record(now_ns - sent_ns[fd])
                    sent_ns[fd] = clock_ns()
                    taken = write(fd, segment)
                    if taken != whole:
                        unsent.send(fd, segment[taken:])
                except OSError:
                    self._lose(fd)
            if unsent:
                unsent.flush()
            if (now := clock_s()) >= watch.due_s:
                watch.tick(now, done, 0)

    def run_verified(self) -> None:
        """With numbered lines that are compared when they are back; not for speed."""
        size, depth, rounds = self._options.size, self._options.depth, count()
        expected, done = dict.fromkeys(self._fds, b""), 0

        def send(fd: int) -> None:
            first = next(rounds) * depth
            expected[fd] = b"".join(numbered_line(0, first + at, size) for at in range(depth))
            self._unsent.send(fd, expected[fd])

        for fd in self._fds:
            send(fd)
        self._watch.start()
        while not self._watch.over:
            for fd, _ in self._epoll.poll(RETRY_S if self._unsent else WAIT_S, MAX_EVENTS):
                try:
                    data = os.read(fd, 1 << 16)
                    if not data:
                        raise ConnectionResetError
                    if not expected[fd].startswith(data):
                        raise LoadError(
                            f"--verify: {data[:100]!r} came where {expected[fd][:100]!r} was next"
                        )
                    done += data.count(b"\n")
                    expected[fd] = expected[fd][len(data) :]
                    if not expected[fd]:
                        send(fd)
                except OSError:
                    self._lose(fd)
            self._unsent.flush()
            if (now := clock_s()) >= self._watch.due_s:
                self._watch.tick(now, done, 0)

    def _completes(self, fd: int, got: int, whole: int) -> bool:
        """Whether a segment that comes in parts is whole now. Raises ConnectionResetError at a close."""
        if not got:
            raise ConnectionResetError
        left = self._owed.pop(fd, whole) - got
        if left > 0:
            self._owed[fd] = left
        return left <= 0


class OpenLoop(Clients):
    """The clients send in turn, each line at its planned moment."""

    def run(self) -> None:
        """Until the watch is over, and then until the last lines are back."""
        watch, line = self._watch, line_of(self._options.size)
        plan, turns = Plan(self._options.rate), count()
        watch.start()
        plan.start()
        while not watch.over:
            for planned_ns in plan.due():
                fd = self._fds[next(turns) % len(self._fds)]
                self._due_ns[fd].append(planned_ns)
                self._unsent.send(fd, line)
            self._turn(plan.wait_s())
            if (now := clock_s()) >= watch.due_s:
                watch.tick(now, self._done, 0)
        end_s = clock_s() + LAST_S
        while self.unanswered() and clock_s() < end_s:
            self._turn(WAIT_S)

    def unanswered(self) -> int:
        """Lines of clients that are still there, sent and not back."""
        return sum(len(self._due_ns[fd]) for fd in self._fds)

    def _turn(self, wait_s: float) -> None:
        events = wait(self._epoll, RETRY_S if self._unsent else wait_s)
        now_ns, size, record = time.perf_counter_ns(), self._options.size, self._record
        for fd, _ in events:
            try:
                got = len(os.read(fd, READ_BYTES))
            except OSError:
                got = 0
            if not got:
                self._lose(fd)
                continue
            due_ns = self._due_ns[fd]
            lines, self._partial[fd] = divmod(self._partial[fd] + got, size)
            for _ in range(min(lines, len(due_ns))):
                record(now_ns - due_ns.popleft())
            self._done += lines
        self._unsent.flush()
