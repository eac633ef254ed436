"""The accept step: admission, refusals with a line, and what happens without descriptors."""

import socket
from typing import Any

import pytest

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.loop.acceptor import PAUSE_S
from hub.loop.admission import network_of
from hub.net.listeners import Socket
from hub.net.sockets import Sockets
from tests.loop.support import FromAfar, SteppedHub, no_descriptor_left
from tests.sim.stage import BROWSERS, LINES, SENDERS, Stage
from tests.support import Peer, bye, closing

# Who comes in.


@pytest.mark.promise("admission-full")
@pytest.mark.promise("lines-no-notices")
@pytest.mark.parametrize(
    ("listener", "notices", "line"),
    [
        (LINES, True, bye("server_full", "limit=1", end="\r\n")),
        (LINES, False, b""),
        (BROWSERS, False, b"HTTP/1.1 503 "),
    ],
)
def test_refusal_stands_in_the_close_log_and_the_counters(listener: int, notices: bool, line: bytes) -> None:
    stage = Stage(mode="echo", max_clients=1, notices=notices)
    stage.join()
    [late] = stage.arrive(listener=listener)
    stage.rest()
    assert late.got.partition(b"Service")[0] == line
    [end] = stage.ends
    assert (end["id"], end["reason"], end["detail"]) == (2, "server_full", "limit=1")
    assert (end["farewell"], end["bytes_out"]) == (bool(line), len(late.got))
    counters = stage.hub.counters
    assert (counters.accepted, counters.peak, counters.closed[CloseReason.SERVER_FULL]) == (2, 1, 1)


def test_a_refusal_arrives_though_the_peer_spoke_first() -> None:
    with SteppedHub(mode="echo", max_clients=1) as hub, closing(hub.join(1)), Peer(hub.port) as late:
        late.send(b"hello, is there room for me?\n" * 100)
        hub.turns_until(lambda: hub.hub.counters.closed[CloseReason.SERVER_FULL])
        assert late.rest() == bye("server_full", "limit=1", end="\r\n")


@pytest.mark.promise("admission-full")
def test_closing_client_counts_until_its_descriptor_closes() -> None:
    stage = Stage(mode="chat", max_clients=1)
    [quitter] = stage.join()
    quitter.send(b"/quit\n")
    stage.rest()
    assert not stage.hub.connections.clients
    [late] = stage.join()
    assert b"server_full" in late.got
    quitter.close()
    stage.rest()
    [next_one] = stage.join()
    assert next_one.got.startswith(b"* welcome")


def test_refused_program_that_never_reads_is_told_nothing() -> None:
    stage = Stage(max_clients=1, write_only_port=0)
    stage.join()
    [late] = stage.join(listener=SENDERS)
    [end] = stage.ends
    assert (late.got, end["reason"], end["farewell"]) == (b"", "server_full", False)


def test_peer_that_spoke_is_refused_without_a_reset() -> None:
    stage = Stage(mode="echo", max_clients=1)
    stage.join()
    [late] = stage.arrive()
    late.send(b"hello, is there room for me?\n" * 100)
    stage.rest()
    assert stage.hub.counters.closed[CloseReason.SERVER_FULL] == 1
    assert not late.remote.got_reset


def test_peak_is_the_most_that_were_open_at_a_time() -> None:
    stage = Stage(mode="echo")
    for actor in stage.join(3):
        actor.close()
    stage.rest()
    stage.join()
    assert (stage.hub.counters.accepted, stage.hub.counters.peak) == (4, 3)


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
        def listen(self, host: str, port: int) -> list[tuple[Socket, str]]:
            bound = super().listen(host, port)
            listeners.extend(bound)
            return bound

    listeners: list[tuple[Socket, str]] = []
    with SteppedHub(sockets=Keeping(), mode="echo") as hub, closing(hub.join(1)) as (inside,):
        port = hub.port
        listeners[0][0].shutdown(socket.SHUT_RDWR)
        before = hub.hub.sockets.calls["accept"]
        hub.turns(10)
        assert hub.hub.sockets.calls["accept"] == before + 1
        assert [fields for event, fields in hub.log if event == "listener_lost"] == [
            {"level": "warning", "transport": "line", "port": port}
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
@pytest.mark.parametrize(
    ("hosts", "refused", "options"),
    [
        (["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2"], [2], {}),
        (["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"], [1], {"max_per_ip": 1}),
        (["203.0.113.1"] * 3, [2], {"per_ip_exempt": ("198.51.100.0/24", "fd00::/8")}),
        (["2001:db8::1"] * 3, [2], {"per_ip_exempt": ("198.51.100.0/24", "fd00::/8")}),
        (["203.0.113.1"] * 3, [], {"per_ip_exempt": ("203.0.113.0/24",)}),
        (["2001:db8::1"] * 3, [], {"per_ip_exempt": ("2001:db8::/32",)}),
        (["2001:db8::1"] * 3, [], {"per_ip_exempt": ("10.0.0.0/8", "2001:db8::1/128")}),
        (["203.0.113.1"] * 3, [], {"max_per_ip": 0}),
        (["127.0.0.1"] * 3, [], {}),
        (["127.1.2.3"] * 3, [], {}),
        (["::1"] * 3, [], {}),
    ],
)
def test_limit_per_address_refuses_one_too_many(
    hosts: list[str], refused: list[int], options: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"mode": "echo", "max_per_ip": 2} | options
    with SteppedHub(sockets=FromAfar(*hosts), **settings) as hub, closing(hub.join(len(hosts))) as peers:
        for at, peer in enumerate(peers):
            if at in refused:
                assert peer.rest() == bye("per_ip_limit", f"limit={settings['max_per_ip']}", end="\r\n")
            else:
                hub.say(peer, b"inside\n")
                assert peer.line() == b"inside\n"
        assert hub.hub.connections.per_address.total() == len(hosts) - len(refused)


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
def test_accepting_stays_paused_while_no_descriptor_is_free() -> None:
    with SteppedHub(mode="echo") as hub, socket.socket() as waiting:
        sockets = hub.hub.sockets
        with no_descriptor_left(not_even_a_spare=True):
            waiting.connect(("127.0.0.1", hub.port))
            hub.turns_until(lambda: sockets.calls["accept"])
            for _ in range(5):
                hub.now_s += PAUSE_S
                hub.turns(3)
            assert sockets.calls["accept"] == 2
        hub.now_s += PAUSE_S - 0.01
        hub.turns(3)
        assert sockets.calls["accept"] == 2
        hub.now_s += 0.01
        hub.turns_until(lambda: hub.hub.connections.clients)
