"""Load for the overload tests: many readers in one epoll loop, and what they must have got.

The lines of a feed are one block repeated, so that what arrived can be compared with what was sent at
memory speed, at any offset, without keeping it.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence

LINE_BYTES = 100


def block(lines: int = 1000) -> bytes:
    """Numbered lines of LINE_BYTES each."""
    return b"".join(b"%0*d\n" % (LINE_BYTES - 1, number) for number in range(lines))


class Readers:
    """Clients that read everything as fast as it comes, or at a given rate, and compare it."""

    def __init__(self, port: int, count: int, expected: bytes, *, bytes_per_s: float = 0.0) -> None:
        self._expected = expected
        self._twice = expected * 3
        self._rate = bytes_per_s
        self._poller = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self.got: dict[int, int] = {}
        self.ended: set[int] = set()
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setblocking(False)
            self._socks[sock.fileno()] = sock
            self.got[sock.fileno()] = 0
            self._poller.register(sock.fileno(), select.EPOLLIN)

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._socks.values():
            sock.close()
        self._poller.close()

    def read_until(self, total: int, patience_s: float) -> None:
        """Until everyone has got `total` bytes, each the right one; AssertionError otherwise."""
        end, start = time.monotonic() + patience_s, time.monotonic()
        waiting = {fd for fd, got in self.got.items() if got < total}
        while waiting:
            assert time.monotonic() < end, (
                f"{len(waiting)} readers still wait; least {min(self.got.values())}"
            )
            for fd, _ in self._poller.poll(0.2):
                if self._may_read(fd, start):
                    self._read(fd)
                if self.got[fd] >= total:
                    waiting.discard(fd)
                assert fd not in self.ended, f"a reader was cut after {self.got[fd]} bytes"

    def _may_read(self, fd: int, start: float) -> bool:
        if not self._rate or self.got[fd] < (time.monotonic() - start) * self._rate:
            return True
        time.sleep(0.0005)  # The pace of a slow reader is what is being simulated here.
        return False

    def _read(self, fd: int) -> None:
        data = self._socks[fd].recv(1 << 18)
        if not data:
            self.ended.add(fd)
            self._poller.unregister(fd)
            return
        at = self.got[fd] % len(self._expected)
        assert data == self._twice[at : at + len(data)] or len(data) > len(self._expected)
        self.got[fd] += len(data)


def connect_all(port: int, count: int) -> Sequence[socket.socket]:
    """Plain blocking clients."""
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
