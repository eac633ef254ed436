"""The accept step on real sockets: admission, refusals with a line, and what happens without descriptors."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from hub.control.mailbox import Stop
from hub.loop.acceptor import PAUSE_S
from hub.loop.client_factory import network_of
from hub.loop.limits import Budgets
from hub.net.sockets import Sockets
from tests.loop.support import FromAfar, SteppedHub, no_descriptor_left
from tests.support import Peer, ThreadHub, closing, until
from tests.unit.net.test_sockets import needs_ipv6

NO_DESCRIPTOR = b"* bye reason=server_full limit=descriptors\r\n"


def rest_of(sock: socket.socket) -> bytes:
    """What a blocking socket gets up to the hub's end of stream."""
    got = b""
    while data := sock.recv(65536):
        got += data
    return got


# Who comes in.


@pytest.mark.promise("admission-full")
def test_full_hub_refuses_with_a_line_and_fills_up_again() -> None:
    with ThreadHub(mode="echo", max_clients=3) as hub:
        for round_ in range(3):
            with closing(hub.peers(3)) as inside:
                for _ in range(2):
                    with hub.peer() as late:
                        assert late.rest() == b"* bye reason=server_full limit=3\r\n"
                for peer in inside:
                    peer.send(b"hello\n")
                    assert peer.line() == b"hello\n"
            until(lambda: not hub.loop.hub.connections.by_fd)
            assert hub.loop.hub.counters.closed["server_full"] == 2 * (round_ + 1)
        ids = [end["id"] for end in hub.endings()]
        assert sorted(ids) == list(range(1, 16))


def test_refusal_stands_in_the_close_log_and_the_counters() -> None:
    with ThreadHub(mode="echo", max_clients=1) as hub, closing(hub.peers(1)), hub.peer() as late:
        line = late.rest()
        end = hub.ending()
        assert (end["id"], end["reason"], end["detail"]) == (2, "server_full", "limit=1")
        assert end["farewell"] and end["bytes_out"] == len(line)
        counters = hub.loop.hub.counters
        assert (counters.accepted, counters.refused, counters.peak) == (2, 1, 1)


def test_a_refusal_arrives_though_the_peer_spoke_first() -> None:
    with SteppedHub(mode="echo", max_clients=1) as hub, closing(hub.join(1)), Peer(hub.port) as late:
        late.send(b"hello, is there room for me?\n" * 100)
        hub.turns_until(lambda: hub.hub.counters.refused)
        assert late.rest() == b"* bye reason=server_full limit=1\r\n"


@pytest.mark.promise("lines-no-notices")
def test_without_notices_a_refusal_is_only_an_end() -> None:
    with (
        ThreadHub(mode="echo", max_clients=1, notices=False) as hub,
        closing(hub.peers(1)),
        hub.peer() as late,
    ):
        assert late.rest() == b""
        assert hub.ending()["reason"] == "server_full"


def test_closing_client_counts_until_its_descriptor_closes() -> None:
    with ThreadHub(mode="chat", max_clients=1) as hub, hub.peer() as quitter:
        quitter.send(b"/quit\n")
        quitter.rest()
        assert not hub.loop.hub.connections.clients
        with hub.peer() as late:
            assert b"server_full" in late.rest()
        quitter.close()
        until(lambda: not hub.loop.hub.connections.by_fd)
        with hub.peer() as next_one:
            assert next_one.line().startswith(b"* welcome")


def test_one_turn_lets_in_so_many_and_the_next_the_others() -> None:
    with SteppedHub(Budgets(accepts=4), mode="echo") as hub, closing([Peer(hub.port) for _ in range(10)]):
        let_in = []
        for _ in range(3):
            hub.turns()
            let_in.append(hub.hub.counters.accepted)
        assert let_in == [4, 8, 10]


def test_peer_reset_before_accept_is_closed_as_any_other() -> None:
    with SteppedHub(mode="echo") as hub, closing(hub.join(1)) as (other,):
        Peer(hub.port).reset()
        hub.turns_until(hub.endings)
        assert hub.ending()["reason"] == "peer_reset"
        hub.say(other, b"still here\n")
        assert other.line() == b"still here\n"


def test_peer_reset_before_its_refusal_is_refused() -> None:
    with SteppedHub(mode="echo", max_clients=1) as hub, closing(hub.join(1)):
        Peer(hub.port).reset()
        hub.turns_until(hub.endings)
        assert (hub.ending()["reason"], hub.ending()["farewell"]) == ("server_full", False)


