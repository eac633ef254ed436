"""What only a network does: cables that are pulled, packets that are lost, a narrow line, a partition.

Each test makes namespaces of its own (see `namespaces`); the hub runs in this process, its listeners there.
"""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.figures import quantile
from hub.net.listeners import USER_TIMEOUT_MS, Socket
from hub.net.sockets import Sockets
from tests.e2e.namespaces import HUB_HOST, Namespace, Network, require_namespaces
from tests.polled import WIRES, Crowd, Polled, assert_same_story, said
from tests.support import HubProcess, Peer, Record, ThreadHub, bye, each_trigger, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def _networks_can_be_made() -> None:
    require_namespaces()


LOSE = """
table inet loss {
    counter lost { }
    chain in { type filter hook prerouting priority 0; meta iif != "lo" %s counter name lost drop; }
}
"""
"""What comes over a cable is lost, all of it or so many of a hundred packets at random."""


def lose(namespace: Namespace, percent: int) -> None:
    """From now on so many packets that come into this namespace are lost."""
    which = "" if percent == 100 else f"numgen random mod 100 < {percent}"
    namespace.run("nft", "-f", "-", stdin=LOSE % which)


def lose_nothing(namespace: Namespace) -> int:
    """The end of that; how many were lost."""
    told = namespace.run("nft", "list", "counter", "inet", "loss", "lost").split()
    namespace.run("nft", "delete", "table", "inet", "loss")
    return int(told[told.index("packets") + 1])


@contextmanager
def hub_in(network: Network, **options: Any) -> Iterator[ThreadHub]:
    """A hub at HUB_HOST that lets in as many as a site sends."""
    with network.hub.inside():
        hub = ThreadHub(host=HUB_HOST, max_per_ip=0, **options)
    with hub:
        yield hub


def clients_in(
    where: Namespace, hub: ThreadHub, crowd: Crowd, count: int, wire: str = "lines", name: str = "client"
) -> list[Polled]:
    """Clients at a site, in the room when this returns."""
    with where.inside():
        made = [WIRES[wire](hub, f"{name}-{wire}-{number}", host=HUB_HOST) for number in range(count)]
    return crowd.join(hub, made)


# Half-open connections.


