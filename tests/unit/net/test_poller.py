"""The poller on real sockets: when each trigger reports, and what an epoll_ctl is spent on."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

from hub.net.poller import ERR, HUP, IN, OUT, RDHUP, Poller

AT_ONCE = 0.0
PATIENCE_S = 20.0
"""For events that loopback delivers in no time; only a failing test waits so long."""


@dataclass
class Wire:
    """A TCP connection over loopback, and a poller for our end of it."""

    poller: Poller
    ours: socket.socket
    peer: socket.socket

    @property
    def fd(self) -> int:
        return self.ours.fileno()

    def events(self, timeout_s: float = AT_ONCE) -> dict[int, int]:
        return dict(self.poller.wait(timeout_s))

    def mask(self, timeout_s: float = PATIENCE_S) -> int:
        """What is reported of our end; it must be."""
        return self.events(timeout_s)[self.fd]

    def send(self, data: bytes) -> None:
        """From the peer, and something of it has arrived when this returns."""
        self.peer.sendall(data)
        assert select.select([self.ours], [], [], PATIENCE_S)[0]

    def reset(self) -> None:
        """RST from the peer."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()


def make_wire(trigger: str) -> Iterator[Wire]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    poller = Poller(trigger)
    with ours, peer:
        yield Wire(poller, ours, peer)
    poller.close()


@pytest.fixture
def level() -> Iterator[Wire]:
    yield from make_wire("level")


@pytest.fixture
def edge() -> Iterator[Wire]:
    yield from make_wire("edge")