def test_nobody_is_accepted_once_the_hub_drains() -> None:
    with SteppedHub(mode="echo", drain_s=0.0) as hub, closing(hub.join(1)):
        hub.mailbox.post(Stop())
        hub.turns()
        with socket.socket() as late, pytest.raises(ConnectionRefusedError):
            late.connect(("127.0.0.1", hub.port))


@pytest.mark.promise("close-listener")
def test_lost_listener_is_left_alone_and_the_hub_goes_on() -> None:
    """As `ss -K` does. It is reported in every wait from then on, so a hub that only tries again spins."""

    class Keeping(Sockets):
        def listen(self, host: str, port: int) -> list[tuple[socket.socket, str]]:
            bound = super().listen(host, port)
            listeners.extend(bound)
            return bound

    listeners: list[tuple[socket.socket, str]] = []
    with SteppedHub(sockets=Keeping(), mode="echo") as hub, closing(hub.join(1)) as (inside,):
        port = hub.port
        listeners[0][0].shutdown(socket.SHUT_RDWR)
        before = hub.hub.sockets.calls["accept"]
        hub.turns(10)
        assert hub.hub.sockets.calls["accept"] == before + 1
        assert [fields for event, fields in hub.log if event == "listener_lost"] == [
            {"transport": "line", "port": port}
        ]
        hub.say(inside, b"still here\n")
        assert inside.line() == b"still here\n"
        with socket.create_connection(("127.0.0.1", hub.ws_port)):  # The other listener is still one.
            hub.turns_until(lambda: len(hub.hub.connections.clients) == 2)


@pytest.mark.promise("close-listener")
def test_port_of_a_lost_listener_is_back_after_a_restart() -> None:
    with SteppedHub(mode="echo") as hub:
        fd, listener = next(
            (fd, each) for fd, each in hub.hub.acceptor.listeners.items() if each.port == hub.port
        )
        assert fd == listener.sock.fileno()
        listener.sock.shutdown(socket.SHUT_RDWR)
        hub.turns_until(lambda: [event for event, _ in hub.log if event == "listener_lost"])
        with socket.socket() as late, pytest.raises(ConnectionRefusedError):
            late.connect(("127.0.0.1", hub.port))
    with SteppedHub(mode="echo", port=hub.port) as again, closing(again.join(1)) as (peer,):
        again.say(peer, b"back\n")
        assert peer.line() == b"back\n"


# So many of one address.


@pytest.mark.promise("admission-full")
def test_limit_per_address_is_counted_for_each_address() -> None:
    sockets = FromAfar("203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2")
    with SteppedHub(sockets=sockets, mode="echo", max_per_ip=2) as hub, closing(hub.join(4)) as peers:
        assert peers[2].rest() == b"* bye reason=per_ip_limit limit=2\r\n"
        assert [end["reason"] for end in hub.endings()] == ["per_ip_limit"]
        for peer in (peers[0], peers[1], peers[3]):
            hub.say(peer, b"inside\n")
            assert peer.line() == b"inside\n"
        assert hub.hub.connections.per_address == {"203.0.113.1": 2, "203.0.113.2": 1}


@pytest.mark.promise("admission-full")
def test_the_64_of_one_ipv6_site_count_as_one_address() -> None:
    sockets = FromAfar("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1")
    with SteppedHub(sockets=sockets, mode="echo", max_per_ip=1) as hub, closing(hub.join(3)) as peers:
        assert peers[1].rest() == b"* bye reason=per_ip_limit limit=1\r\n"
        assert set(hub.hub.connections.per_address) == {"2001:db8::/64", "2001:db8:0:1::/64"}


@pytest.mark.parametrize(
    ("hosts", "options"),
    [
        (["203.0.113.1"] * 3, {"per_ip_exempt": ("203.0.113.0/24",)}),
        (["2001:db8::1"] * 3, {"per_ip_exempt": ("2001:db8::/32",)}),
        (["2001:db8::1"] * 3, {"per_ip_exempt": ("10.0.0.0/8", "2001:db8::1/128")}),
        (["203.0.113.1"] * 3, {"max_per_ip": 0}),
        (["127.0.0.1"] * 3, {}),
        (["127.1.2.3"] * 3, {}),
        (["::1"] * 3, {}),
    ],
)
def test_the_limit_per_address_does_not_bind(hosts: list[str], options: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"mode": "echo", "max_per_ip": 2} | options
    with SteppedHub(sockets=FromAfar(*hosts), **settings) as hub, closing(hub.join(3)):
        assert len(hub.hub.connections.clients) == 3