class Fast(Sockets):
    """Sockets whose clocks for a peer that vanished run fifteen times as fast."""

    TIMES = 15
    USER_TIMEOUT_S = USER_TIMEOUT_MS / 1000 / TIMES

    def listen(self, host: str, port: int) -> list[tuple[Socket, str]]:
        bound = super().listen(host, port)
        for listener, _ in bound:
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT):
                real = listener.getsockopt(socket.IPPROTO_TCP, option)
                listener.setsockopt(socket.IPPROTO_TCP, option, real // self.TIMES)
        return bound


@pytest.mark.promise("network-vanished")
@each_trigger
@pytest.mark.parametrize("owed", [True, False], ids=["with data due to it", "idle"])
def test_a_pulled_cable_is_peer_timeout_at_the_kernels_bound(
    owed: bool, trigger: str, record_property: Record
) -> None:
    with (
        Network(sites=2) as network,
        hub_in(network, sockets=Fast(), trigger=trigger) as hub,
        Crowd() as crowd,
    ):
        (here,) = clients_in(network.sites[0], hub, crowd, 1, name="here")
        for wire in WIRES:
            clients_in(network.sites[1], hub, crowd, 1, wire, name="gone")
        crowd.talk([here], 1)
        crowd.until_heard(crowd.clients, 1)
        start = time.monotonic()
        network.sites[1].run("ip", "link", "set", "uplink", "down")
        if owed:
            crowd.talk([here], 1)
        crowd.until(lambda: len(hub.endings()) == 2, 30.0)
        took_s = time.monotonic() - start
        record_property(
            f"noticed with clocks 15 times as fast, {'owed' if owed else 'idle'}", f"{took_s:.1f} s"
        )
        assert hub.reasons() == {"peer_timeout": 2}
        assert Fast.USER_TIMEOUT_S - 1.2 <= took_s <= Fast.USER_TIMEOUT_S + 4
        crowd.talk([here], 1)
        crowd.until_heard([here], 3 if owed else 2)
        assert_same_story([here], [here])


@pytest.mark.promise("network-vanished")
def test_a_vanished_peer_is_gone_in_120_s_and_a_browser_in_40_s(
    record_property: Record,
) -> None:
    with Network(sites=2) as network, hub_in(network) as hub, Crowd() as crowd:
        (here,) = clients_in(network.sites[0], hub, crowd, 1, name="here")
        clients_in(network.sites[1], hub, crowd, 2, name="gone")
        clients_in(network.sites[1], hub, crowd, 2, "websocket", name="gone")
        start = time.monotonic()
        network.sites[1].run("ip", "link", "set", "uplink", "down")
        crowd.talk([here], 1)
        crowd.until(lambda: len(hub.endings()) == 2, 60.0)
        browsers_s = time.monotonic() - start
        assert {ending["transport"] for ending in hub.endings()} == {"websocket"}
        crowd.until(lambda: len(hub.endings()) == 4, 120.0)
        lines_s = time.monotonic() - start
        record_property("browsers whose cable was pulled, gone after", f"{browsers_s:.1f} s")
        record_property("line clients whose cable was pulled, gone after", f"{lines_s:.1f} s")
        assert hub.reasons() == {"peer_timeout": 4}
        limits = hub.loop.hub.limits
        assert browsers_s <= 2 * limits.ping_s + 5
        assert USER_TIMEOUT_MS / 1000 - 5 <= lines_s <= USER_TIMEOUT_MS / 1000 + 5
        assert here.ended == ""


# Lost packets.


@pytest.mark.promise("network-bad-link")
@pytest.mark.parametrize("percent", [1, 5])
def test_over_a_line_that_loses_packets_all_hear_all_in_order(percent: int, record_property: Record) -> None:
    with Network() as network, hub_in(network) as hub, Crowd() as crowd:
        site = network.sites[0]
        clients = clients_in(site, hub, crowd, 25) + clients_in(site, hub, crowd, 25, "websocket")
        for namespace in (network.hub, site):
            lose(namespace, percent)
        start = time.monotonic()
        crowd.talk(clients, 100, filler=b"x" * 120)
        crowd.until_heard(clients, 100 * len(clients), 60.0)
        lost = sum(lose_nothing(namespace) for namespace in (network.hub, site))
        record_property(f"5,000 lines to 50 with {percent} % loss", f"{time.monotonic() - start:.1f} s")
        record_property(f"packets lost of {percent} %", lost)
        assert lost > 0
        assert hub.reasons() == {}
        assert_same_story(clients, clients)


# A narrow line.

NARROW = ("rate", "256kbit", "burst", "8kb", "limit", "64kb")


@pytest.mark.promise("network-narrow")
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("slow", ["disconnect", "skip"])
def test_one_client_behind_a_narrow_line_costs_others_nothing(
    slow: str, wire: str, record_property: Record
) -> None:
    options = {"slow": slow, "max_lag_bytes": 128 * 1024, "patience_s": 0}
    with Network(sites=2) as network, hub_in(network, **options) as hub, Crowd() as crowd:
        network.hub.run("tc", "qdisc", "add", "dev", "site2", "root", "tbf", *NARROW)
        here = clients_in(network.sites[0], hub, crowd, 10, wire)
        without = crowd.talk_for(here, here[0], 3.0)
        crowd.until_heard(here, said(here))
        (narrow,) = clients_in(network.sites[1], hub, crowd, 1, wire, name="narrow")
        before = said(here)

        def is_handled() -> bool:
            return bool(hub.endings() or hub.loop.hub.account.skipped)

        beside = crowd.talk_for(here, here[0], 60.0, is_handled)
        assert is_handled()
        crowd.talk(here, 1)  # A client that skipped goes on at the head of the room: these lines it gets.
        crowd.until_heard(here, said(here))
        assert_same_story(here, here)
        for what, taken in (("without", without), ("beside", beside)):
            record_property(
                f"p99 {what} a client at 256 kbit/s, {slow}, {wire}", f"{quantile(taken, 0.99) * 1000:.1f} ms"
            )
        assert quantile(beside, 0.99) < quantile(without, 0.99) + 0.2
        if slow == "disconnect":
            assert hub.reasons() == {"slow_consumer": 1}
        else:
            end = here[0].lines[-1] + b"\n"
            crowd.until(lambda: narrow.heard.endswith(end), 60.0)
            assert_gaps_are_told(narrow, here[0].lines[before:])
            assert hub.reasons() == {}


def assert_gaps_are_told(narrow: Polled, told: list[bytes]) -> None:
    """What it heard and what it was told that it missed are together all there was."""
    at = 0
    for line in narrow.lines:
        if line.startswith(b"* skipped "):
            at += int(line.split()[2])
        else:
            assert line == told[at]
            at += 1
    assert at == len(told)


# A partition.


@pytest.mark.promise("network-partition")
def test_a_partition_of_five_seconds_closes_nobody(record_property: Record) -> None:
    with Network(sites=2) as network, hub_in(network) as hub, Crowd() as crowd:
        here = clients_in(network.sites[0], hub, crowd, 5, name="here")
        away = [
            client
            for wire in WIRES
            for client in clients_in(network.sites[1], hub, crowd, 10, wire, name="away")
        ]
        everyone = here + away
        crowd.talk(everyone, 20)
        crowd.until_heard(everyone, 20 * len(everyone))
        lose(network.sites[1], 100)
        lose_from_site_2(network.hub)
        healed_s = time.monotonic() + 5.0
        while time.monotonic() < healed_s:  # Both sides talk on; only this side is heard.
            crowd.talk(everyone, 1)
            crowd.listen_for(0.05)
        assert not any(b"away" in line for line in here[0].lines[20 * len(everyone) :])
        lost = lose_nothing(network.sites[1]) + lose_nothing(network.hub)
        took_s = crowd.until_heard(everyone, said(everyone), 30.0)
        record_property("caught up after a partition of 5 s", f"{took_s:.1f} s")
        assert lost > 0
        assert hub.reasons() == {}
        assert_same_story(everyone, everyone)


def lose_from_site_2(hub: Namespace) -> None:
    hub.run("nft", "-f", "-", stdin=LOSE % 'meta iifname "site2"')


# One address in two spellings.


@pytest.mark.promise("network-addresses")
def test_an_address_has_one_limit_however_it_is_written() -> None:
    with Network() as network:
        with network.hub.inside():
            hub = ThreadHub(host=HUB_HOST, max_per_ip=2)
        with hub, network.sites[0].inside(), Peer(hub.port, HUB_HOST), Peer(hub.port, f"::ffff:{HUB_HOST}"):
            until(lambda: hub.loop.hub.connections.per_address == {"10.99.1.2": 2})
            for host in (HUB_HOST, f"::ffff:{HUB_HOST}"):
                with Peer(hub.port, host) as third:
                    assert third.line() == bye("per_ip_limit", "limit=2", end="\r\n")
            until(lambda: hub.reasons() == {"per_ip_limit": 2})


# Sockets that somebody else destroys.


@pytest.mark.promise("network-broken-link")
@each_trigger
def test_connections_killed_under_the_hub_are_an_io_error_each(
    trigger: str,
) -> None:
    with Network() as network, hub_in(network, trigger=trigger) as hub, Crowd() as crowd:
        site = network.sites[0]
        doomed = [v for wire in WIRES for v in clients_in(site, hub, crowd, 25, wire, name="doomed")]
        others = [v for wire in WIRES for v in clients_in(site, hub, crowd, 5, wire, name="other")]
        crowd.talk(doomed + others, 5)
        crowd.until_heard(others, 5 * 60)
        theirs = " or ".join(f"dport = :{client.port}" for client in doomed)
        network.hub.run("ss", "-K", "-t", "-n", f"( {theirs} )")
        crowd.until(lambda: all(client.ended for client in doomed) and len(hub.endings()) == 50)
        assert {(ending["reason"], ending["detail"]) for ending in hub.endings()} == {
            ("io_error", "ECONNABORTED")
        }
        assert len({ending["id"] for ending in hub.endings()}) == 50
        assert {client.ended for client in doomed} == {"reset"}
        crowd.talk(others, 20)
        crowd.until_heard(others, 5 * 60 + 20 * 10)
        assert_same_story(others, doomed + others)


# A full accept queue.


@pytest.mark.promise("network-accept-queue")
def test_everyone_is_served_after_the_accept_queue_overflowed(record_property: Record) -> None:
    count, queue = 500, 16
    with Network(sites=0) as made:
        network = made.hub
        with network.inside():
            Path("/proc/sys/net/core/somaxconn").write_text(f"{queue}\n")
            serve = HubProcess("--mode", "echo", "--no-web", "--no-ws")
        with serve as hub, ExitStack() as stack:
            hub.stand_still()
            with network.inside():
                socks = [stack.enter_context(connecting(hub.port)) for _ in range(count)]
            until(lambda: overflows(network) > 0)
            start = time.monotonic()
            wait_connected(socks[: queue // 2])
            hub.go_on()
            wait_connected(socks)
            everyone_is_echoed(socks)
            record_property("500 served after an overflow", f"{time.monotonic() - start:.1f} s")
            record_property("connections that the queue had no room for", overflows(network))
            stack.close()
            assert hub.stop() == 0


def connecting(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def overflows(network: Namespace) -> int:
    """ListenOverflows of a namespace: how often its accept queues were full."""
    with network.inside():
        names, values = Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2]
    return int(dict(zip(names.split(), values.split(), strict=True))["ListenOverflows"])


def wait_connected(socks: list[socket.socket]) -> None:
    for sock in socks:
        assert select.select([], [sock], [], 60.0)[1], "it did not get through"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def everyone_is_echoed(socks: list[socket.socket]) -> None:
    """One after the other: what many of them send again in the same moment overflows the queue again."""
    for number, sock in enumerate(socks):
        line = b"line %d\n" % number
        sock.settimeout(30.0)
        sock.sendall(line)
        assert sock.recv(100) == line
