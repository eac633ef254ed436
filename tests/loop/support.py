"""What the tests of a turn's steps share: a hub whose turns the test makes, sockets that keep a record."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from hub.control.mailbox import Stop, WantClient
from hub.loop.limits import Budgets
from hub.net.sockets import Address, NotAccepted, Sockets
from hub.session.client import Client, Phase
from tests.support import PATIENCE_S, Peer, ThreadHub, until

T = TypeVar("T")
SOON_S = 4.0
"""Where a test waits for something that would come within milliseconds; only a failing test waits so long."""
SMALL_LAG = 64 * 1024
"""The smallest lag limit that a user may set."""
LINE = b"x" * 1998 + b"\n"
"""A line that no power of two cuts at its border."""
_SIOCOUTQNSD = 0x894B
"""Bytes that were not sent yet, linux/sockios.h; Python has no name for it."""


class SteppedHub(ThreadHub):
    """A loop that turns only when the test says so, and whose clock moves only when the test moves it."""

    def __init__(
        self, budgets: Budgets | None = None, *, sockets: Sockets | None = None, **changes: Any
    ) -> None:
        self.now_s = 1000.0
        super().__init__(budgets=budgets, sockets=sockets, clock=lambda: self.now_s, **changes)
        self.hub = self.loop.hub

    def __enter__(self) -> SteppedHub:
        return self

    def stop(self) -> None:
        """Drain; a second passes in each turn."""
        self.mailbox.post(Stop())
        while not self.loop.is_drained:
            self.turns(1)
            self.now_s += 1

    def turns(self, count: int = 1) -> None:
        """So many turns, none of which waits: a question rings the bell before each."""
        for _ in range(count):
            self.mailbox.post(WantClient(0, lambda row: None))
            self.loop.turn()

    def turns_until(self, look: Callable[[], T]) -> T:
        """Turns until `look` answers something true, which is returned."""
        end = time.monotonic() + PATIENCE_S
        while not (seen := look()):
            assert time.monotonic() < end, f"still not so: {look}"
            self.turns()
        return seen

    def join(self, count: int = 1, *, opening: bool = False, **options: Any) -> list[Peer]:
        """New clients, let in; unless `opening`, chat has greeted them and they are members."""
        before = self.hub.counters.accepted
        made = [Peer(self.port, **options) for _ in range(count)]
        self.turns_until(lambda: self.hub.counters.accepted >= before + count)
        if not opening:
            self.now_s += 2 * self.hub.limits.opening_s
            self.turns()
        self.settle()
        return made

    def client(self, peer: Peer) -> Client:
        """The hub's side of this connection."""
        port = peer.sock.getsockname()[1]
        return next(
            client for client in self.hub.connections.by_fd.values() if client.peer.endswith(f":{port}")
        )

    def deliver(self, peer: Peer, data: bytes, *, fin: bool = False) -> Client:
        """Send, and return when all of it, and the end of stream if asked for, waits in the hub's kernel."""
        client = self.client(peer)
        before = waiting_bytes(client)
        peer.send(data)
        until(lambda: waiting_bytes(client) == before + len(data))
        if fin:
            peer.half_close()
            look = select.poll()
            look.register(client.fd, select.POLLRDHUP)
            assert look.poll(PATIENCE_S * 1000)
        return client

    def say(self, peer: Peer, data: bytes) -> None:
        """Deliver, and turn until it is read and nothing is left over; or until the client is not read."""
        client = self.deliver(peer, data)
        self.turns_until(lambda: not (client.is_reading and waiting_bytes(client)))
        self.settle()

    def settle(self) -> None:
        """Turn until nothing is marked."""
        ready = self.hub.ready
        self.turns_until(
            lambda: (
                not (ready.readable or ready.writable or ready.rooms or ready.notices or ready.closing)
                and not self.hub.writer.has_work
            )
        )

    def fill(self, talker: Peer, others: Sequence[Peer], look: Callable[[], bool]) -> int:
        """The talker says lines, and it and the others read theirs, until `look` is true; how many lines."""
        count = 0
        while not look():
            assert count < 1000, f"still not so: {look}"
            self.say(talker, LINE)
            count += 1
            for peer in (talker, *others):
                take_all(peer)
        return count

    def clog(self, talker: Peer, others: Sequence[Peer], slow: Peer) -> None:
        """Talk until the kernel takes nothing more for one that does not read, however long that lasts."""
        client = self.client(slow)
        while True:
            self.fill(talker, others, lambda: client.outbox.blocked)
            until(lambda: on_its_way_bytes(client) == 0)
            before = client.outbox.bytes_out
            self.turns()
            if client.outbox.blocked and client.outbox.bytes_out == before:
                return

    def begin_a_line(self, talker: Peer, slow: Peer, *, more: int = 60) -> bytes:
        """Talk until one that does not read has got a part of a line, and so many lines more.

        Returns what the slow one read meanwhile.
        """
        client, got = self.client(slow), b""
        while not client.outbox.partial:
            if client.outbox.blocked:  # The kernel was full at a line border, of all places.
                got += take_all(slow)
                self.turns()
            else:
                self.clog(talker, (), slow)
        for _ in range(more):
            self.say(talker, LINE)
            take_all(talker)
        return got

    def catch_up(self, peer: Peer) -> bytes:
        """Everything that this client is owed now, read while the hub turns."""
        client, got = self.client(peer), b""
        while not (client.outbox.is_empty or client.outbox.closed):
            got += take_all(peer)
            self.turns()
        end = time.monotonic() + PATIENCE_S
        while not client.outbox.closed and unacknowledged_bytes(
            client
        ):  # Taken by one kernel, not yet by the other.
            assert time.monotonic() < end
            got += take_all(peer)
        return got + peer.seen + take_all(peer)

    def read_to_the_end(self, peer: Peer) -> bytes:
        """Everything up to the hub's end of stream, of a client that has ended, read while the hub turns."""
        client, got = self.client(peer), b""
        while client.phase is Phase.FLUSHING:
            got += take_all(peer)
            self.turns()
        return got + peer.rest()


