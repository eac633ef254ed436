"""The poller on real sockets: when each trigger reports, and what an epoll_ctl is spent on."""

import math
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from hub.net.poller import ERR, HUP, IN, OUT, RDHUP, Poller
from tests.support import PATIENCE_S, Peer

AT_ONCE = 0.0


class Wire:
    """A TCP connection over loopback, and a poller for our end of it."""

    def __init__(self, trigger: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = Peer(listener.getsockname()[1])
            self.ours, _ = listener.accept()
        self.ours.settimeout(PATIENCE_S)
        self.fd = self.ours.fileno()
        self.poller = Poller(trigger)

    def close(self) -> None:
        self.poller.close()
        self.ours.close()
        self.peer.close()

    def want(self, reading: bool = True, writing: bool = False) -> None:
        self.poller.want(self.fd, reading=reading, writing=writing)

    def events(self, timeout_s: float = AT_ONCE) -> dict[int, int]:
        return dict(self.poller.wait(timeout_s))

    def mask(self) -> int:
        """What is reported of our end; it must be."""
        return self.events(PATIENCE_S)[self.fd]

    def send(self, data: bytes) -> None:
        """From the peer, and something of it has arrived when this returns."""
        self.peer.send(data)
        assert self.ours.recv(1, socket.MSG_PEEK)


@pytest.fixture
def level() -> Iterator[Wire]:
    with closing(Wire("level")) as made:
        yield made


@pytest.fixture
def edge() -> Iterator[Wire]:
    with closing(Wire("edge")) as made:
        yield made


@pytest.fixture(params=["level", "edge"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with closing(Wire(request.param)) as made:
        yield made


# Triggers.


def test_level_reports_again_while_bytes_wait(level: Wire) -> None:
    level.want()
    level.send(b"x" * 1000)
    for left in (1000, 500):
        assert level.mask() == IN
        assert level.mask() == IN
        assert len(level.ours.recv(500)) == 500, left
    assert level.events() == {}


def test_edge_reports_once_and_is_silent_until_more_arrives(edge: Wire) -> None:
    edge.want()
    edge.send(b"x" * 1000)
    assert edge.mask() == IN
    assert len(edge.ours.recv(500)) == 500
    assert edge.events() == {}, "500 bytes wait, and nobody says so"
    edge.send(b"y")
    assert edge.mask() == IN
    assert edge.events() == {}
    edge.want(reading=False, writing=True)
    assert edge.mask() == OUT
    assert edge.events() == {}


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_listener_and_doorbell_are_level_triggered_in_both(trigger: str) -> None:
    doorbell = os.eventfd(1, os.EFD_NONBLOCK)
    try:
        with closing(Poller(trigger)) as poller:
            poller.watch(doorbell)
            for _ in range(3):
                assert poller.wait(AT_ONCE) == [(doorbell, IN)]
            os.eventfd_read(doorbell)
            assert poller.wait(AT_ONCE) == []
    finally:
        os.close(doorbell)


def test_input_and_room_are_reported_only_where_they_are_wanted(wire: Wire) -> None:
    wire.want()
    assert wire.events() == {}
    wire.want(writing=True)
    assert wire.mask() == OUT
    wire.want(reading=False)
    wire.send(b"x")
    assert wire.events() == {}
    wire.want()
    assert wire.mask() == IN
    wire.poller.forget(wire.fd)
    assert wire.events() == {}
    wire.want()
    assert wire.poller.wait(math.inf) == [(wire.fd, IN)]


# Ends of a connection.


def test_a_half_close_is_told_unless_the_client_is_paused(wire: Wire) -> None:
    wire.want(reading=False)
    wire.peer.half_close()
    assert wire.events(0.05) == {}
    wire.want()
    assert wire.mask() == IN | RDHUP


def test_data_and_the_end_behind_it_can_come_as_one_event(edge: Wire) -> None:
    edge.send(b"last")
    edge.peer.half_close()
    edge.want()
    mask = edge.mask()
    while not mask & RDHUP:  # the FIN may be a moment behind
        mask = edge.mask()
    assert mask == IN | RDHUP
    assert edge.ours.recv(100) == b"last"
    assert edge.events() == {}, "the end waits, and is not reported again"
    assert edge.ours.recv(100) == b""


def test_a_dead_peer_with_mask_0_spins_a_level_triggered_loop(level: Wire) -> None:
    level.want(reading=False)
    level.peer.reset()
    assert [level.mask() & HUP for _ in range(5)] == [HUP] * 5


def test_quiet_reports_a_dead_peer_once_more_at_most(wire: Wire) -> None:
    wire.want(reading=False)
    wire.peer.reset()
    assert wire.mask() & (HUP | ERR) == HUP | ERR
    wire.poller.quiet(wire.fd)
    assert sum(bool(wire.events()) for _ in range(10)) <= 1
    assert wire.events(0.05) == {}


# What it costs.


def test_calls_are_counted_and_an_unchanged_mask_costs_none(wire: Wire) -> None:
    for _ in range(3):
        wire.want()
    assert wire.poller.calls["epoll_ctl"] == 1
    wire.want(writing=True)
    wire.want(writing=True)
    assert wire.poller.calls["epoll_ctl"] == 2
    wire.poller.watch(wire.peer.fileno())
    assert len(wire.poller) == 2
    wire.poller.forget(wire.fd)
    wire.poller.forget(wire.fd)
    assert (wire.poller.calls["epoll_ctl"], len(wire.poller)) == (4, 1)
    for _ in range(4):
        wire.poller.wait(AT_ONCE)
    assert wire.poller.calls["epoll_wait"] == 4


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_full_batches_make_a_round_that_reports_everybody(trigger: str) -> None:
    with ExitStack() as stack, closing(Poller(trigger, events_per_wait=2)) as poller:
        told: set[int] = set()
        for _ in range(5):
            ours, peer = (stack.enter_context(sock) for sock in socket.socketpair())
            peer.send(b"x")
            poller.want(ours.fileno(), reading=True, writing=False)
        for wait in range(9):
            told.update(fd for fd, _ in poller.wait(AT_ONCE))
            is_alone = trigger == "edge" and wait > 2
            assert poller.round_begins == (is_alone or wait % 3 == 0 or (trigger == "edge" and wait == 2))
            assert poller.round_ends == (is_alone or wait % 3 == 2)
            assert len(told) == min(2 * wait + 2, 5)


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_close_meanwhile_ends_no_round_early(trigger: str) -> None:
    with ExitStack() as stack, closing(Poller(trigger, events_per_wait=2)) as poller:
        waiting: dict[int, socket.socket] = {}
        for _ in range(6):
            ours, peer = (stack.enter_context(sock) for sock in socket.socketpair())
            peer.send(b"x")
            waiting[ours.fileno()] = ours
            poller.want(ours.fileno(), reading=True, writing=False)
        while waiting:
            for fd, _ in poller.wait(AT_ONCE):
                poller.forget(fd)
                waiting.pop(fd).close()
            assert poller.round_ends == (not waiting)


@pytest.mark.promise("pause-active")
def test_a_wait_ended_late_by_a_signal_looks_once_more(wire: Wire) -> None:
    """What SIGCONT does to a process that was stopped for longer than it would have waited."""
    wire.want()

    def happen_late(*_: object) -> None:
        while time.monotonic() < over_at:
            pass
        wire.send(b"x")

    before = signal.signal(signal.SIGALRM, happen_late)
    try:
        over_at = time.monotonic() + 0.1
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert wire.events(0.06) == {wire.fd: IN}
    finally:
        signal.signal(signal.SIGALRM, before)


def test_closing_gives_the_epoll_descriptor_back() -> None:
    before = set(os.listdir("/proc/self/fd"))
    Poller("level").close()
    assert set(os.listdir("/proc/self/fd")) == before
