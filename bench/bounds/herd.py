"""Thousands of bare connections in one process, by one order at a time: `python -m bench.bounds.herd`.

An order is a line of JSON on stdin, `{"do": NAME, ...}` with the arguments of the method NAME of Herd; what
came of it is a line of JSON on stdout. The herd ends with its stdin. While it waits for an order it goes on
reading. Moments are of CLOCK_MONOTONIC.

Sockets are bare because fifteen thousand readers have to be read in no more time than the hub takes to serve
them; the transports of asyncio take longer.
"""

import gc
import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any, Final

from bench.bounds.accept_queue import AcceptQueue
from bench.bounds.pump import Pump
from bench.connections import split
from bench.crowd import allow

SO_TIMESTAMPNS: Final = 35
"""socket(7); Python has no name for it. A read tells when the kernel received its last byte."""
READ_BYTES = 1 << 16
EVENTS_AT_ONCE = 1024
WAITING_AT_MOST = 768
"""Clients in the listener's queue, which the hub makes 1,024 long: one too many would try again after 1 s."""
LOOK_EVERY = 64
"""Connects between two looks at that queue."""
GIVE_UP_S = 60.0
LINE = b"one line a second to all of the herd\n"
REQUEST = (
    "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Herd:
    """The connections, in the order in which they were made, and what they got so far."""

    def __init__(self) -> None:
        self.members: list[socket.socket] = []
        self.by_fd: dict[int, socket.socket] = {}
        self.poll = select.epoll()
        self.silent: set[int] = set()
        """Descriptors on which nothing was received yet."""
        self.lines = 0
        """How often LINE came, of all members together."""
        self.newest_s = 0.0
        """When the kernel received the latest data, on CLOCK_REALTIME."""
        self.ends_s: list[float] = []
        """When each connection that ended did."""

    def serve(self, wait_s: float) -> None:
        """Receive what is there, after waiting for so long at most."""
        for fd, _ in self.poll.poll(wait_s, EVENTS_AT_ONCE):
            sock = self.by_fd[fd]
            try:
                data, told, _, _ = sock.recvmsg(READ_BYTES, 64)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self._ended(sock)
                continue
            self.silent.discard(fd)
            self.lines += data.count(LINE)
            for _, _, stamp in told:
                seconds, nanoseconds = struct.unpack("qq", stamp)
                self.newest_s = max(self.newest_s, seconds + nanoseconds / 1e9)

    def _ended(self, sock: socket.socket) -> None:
        self.ends_s.append(time.monotonic())
        del self.by_fd[sock.fileno()]
        self.silent.discard(sock.fileno())
        sock.close()

    def connect(self, address: str, count: int, websocket: bool, answered: bool) -> dict[str, Any]:
        """Connect so many as fast as the hub accepts them, and wait until all are accepted.

        `websocket`: each asks for the upgrade; `answered`: wait until each got a byte. Raises OSError.
        """
        allow(len(self.by_fd) + count)
        host, port = split(address)
        request = REQUEST.format(address=address).encode() if websocket else b""
        queue = AcceptQueue(host, port)
        began_s = time.monotonic()
        for number in range(count):
            if number % LOOK_EVERY == 0:
                self._let_them_in(queue, WAITING_AT_MOST)
            sock = socket.socket()
            sock.connect((host, port))
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setblocking(False)
            self.members.append(sock)
            self.by_fd[sock.fileno()] = sock
            self.silent.add(sock.fileno())
            self.poll.register(sock.fileno(), select.EPOLLIN)
            if request:
                sock.send(request)
        self._let_them_in(queue, 0)
        accepted_s = time.monotonic()
        queue.close()
        while answered and self.silent:
            self._go_on_until(began_s + GIVE_UP_S, "answered")
        return {"began_s": began_s, "accepted_s": accepted_s, "answered_s": time.monotonic()}

    def _let_them_in(self, queue: AcceptQueue, most: int) -> None:
        end_s = time.monotonic() + GIVE_UP_S
        while queue.length() > most:
            self._go_on_until(end_s, "accepted", 0.0005)

    def _go_on_until(self, end_s: float, what: str, wait_s: float = 0.01) -> None:
        if time.monotonic() > end_s:
            sys.exit(f"not all of the herd were {what} within {GIVE_UP_S:g} s")
        self.serve(wait_s)

    def say(self, count: int, every_s: float) -> dict[str, Any]:
        """Have one member say a line every so often, and see how long until all have got it.

        `served_s` counts to the moment when the kernel received the last byte of all, `read_s` to the
        moment when it was read here, which is later by what this process had still to read.
        """
        served_s, read_s, due_s = [], [], time.monotonic()
        for _ in range(count):
            while (left_s := due_s - time.monotonic()) > 0:
                self.serve(left_s)
            expected = self.lines + len(self.by_fd)
            began_s, began_real_s = time.monotonic(), time.time()
            self.members[0].send(LINE)
            while self.lines < expected:
                self._go_on_until(began_s + GIVE_UP_S, "served")
            served_s.append(self.newest_s - began_real_s)
            read_s.append(time.monotonic() - began_s)
            due_s = max(due_s + every_s, time.monotonic())
        return {"served_s": served_s, "read_s": read_s}

    def touch(self, within_s: float) -> dict[str, Any]:
        """Have each member send a byte, evenly spread over this time; a byte is activity and no line."""
        began_s = time.monotonic()
        for number, sock in enumerate(self.members):
            due_s = began_s + within_s * number / len(self.members)
            while (left_s := due_s - time.monotonic()) > 0:
                self.serve(left_s)
            sock.send(b"x")
        return {"began_s": began_s, "ended_s": time.monotonic()}

    def wait_for_ends(self, within_s: float) -> dict[str, Any]:
        """Wait until the hub has ended every connection."""
        end_s = time.monotonic() + within_s
        while self.by_fd and time.monotonic() < end_s:
            self.serve(0.1)
        first_s, last_s = (min(self.ends_s), max(self.ends_s)) if self.ends_s else (0.0, 0.0)
        return {"ended": len(self.ends_s), "left": len(self.by_fd), "first_s": first_s, "last_s": last_s}

    def pump(self, seconds: float, writers: int, window: int, stalled: int) -> dict[str, Any]:
        """See bench/bounds/pump.py. The last `stalled` members do not read meanwhile."""
        first = len(self.members) - stalled
        for sock in self.members[first:]:
            self.poll.unregister(sock.fileno())
        told = Pump(self.poll, self.members[:writers], self.members[writers:first], window).run(seconds)
        for sock in self.members[first:]:
            self.poll.register(sock.fileno(), select.EPOLLIN)
        return told

    def close(self) -> None:
        """Give all descriptors back."""
        for sock in self.members:
            sock.close()
        self.poll.close()

    def state(self) -> dict[str, Any]:
        """How many are connected, and how many ended."""
        return {"here": len(self.by_fd), "ended": len(self.ends_s)}


def main() -> None:
    """Do what stdin says, until it ends."""
    gc.disable()
    herd = Herd()
    herd_input = sys.stdin.fileno()
    rest = b""
    while data := _read_order(herd, herd_input):
        *orders, rest = (rest + data).split(b"\n")
        for order in map(json.loads, orders):
            print(json.dumps(getattr(herd, order.pop("do"))(**order)), flush=True)


def _read_order(herd: Herd, fd: int) -> bytes:
    while not select.select([fd], [], [], 0)[0]:
        herd.serve(0.02)
    return os.read(fd, READ_BYTES)


if __name__ == "__main__":
    try:
        main()
    except OSError as lost:
        sys.exit(f"the herd lost the hub: {lost}")
