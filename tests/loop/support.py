"""What the tests of a turn's steps share: a hub whose turns the test makes, sockets that keep a record."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from hub.control.mailbox import Stop, WantClient
from hub.loop.limits import Budgets
from hub.net.listeners import Address, Socket
from hub.net.sockets import NotAccepted, Sockets
from hub.session.client import Client
from tests.support import PATIENCE_S, Peer, ThreadHub, until

T = TypeVar("T")


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


class RecordingSockets(Sockets):
    """The real calls, and a record of what was sent to which descriptor, of all that is one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.sends: list[tuple[int, bytes]] = []

    def send(self, fd: int, data: bytes) -> int:
        """Note the very object, and send it."""
        self.sends.append((fd, data))
        return super().send(fd, data)


class FromAfar(Sockets):
    """Real loopback connections that seem to come from these hosts, one after another.

    Loopback is exempt from the limit per address, so what the limit does shows only with other addresses;
    the hub takes them from accept and from nowhere else.
    """

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self._hosts = iter(hosts)

    def accept(self, listener: Socket) -> tuple[int, Address] | NotAccepted:
        """Accept, and change the address."""
        accepted = super().accept(listener)
        if isinstance(accepted, NotAccepted):
            return accepted
        fd, address = accepted
        return fd, (next(self._hosts), address[1])


def waiting_bytes(client: Client) -> int:
    """Input of this client that is still in the kernel, tcp(7) SIOCINQ. Looking does not take it."""
    if client.fd < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(client.fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def take_all(peer: Peer) -> bytes:
    """What has arrived so far."""
    patience_s = peer.sock.gettimeout()
    peer.sock.setblocking(False)
    with suppress(BlockingIOError):
        while data := peer.sock.recv(1 << 20):
            peer.seen += data
    peer.sock.settimeout(patience_s)
    got, peer.seen = peer.seen, b""
    return got


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