class Send(NamedTuple):
    """A call: to which descriptor, the very objects, and how many bytes the kernel took."""

    fd: int
    buffers: tuple[bytes, ...]
    taken: int


class RecordingSockets(Sockets):
    """The real calls, and a record of what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sends: list[Send] = []

    def send(self, sock: socket.socket, data: bytes) -> int:
        """Send and note it."""
        taken = super().send(sock, data)
        self.sends.append(Send(sock.fileno(), (data,), taken))
        return taken

    def send_many(self, sock: socket.socket, buffers: Sequence[bytes]) -> int:
        """Send and note it."""
        taken = super().send_many(sock, buffers)
        self.sends.append(Send(sock.fileno(), tuple(buffers), taken))
        return taken


class FromAfar(Sockets):
    """Real loopback connections that seem to come from these hosts, one after another.

    Loopback is exempt from the limit per address, so what the limit does shows only with other addresses;
    the hub takes them from accept and from nowhere else.
    """

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self._hosts = iter(hosts)

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Address] | NotAccepted:
        """Accept, and change the address."""
        accepted = super().accept(listener)
        if isinstance(accepted, NotAccepted):
            return accepted
        sock, address = accepted
        return sock, (next(self._hosts), address[1])


def waiting_bytes(client: Client) -> int:
    """Input of this client that is still in the kernel, tcp(7) SIOCINQ. Looking does not take it."""
    if client.sock.fileno() < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(client.fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def unacknowledged_bytes(client: Client) -> int:
    """What the kernel took for this client and its peer's has not, tcp(7) SIOCOUTQ."""
    return int.from_bytes(fcntl.ioctl(client.fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def on_its_way_bytes(client: Client) -> int:
    """Sent and not acknowledged, tcp(7) SIOCOUTQ less SIOCOUTQNSD: with 0 and a full kernel nothing moves."""
    queued, unsent = (
        int.from_bytes(fcntl.ioctl(client.fd, request, bytes(4)), sys.byteorder)
        for request in (termios.TIOCOUTQ, _SIOCOUTQNSD)
    )
    return queued - unsent


def take_all(peer: Peer, most: int = 1 << 30) -> bytes:
    """What has arrived so far, at most so many bytes."""
    patience_s = peer.sock.gettimeout()
    peer.sock.setblocking(False)
    with suppress(BlockingIOError):
        while len(peer.seen) < most and (data := peer.sock.recv(min(1 << 20, most - len(peer.seen)))):
            peer.seen += data
    peer.sock.settimeout(patience_s)
    got, peer.seen = peer.seen, b""
    return got


@contextmanager
def reading(*peers: Peer) -> Iterator[None]:
    """Threads that read and throw away what these get, until the connection ends."""

    def read(peer: Peer) -> None:
        with suppress(OSError):
            while peer.sock.recv(1 << 20):
                pass

    threads = [threading.Thread(target=read, args=(peer,), daemon=True) for peer in peers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for peer in peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


@contextmanager
def no_descriptor_left(*, not_even_a_spare: bool = False) -> Iterator[None]:
    """Every new descriptor of this process fails with EMFILE.

    One that is given back may be had again, unless `not_even_a_spare`. Only the soft limit is lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = [os.dup(0)]
    while fillers[-1] <= highest:
        fillers.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 if not_even_a_spare else fillers[-1] + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
