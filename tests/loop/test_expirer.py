"""The expire step: what it means that a timer has run out."""

from __future__ import annotations

import select
from contextlib import ExitStack

import pytest

from hub.config.values import Rate
from hub.loop.limits import Budgets
from hub.session.client import Client
from hub.session.read_gate import OUTBOX
from tests.loop.support import LINE, SteppedHub, take_all
from tests.support import PATIENCE_S, Peer, closing
from tests.unit.protocol.support import close, request_to, text

MASKED_PONG = b"\x8a\x80\0\0\0\0"
MASKED_PING = b"\x89\x80\0\0\0\0"
LINES = [b"line %d" % number for number in range(50)]


WARNING = b"* idle: say something within 8 s, or be gone\n"
TIMES = {"idle_timeout_s": 10.0, "idle_warning_s": 8.0}


def heard_after(hub: SteppedHub, peer: Peer, *steps_s: float) -> list[bytes]:
    """What this client gets as so many seconds pass, step by step."""
    heard = []
    for passed_s in steps_s:
        hub.now_s += passed_s
        hub.turns(2)
        heard.append(take_all(peer))
    return heard


def test_idle_client_is_warned_then_told_the_timeout() -> None:
    with SteppedHub(mode="chat", **TIMES) as hub, closing(hub.join(1)) as (peer,):
        take_all(peer)
        farewell = b"* bye reason=idle after=10s\n"
        assert heard_after(hub, peer, 1.9, 0.2, 7.8, 0.2) == [b"", WARNING, b"", farewell]
        peer.close()
        hub.turns_until(hub.endings)
        assert hub.ending()["lateness_ms"] == pytest.approx(100)


def test_line_after_a_warning_starts_the_idle_time_anew() -> None:
    with SteppedHub(mode="chat", announce=0, **TIMES) as hub, closing(hub.join(1)) as (peer,):
        assert heard_after(hub, peer, 2.1)[0].endswith(WARNING)
        hub.say(peer, b"here\n")
        assert take_all(peer) == b"<guest-1> here\n"
        assert heard_after(hub, peer, 1.9, 0.2, 7.8) == [b"", WARNING, b""]
        assert b"reason=idle" in heard_after(hub, peer, 0.2)[0]


@pytest.mark.promise("lines-no-notices")
def test_without_notices_nobody_is_warned() -> None:
    with SteppedHub(mode="chat", notices=False, **TIMES) as hub, closing(hub.join(1)) as (peer,):
        assert heard_after(hub, peer, 2.1, 8.0) == [b"", b""]
        assert hub.client(peer).close.reason == "idle"


def test_relay_modes_warn_nobody() -> None:
    with SteppedHub(**TIMES) as hub, closing(hub.join(1)) as (peer,):
        assert heard_after(hub, peer, 2.1, 8.0) == [b"", b"* bye reason=idle after=10s\n"]


def knock(hub: SteppedHub, said: bytes) -> tuple[Peer, Client]:
    """A connection to the WebSocket port that has said so much, and the hub's side of it."""
    peer = Peer(hub.ws_port)
    client = hub.turns_until(lambda: next(iter(hub.hub.connections.clients.values()), None))
    hub.say(peer, said)
    return peer, client


@pytest.mark.promise("idle-handshake")
def test_a_handshake_that_trickles_in_ends_after_five_seconds() -> None:
    with SteppedHub() as hub:
        peer, client = knock(hub, b"GET / HTTP/1.1\r\n")
        with peer:
            for _ in range(4):
                hub.now_s += 1.2
                hub.say(peer, b"X: y\r\n")
            assert client.close.reason is None
            hub.now_s += 0.2
            hub.turns()
            assert client.close.reason == "handshake_timeout"
            hub.settle()
            assert peer.rest().startswith(b"HTTP/1.1 408 ")


@pytest.mark.promise("pause-active")
def test_request_unread_at_the_handshake_deadline_is_read() -> None:
    with SteppedHub(Budgets(turn_bytes=1), idle_timeout_s=0) as hub, ExitStack() as stack:
        peers = [stack.enter_context(Peer(hub.ws_port)) for _ in range(2)]
        hub.turns_until(lambda: len(hub.hub.connections.clients) == 2)
        for peer in peers:
            hub.deliver(peer, request_to(hub.ws_port))
        hub.now_s += 3600
        hub.turns()  # A turn reads one of the two.
        for peer in peers:
            hub.turns_until(lambda peer=peer: take_all(peer).startswith(b"HTTP/1.1 101 "))


@pytest.mark.promise("pause-active")
def test_client_that_was_sent_nothing_yet_is_not_stuck() -> None:
    budgets = Budgets(sends=1, sends_between_clock_readings=1)
    with SteppedHub(budgets, mode="chat", idle_timeout_s=0) as hub, closing(hub.join(3)) as peers:
        clients = [hub.deliver(peer, b"hello\n") for peer in peers]
        for client in clients:
            hub.hub.ready.put(client, LINE * 200)
        hub.turns()
        untried = [each for each in clients if each.gate.has(OUTBOX) and not each.outbox.blocked]
        assert untried
        hub.now_s += 3600
        hub.turns()
        assert {client.close.reason for client in untried} == {None}


