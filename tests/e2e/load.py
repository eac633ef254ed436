"""Load for the overload tests: many readers in one epoll loop, and what they must have got.

The lines of a sender are one block repeated, so that what arrived can be compared with what was sent at
memory speed, at any offset, without keeping it.
"""

import math
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, Self

from bench.figures import Distribution, distribution
from tests.support import ROOT, HubProcess, Peer

LINE_BYTES = 100
LATE_MS = 100.0
ESTABLISHED = "01"


def block(lines: int = 1000) -> bytes:
    """Numbered lines of LINE_BYTES each."""
    return b"".join(b"%0*d\n" % (LINE_BYTES - 1, number) for number in range(lines))


class Habit(NamedTuple):
    """How somebody reads."""

    bytes_per_s: float = math.inf
    buffer: int = 0
    """So much the kernel keeps for it; 0 is as much as the kernel likes."""


AS_IT_COMES = Habit()


class Readers:
    """Clients that read everything, and compare it. The first may have a habit of its own."""

    def __init__(
        self,
        port: int,
        count: int,
        expected: bytes,
        *,
        habit: Habit = AS_IT_COMES,
        first: Habit | None = None,
    ) -> None:
        self._size = len(expected)
        self._twice = expected * 3
        self._poller = select.epoll()
        self._peers: dict[int, tuple[Peer, float]] = {}
        for own in [first or habit, *repeat(habit, count - 1)]:
            peer = Peer(port, receive_buffer=own.buffer)
            self._peers[peer.fileno()] = peer, own.bytes_per_s
            self._poller.register(peer, select.EPOLLIN)
        self.got = dict.fromkeys(self._peers, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for peer, _rate in self._peers.values():
            peer.close()
        self._poller.close()

    def read_until(self, total: int, patience_s: float) -> None:
        """Until everyone has got `total` bytes, each the right one; AssertionError otherwise."""
        start_s = time.monotonic()
        while (least := min(self.got.values())) < total:
            passed_s = time.monotonic() - start_s
            assert passed_s < patience_s, f"a reader still waits after {least} bytes"
            ready = [fd for fd, _ in self._poller.poll(0.2)]
            may_read = [fd for fd in ready if self.got[fd] < passed_s * self._peers[fd][1]]
            if ready and not may_read:
                time.sleep(0.0005)  # The pace of a slow reader is what is being simulated here.
            for fd in may_read:
                self._read(fd)

    def _read(self, fd: int) -> None:
        data = self._peers[fd][0].sock.recv(1 << 18)
        assert data, f"a reader was closed after {self.got[fd]} bytes"
        at = self.got[fd] % self._size
        assert data == self._twice[at : at + len(data)] or len(data) > self._size
        self.got[fd] += len(data)


class Echoers:
    """Clients that each say a short line on schedule, and how long until it is back.

    The moments of sending are planned, and a line's time counts from its planned moment; so a stop of the
    hub costs every line that was due in it. The generator's own lateness is in these times too.
    """

    def __init__(self, port: int, count: int, every_s: float) -> None:
        self._every_s = every_s / count
        self._poller = select.epoll()
        self._socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        self._by_fd = {sock.fileno(): number for number, sock in enumerate(self._socks)}
        for sock in self._socks:
            sock.setblocking(False)
            self._poller.register(sock.fileno(), select.EPOLLIN)
        self._due_s: list[deque[float]] = [deque() for _ in self._socks]
        self._took: list[tuple[float, float]] = []
        """When each line was due, and how long until it was back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._socks:
            sock.close()
        self._poller.close()

    def run(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> Distribution:
        """Talk for so long, and until all is back; `meanwhile` is called between two looks at the poller."""
        start_s, sent, total = time.monotonic(), 0, round(seconds / self._every_s)
        end_s = start_s + seconds + 20.0
        while sent < total or any(self._due_s):
            assert time.monotonic() < end_s, f"{sum(map(len, self._due_s))} of {sent} lines are not back"
            while sent < total and (due_s := start_s + sent * self._every_s) <= time.monotonic():
                self._say(sent % len(self._socks), due_s)
                sent += 1
            meanwhile()
            for fd, _ in self._poller.poll(min(0.002, self._every_s)):
                self._hear(fd)
        times_s = [took_s for _, took_s in sorted(self._took)]
        return distribution(times_s, max(1, round(1 / self._every_s)))

    def _say(self, number: int, due_s: float) -> None:
        self._due_s[number].append(due_s)
        assert self._socks[number].send(b"%015d\n" % number) == 16

    def _hear(self, fd: int) -> None:
        number = self._by_fd[fd]
        data, now_s = self._socks[number].recv(1 << 16), time.monotonic()
        assert data and data == b"%015d\n" % number * (len(data) // 16), data[-200:]
        for _ in range(len(data) // 16):
            due_s = self._due_s[number].popleft()
            self._took.append((due_s, now_s - due_s))


class Allowance:
    """What something may take: LATE_MS, stretched as the machine stretched our time or the hub's.

    Others use the cores as well, and who is ready to run and does not is late by no fault of its own. The
    kernel counts both for each thread, what it ran and what it waited to: the first two fields of schedstat.
    """

    def __init__(self, hub: HubProcess) -> None:
        self._tasks = [Path(f"/proc/{pid}/task") for pid in (hub.process.pid, "self")]
        self._before = [self._ran_and_waited(tasks) for tasks in self._tasks]

    @property
    def ms(self) -> float:
        """So much, for all since this was made."""
        return LATE_MS * self.stretch

    @property
    def stretch(self) -> float:
        """How many times as long as alone on its core the slower of the two took, since this was made."""
        now = [self._ran_and_waited(tasks) for tasks in self._tasks]
        both = zip(self._before, now, strict=True)
        # Not all kernels count; what has not run has not waited.
        return max(1 + (after[1] - was[1]) / max(1, after[0] - was[0]) for was, after in both)

    @staticmethod
    def _ran_and_waited(tasks: Path) -> tuple[int, int]:
        fields = [path.read_text().split() for path in tasks.glob("*/schedstat")]
        return sum(int(ran) for ran, _, _ in fields), sum(int(waited) for _, waited, _ in fields)


class Queues(NamedTuple):
    """What waits in the kernel of one connection, /proc/net/tcp."""

    unsent: int
    """With its client, and not yet acknowledged."""
    unread: int
    """With the hub, and not yet read by it."""


def queues(port: int) -> dict[int, Queues]:
    """Of each connection to a port of loopback, by its client's port."""
    sent, read = dict[int, int](), dict[int, int]()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state, waits = line.split()[1:5]
        if state == ESTABLISHED:
            ends = int(local[-4:], 16), int(remote[-4:], 16)
            if ends[1] == port:
                sent[ends[0]] = int(waits[:8], 16)
            if ends[0] == port:
                read[ends[1]] = int(waits[9:], 16)
    return {client: Queues(sent[client], read[client]) for client in sent.keys() & read.keys()}


@contextmanager
def flooding(port: int) -> Iterator[Callable[[], int]]:
    """A process that pushes lines as fast as the hub takes them and reads all that comes; its count."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.load", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        counts = process.stdout
        try:
            assert int(counts.readline()) > 0, "it has begun"
            yield lambda: int(counts.readline())
        finally:
            process.kill()


def flood(port: int) -> None:
    """Push and read until killed; twice a second, how many bytes went out."""
    data, sent, told_s = block(600), 0, 0.0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setblocking(False)
        while True:
            _, writable, _ = select.select([sock], [sock], [], 0.5)
            with suppress(BlockingIOError):
                sock.recv(1 << 20)
            if writable:
                with suppress(BlockingIOError):
                    sent += sock.send(memoryview(data)[sent % len(data) :])
            if time.monotonic() > told_s:
                told_s = time.monotonic() + 0.5
                print(sent, flush=True)


if __name__ == "__main__":
    flood(int(sys.argv[1]))
