"""Clients that do whatever comes into their heads: the books balance, and nothing of them is left."""

import os
import random
import time
from contextlib import suppress
from math import inf

import pytest

from hub.loop.limits import Budgets, Limits
from tests.support import Peer, ThreadHub, each_pair


class Restless(Peer):
    """A client that does random things on a socket that never blocks it, until it has had enough."""

    def __init__(self, port: int, chance: random.Random) -> None:
        super().__init__(port, receive_buffer=4096 if chance.random() < 0.5 else 0)
        self._chance = chance
        self.sock.setblocking(False)
        self.is_over = False
        self._reads = chance.random() < 0.8

    def step(self) -> None:
        """One random deed, and mostly a read."""
        with suppress(BlockingIOError):
            try:
                if self._reads and not self.sock.recv(1 << 18):
                    self.is_over = True
            except ConnectionError:
                self.is_over = True
        if not self.is_over:
            with suppress(OSError):  # It may be reset, or shut down, already.
                self._act(self._chance.random())
        if self.is_over:
            self.close()

    def _act(self, dice: float) -> None:
        chance = self._chance
        if dice < 0.02:
            self.is_over = True
        elif dice < 0.04:
            self.reset()
            self.is_over = True
        elif dice < 0.06:
            self.half_close()
        elif dice < 0.10:
            self._reads = not self._reads
        elif dice < 0.14:
            self.sock.send(b"paste %d\n" % chance.randrange(10**9) * chance.randrange(1, 8000))
        elif dice < 0.5:
            self.sock.send(chance.choice(_SAID))
        else:
            line = chance.choice(_SAID)
            self.sock.send(line[: chance.randrange(1, len(line) + 1)])


_SAID = (
    b"hello\n",
    b"crlf \xc3\xa4\r\n",
    b"\xff\xfd\x06\xff\xf6",
    b"\xff\xfa\x18" + b"x" * 100,
    b"\xff\xff data\r\0",
    b"/join den\n/who\n",
    b"/join pit\nhi\n/leave\n",
    b"/nick ann\n",
    b"/nick bob\n",
    b"/msg ann psst\n/msg bob psst\n/msg guest-1 psst\n",
    b"/help\n" * 300,
    b"/zzz\n",
    b"/quit\n",
    b"x" * 9000,
    b"\n" * 500,
)


def assert_nobody_is_left(hub: ThreadHub) -> None:
    """No table of an ended hub knows a client, and the poller watches nothing but the bell."""
    parts = hub.loop.hub
    connections, ready = parts.connections, parts.ready
    assert not (connections.by_fd or connections.clients or connections.closing or connections.per_address)
    assert not (ready.readable or ready.writable or ready.closing or ready.finished or ready.abort)
    assert parts.flow.timeout(time.monotonic()) == inf
    assert parts.timers.timeout(time.monotonic()) == inf
    for room in parts.rooms.all():
        assert not (room.size or room.trailing)
    assert len(hub.poller) == len(hub.mailbox.bells)


@pytest.mark.promise("close-one-reason")
@pytest.mark.promise("order-balance")
@pytest.mark.parametrize("mode", ["chat", "broadcast", "echo"])
@each_pair
def test_whatever_clients_do_the_account_balances(mode: str, trigger: str, read: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    few = Budgets(sends=4, rounds=2, accepts=2, closes=1, lingering=3)
    before = len(os.listdir("/proc/self/fd"))
    hub = ThreadHub(
        mode=mode, trigger=trigger, read=read, max_lag_bytes=64 * 1024, idle_timeout_s=0.3,
        idle_warning_s=0.1, announce=10, history=5, budgets=few, drain_s=1.0,
        limits=Limits(lag_bytes=64 * 1024, progress_s=0.2),
    )  # fmt: skip
    with hub:
        crowd: list[Restless] = []
        for _ in range(600):
            crowd = [one for one in crowd if not one.is_over]
            while len(crowd) < 12:
                crowd.append(Restless(hub.port, chance))
            for one in crowd:
                one.step()
            assert hub.failure is None, hub.failure
        for one in crowd:
            one.close()
    assert_nobody_is_left(hub)
    assert len(os.listdir("/proc/self/fd")) <= before