@pytest.mark.promise("websocket-ping")
def test_a_websocket_that_answers_its_pings_stays_for_ever() -> None:
    with SteppedHub(idle_timeout_s=0) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            peer.read_until(b"\r\n\r\n")
            for _ in range(10):
                hub.now_s += 20
                hub.turns(2)
                assert peer.read(2) == b"\x89\0"
                hub.say(peer, MASKED_PONG)
            assert client.close.reason is None


@pytest.mark.promise("websocket-ping")
def test_a_websocket_that_answers_no_ping_ends_as_peer_timeout() -> None:
    with SteppedHub(idle_timeout_s=0) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            hub.now_s += 19.9
            hub.turns(2)
            assert not client.inbox.pinged
            hub.now_s += 0.2
            hub.turns(2)
            assert client.inbox.pinged
            hub.now_s += 19.9
            hub.turns(2)
            assert client.close.reason is None
            hub.now_s += 0.2
            hub.turns()
            assert client.close.reason == "peer_timeout"


def test_a_websocket_that_talks_is_not_asked_whether_it_is_there() -> None:
    with SteppedHub(idle_timeout_s=0) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            for _ in range(5):
                hub.now_s += 15
                hub.say(peer, text("here"))
                assert not client.inbox.pinged
            hub.now_s += 20.1
            hub.turns(2)
            assert client.inbox.pinged


@pytest.mark.promise("idle-activity")
@pytest.mark.parametrize("frame", [MASKED_PING, MASKED_PONG], ids=["ping", "pong"])
@pytest.mark.parametrize("strategy", ["deadline", "sweep", "poll"])
def test_pings_and_pongs_are_no_activity(strategy: str, frame: bytes) -> None:
    with SteppedHub(idle_timeout_s=50, sweep_interval_s=1, idle_strategy=strategy) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            for _ in range(2):
                hub.now_s += 20
                hub.turns(2)
                assert client.inbox.pinged
                hub.say(peer, frame)
            hub.now_s += 9
            hub.turns()
            assert client.close.reason is None
            hub.now_s += 2
            hub.turns()
            assert client.close.reason == "idle"


@pytest.mark.promise("websocket-message")
@pytest.mark.parametrize("mode", ["chat", "broadcast", "echo"])
def test_an_empty_message_is_an_empty_line_and_so_is_activity(mode: str) -> None:
    with SteppedHub(mode=mode, idle_timeout_s=50, idle_strategy="deadline") as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            hub.now_s += 40
            hub.say(peer, text(b""))
            hub.now_s += 40
            hub.turns()
            assert client.close.reason is None


@pytest.mark.promise("websocket-ping")
@pytest.mark.parametrize(
    ("end", "reason"),
    [(close(1000), "peer_closed"), (text(b"x" * 9000), "line_too_long"), (b"", "peer_closed")],
    ids=["close", "offence", "fin"],
)
def test_browser_whose_end_waits_behind_lines_is_not_pinged(end: bytes, reason: str) -> None:
    """A peer answers nothing behind its Close, so that it says nothing is no sign."""
    with SteppedHub(idle_timeout_s=0, line_rate=Rate(1, "s", 1)) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer, closing(hub.join(1)) as (listener,):
            hub.deliver(peer, b"".join(map(text, LINES)) + end, fin=not end)
            for _ in LINES:
                hub.turns(3)
                hub.now_s += 1
            hub.turns(3)
            assert take_all(listener) == b"".join(b"%b\n" % line for line in LINES)
            assert client.close.reason == reason


@pytest.mark.promise("idle-handshake")
def test_the_idle_time_of_a_websocket_starts_when_it_is_let_in() -> None:
    with SteppedHub(idle_timeout_s=3, mode="broadcast") as hub:
        peer, client = knock(hub, b"")
        with peer:
            hub.now_s += 2.9
            handshake = request_to(hub.ws_port)
            hub.say(peer, handshake[:20])
            hub.deliver(peer, handshake[20:])
            hub.now_s += 0.2
            hub.turns(2)
            assert client.close.reason is None
            hub.now_s += 3
            hub.turns()
            assert client.close.reason == "idle"


def test_reset_found_by_the_idle_timer_is_a_reset() -> None:
    with SteppedHub(idle_timeout_s=5, mode="broadcast") as hub:
        (peer,) = hub.join()
        client = hub.client(peer)
        hub.say(peer, b"unfinished")
        hub.now_s += 6
        peer.reset()
        hangup = select.poll()
        hangup.register(client.fd, 0)
        assert hangup.poll(1000 * PATIENCE_S)
        hub.hub.expirer.step(hub.now_s, hub.now_s)  # As when the reset comes in the middle of a turn.
        assert client.close.peer_error == "peer_reset"
        hub.turns(2)
        assert client.close.reason == "peer_reset"
        assert client.inbox.lines_in == 0


@pytest.mark.promise("idle-handshake")
def test_browser_in_its_handshake_is_not_warned() -> None:
    with SteppedHub(mode="chat", idle_timeout_s=4, idle_warning_s=2) as hub:
        handshake = request_to(hub.ws_port)
        peer, _ = knock(hub, handshake[:20])
        with peer:
            hub.now_s += 2.5
            hub.turns(2)
            hub.say(peer, handshake[20:])
            assert peer.line() == b"HTTP/1.1 101 Switching Protocols\r\n"