@pytest.fixture(params=["level", "edge"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    yield from make_wire(request.param)


# Triggers.


def test_level_reports_again_while_bytes_wait(level: Wire) -> None:
    level.poller.want(level.fd, reading=True, writing=False)
    level.send(b"x" * 1000)
    for left in (1000, 500):
        assert level.mask() == IN
        assert level.mask() == IN
        assert len(level.ours.recv(500)) == 500, left
    assert level.events() == {}


def test_edge_reports_once_and_is_silent_until_more_arrives(edge: Wire) -> None:
    edge.poller.want(edge.fd, reading=True, writing=False)
    edge.send(b"x" * 1000)
    assert edge.mask() == IN
    assert len(edge.ours.recv(500)) == 500
    assert edge.events() == {}, "500 bytes wait, and nobody says so"
    edge.send(b"y")
    assert edge.mask() == IN
    assert edge.events() == {}


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_listener_and_doorbell_are_level_triggered_in_both(trigger: str) -> None:
    poller = Poller(trigger)
    doorbell = os.eventfd(1, os.EFD_NONBLOCK)
    try:
        poller.watch(doorbell)
        for _ in range(3):
            assert poller.wait(AT_ONCE) == [(doorbell, IN)]
        os.eventfd_read(doorbell)
        assert poller.wait(AT_ONCE) == []
    finally:
        os.close(doorbell)
        poller.close()


def test_room_for_output_is_reported_only_where_it_is_wanted(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=True, writing=False)
    assert wire.events() == {}
    wire.poller.want(wire.fd, reading=True, writing=True)
    assert wire.mask() == OUT
    wire.poller.want(wire.fd, reading=True, writing=False)
    assert wire.events() == {}


def test_edge_says_once_that_there_is_room(edge: Wire) -> None:
    edge.poller.want(edge.fd, reading=False, writing=True)
    assert edge.mask() == OUT
    assert edge.events() == {}


def test_input_is_not_reported_until_it_is_wanted_again(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=False, writing=False)
    wire.send(b"x")
    assert wire.events() == {}
    wire.poller.want(wire.fd, reading=True, writing=False)
    assert wire.mask() == IN


# Ends of a connection.


def test_a_half_close_is_reported_as_rdhup_with_input(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=True, writing=False)
    wire.peer.shutdown(socket.SHUT_WR)
    assert wire.mask() == IN | RDHUP


def test_data_and_the_end_behind_it_can_come_as_one_event(edge: Wire) -> None:
    edge.send(b"last")
    edge.peer.shutdown(socket.SHUT_WR)
    edge.ours.setblocking(False)
    edge.poller.want(edge.fd, reading=True, writing=False)
    mask = edge.mask()
    while not mask & RDHUP:  # the FIN may be a moment behind
        mask = edge.mask()
    assert mask == IN | RDHUP
    assert edge.ours.recv(100) == b"last"
    assert edge.events() == {}, "the end waits, and is not reported again"
    assert edge.ours.recv(100) == b""


def test_a_half_close_of_a_paused_client_is_not_reported(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=False, writing=False)
    wire.peer.shutdown(socket.SHUT_WR)
    assert wire.events(0.05) == {}


def test_a_reset_is_reported_whatever_the_mask_says(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=False, writing=False)
    wire.reset()
    assert wire.mask() & (HUP | ERR) == HUP | ERR


def test_a_dead_peer_with_mask_0_spins_a_level_triggered_loop(level: Wire) -> None:
    level.poller.want(level.fd, reading=False, writing=False)
    level.reset()
    assert [level.mask() & HUP for _ in range(5)] == [HUP] * 5


def test_quiet_reports_a_dead_peer_once_more_at_most(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=False, writing=False)
    wire.reset()
    assert wire.mask() & HUP
    wire.poller.quiet(wire.fd)
    reports = sum(bool(wire.events()) for _ in range(10))
    assert reports <= 1
    assert wire.events(0.05) == {}


# What it costs.


def test_a_mask_that_does_not_change_costs_no_system_call(wire: Wire) -> None:
    for _ in range(3):
        wire.poller.want(wire.fd, reading=True, writing=False)
    assert wire.poller.calls["epoll_ctl"] == 1
    wire.poller.want(wire.fd, reading=True, writing=True)
    wire.poller.want(wire.fd, reading=True, writing=True)
    assert wire.poller.calls["epoll_ctl"] == 2
    wire.poller.forget(wire.fd)
    wire.poller.forget(wire.fd)
    assert wire.poller.calls["epoll_ctl"] == 3


def test_each_wait_is_counted(wire: Wire) -> None:
    for _ in range(4):
        wire.poller.wait(AT_ONCE)
    assert wire.poller.calls["epoll_wait"] == 4


def test_the_length_is_how_many_descriptors_are_watched(wire: Wire) -> None:
    assert len(wire.poller) == 0
    wire.poller.want(wire.fd, reading=True, writing=False)
    wire.poller.watch(wire.peer.fileno())
    assert len(wire.poller) == 2
    wire.poller.forget(wire.fd)
    assert len(wire.poller) == 1


def test_a_forgotten_descriptor_is_not_reported_and_may_return(wire: Wire) -> None:
    wire.poller.want(wire.fd, reading=True, writing=False)
    wire.send(b"x")
    wire.poller.forget(wire.fd)
    assert wire.events() == {}
    wire.poller.want(wire.fd, reading=True, writing=False)
    assert wire.mask() == IN


@pytest.mark.parametrize("timeout_s", [None, float("inf")])
def test_no_timeout_waits_until_something_happens(wire: Wire, timeout_s: float | None) -> None:
    wire.poller.want(wire.fd, reading=True, writing=False)
    wire.send(b"x")
    assert wire.poller.wait(timeout_s) == [(wire.fd, IN)]


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_full_batches_make_a_round_that_reports_everybody(
    trigger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Poller, "EVENTS_PER_WAIT", 2)
    poller = Poller(trigger)
    with ExitStack() as stack, closing(poller):
        told: set[int] = set()
        pairs = [socket.socketpair() for _ in range(5)]
        for ours, peer in pairs:
            stack.enter_context(ours)
            stack.enter_context(peer).send(b"x")
            poller.want(ours.fileno(), reading=True, writing=False)
        for wait in range(9):
            told.update(fd for fd, _ in poller.wait(AT_ONCE))
            is_alone = trigger == "edge" and wait > 2
            assert poller.round_begins == (is_alone or wait % 3 == 0 or (trigger == "edge" and wait == 2))
            assert poller.round_ends == (is_alone or wait % 3 == 2)
            assert len(told) == min(2 * wait + 2, 5)


@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_close_meanwhile_ends_no_round_early(trigger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poller, "EVENTS_PER_WAIT", 2)
    poller = Poller(trigger)
    with ExitStack() as stack, closing(poller):
        waiting: dict[int, socket.socket] = {}
        for _ in range(6):
            ours, peer = socket.socketpair()
            stack.enter_context(peer).send(b"x")
            waiting[ours.fileno()] = stack.enter_context(ours)
            poller.want(ours.fileno(), reading=True, writing=False)
        while waiting:
            for fd, _ in poller.wait(AT_ONCE):
                poller.forget(fd)
                waiting.pop(fd).close()
            assert poller.round_ends == (not waiting)


@pytest.mark.promise("pause-active")
def test_a_wait_ended_late_by_a_signal_looks_once_more(wire: Wire) -> None:
    """What SIGCONT does to a process that was stopped for longer than it would have waited."""
    wire.poller.want(wire.fd, reading=True, writing=False)

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