def test_an_exemption_of_one_network_is_no_exemption_of_another() -> None:
    sockets = FromAfar("203.0.113.1", "203.0.113.1", "2001:db8::1", "2001:db8::1")
    limits: dict[str, Any] = {"max_per_ip": 1, "per_ip_exempt": ("198.51.100.0/24", "fd00::/8")}
    with SteppedHub(sockets=sockets, mode="echo", **limits) as hub, closing(hub.join(4)):
        assert hub.hub.counters.closed == {"per_ip_limit": 2}


def test_place_of_an_address_is_free_at_the_close_decision() -> None:
    hosts = FromAfar(*["203.0.113.1"] * 4)
    with (
        SteppedHub(sockets=hosts, mode="chat", max_per_ip=2) as hub,
        closing(hub.join(2)) as (first, _),
    ):
        hub.say(first, b"/quit\n")
        with closing(hub.join(1)) as (third,), closing(hub.join(1)) as (fourth,):
            assert len(hub.hub.connections.by_fd) == 3  # The first peer has not closed its side yet.
            assert third.line().startswith(b"* welcome")
            assert b"per_ip_limit" in fourth.rest()


@needs_ipv6
def test_ipv6_loopback_is_exempt_from_the_limit_per_address() -> None:
    with ThreadHub(host="::1", max_per_ip=2) as hub, closing(hub.peers(4, host="::1")):
        until(lambda: hub.loop.hub.counters.accepted == 4)
        assert not hub.loop.hub.counters.closed


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_counts_as_one_address(host: str, network: str) -> None:
    assert network_of(host) == network


# Out of descriptors.


@pytest.mark.promise("resources-no-descriptor")
def test_peers_without_a_descriptor_are_told_and_no_spin() -> None:
    with ThreadHub(mode="echo") as hub, closing(hub.peers(1)) as (inside,):
        counters, calls = hub.loop.hub.counters, hub.loop.hub.sockets.calls
        late = [socket.socket() for _ in range(10)]
        with no_descriptor_left():
            turns, accepts = counters.turns, calls["accept"]
            for sock in late:
                sock.settimeout(10)
                sock.connect(("127.0.0.1", hub.port))
                assert rest_of(sock) == NO_DESCRIPTOR
            inside.send(b"still here\n")
            assert inside.line() == b"still here\n"
            turns, accepts = counters.turns - turns, calls["accept"] - accepts
        for sock in late:
            sock.close()
        # A turn for each, a turn for the echo, and what a publication or two cost.
        assert turns <= len(late) + 8
        # Each: one that fails, one with the spare; and once more each, to find that nobody is left.
        assert accepts <= 4 * len(late)
        with hub.peer() as peer:
            peer.sock.settimeout(5.0)
            peer.send(b"room again\n")
            assert peer.line() == b"room again\n"
        assert hub.loop.hub.counters.closed["server_full"] == len(late)


@pytest.mark.promise("resources-no-descriptor")
def test_accepting_pauses_without_a_spare_and_resumes() -> None:
    with ThreadHub(mode="echo") as hub, closing(hub.peers(1)) as (inside,):
        counters, calls = hub.loop.hub.counters, hub.loop.hub.sockets.calls
        with socket.socket() as waiting:
            with no_descriptor_left(not_even_a_spare=True):
                before = calls["accept"]
                waiting.connect(("127.0.0.1", hub.port))
                until(lambda: calls["accept"] > before)
                turns = counters.turns
                for _ in range(20):
                    inside.send(b"still here\n")
                    assert inside.line() == b"still here\n"
                assert calls["accept"] == before + 2
                assert counters.turns <= turns + 25
            waiting.settimeout(5.0)
            waiting.sendall(b"at last\n")
            assert waiting.recv(100) == b"at last\n"


def test_accepting_stays_paused_while_no_descriptor_is_free() -> None:
    with SteppedHub(mode="echo") as hub, socket.socket() as waiting:
        accepts = hub.hub.sockets.calls
        with no_descriptor_left(not_even_a_spare=True):
            waiting.connect(("127.0.0.1", hub.port))
            hub.turns_until(lambda: accepts["accept"])
            for _ in range(5):
                hub.now_s += PAUSE_S
                hub.turns(3)
            assert accepts["accept"] == 2
        hub.now_s += PAUSE_S - 0.01
        hub.turns(3)
        assert accepts["accept"] == 2
        hub.now_s += 0.01
        hub.turns_until(lambda: hub.hub.connections.clients)
