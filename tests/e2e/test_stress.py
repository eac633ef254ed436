"""Clients that do whatever comes into their heads: the books balance, and who stays hears everything."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from contextlib import suppress
from math import inf

import pytest

from hub.loop.limits import Budgets, Limits
from tests.support import PAIRS, Peer, ThreadHub, closing

MODES = ("chat", "broadcast", "echo")
SEEDS = (1, 2, 3)


class Restless:
    """A client that does random things on a socket that never blocks it, until it has had enough."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._chance = chance
        self.sock = socket.socket()
        if chance.random() < 0.5:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", port))
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
            self.sock.close()

    def _act(self, dice: float) -> None:
        chance = self._chance
        if dice < 0.02:
            self.is_over = True
        elif dice < 0.04:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.is_over = True
        elif dice < 0.06:
            self.sock.shutdown(socket.SHUT_WR)
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
    for timer in parts.timers.all:
        assert timer.timeout(time.monotonic()) is None
    for room in parts.rooms.all():
        assert not (room.members or room.subscribers or room.trailing)
    assert len(hub.poller) == len(hub.mailbox.bells)


@pytest.mark.promise("close-one-reason")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("trigger", "read"), PAIRS)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_clients_do_the_account_balances(mode: str, trigger: str, read: str, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    few = Budgets(sends=16, sends_between_clock_readings=4, accepts=4, closes=2, lingering=3)
    before = len(os.listdir("/proc/self/fd"))
    hub = ThreadHub(
        mode=mode, trigger=trigger, read=read, max_lag_bytes=64 * 1024, idle_timeout_s=0.3,
        idle_warning_s=0.1, announce=10, history=5, budgets=few, drain_s=1.0,
        limits=Limits(lag_bytes=64 * 1024, progress_s=0.2),
    )  # fmt: skip
    with hub:
        crowd: list[Restless] = []
        for _ in range(300):
            crowd = [one for one in crowd if not one.is_over]
            while len(crowd) < 12:
                crowd.append(Restless(hub.port, chance))
            for one in crowd:
                one.step()
            assert hub.failure is None, hub.failure
        for one in crowd:
            one.sock.close()
    assert_nobody_is_left(hub)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
@pytest.mark.parametrize("seed", SEEDS)
def test_those_who_stay_hear_the_same_whatever_others_do(trigger: str, read: str, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    with ThreadHub(trigger=trigger, read=read, budgets=Budgets(sends=16, closes=2)) as hub:
        heard: list[bytes] = []

        def listen(peer: Peer) -> None:
            heard.append(peer.read_until(b"the end\n"))

        with closing(hub.peers(4)) as stayers:
            threads = [threading.Thread(target=listen, args=(peer,)) for peer in stayers[1:]]
            for thread in threads:
                thread.start()
            crowd: list[Restless] = []
            for number in range(150):
                crowd = [one for one in crowd if not one.is_over]
                while len(crowd) < 6:
                    crowd.append(Restless(hub.port, chance))
                for one in crowd:
                    one.step()
                stayers[0].send(b"mark %d\n" % number)
                stayers[0].read_until(b"mark %d\n" % number)
            for one in crowd:
                one.sock.close()
            stayers[0].send(b"the end\n")
            for thread in threads:
                thread.join()
        assert len(heard) == 3
        assert len(set(heard)) == 1
