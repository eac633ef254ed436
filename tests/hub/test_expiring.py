"""The expire step: what it means that a clock has run out."""

from __future__ import annotations

import select
from contextlib import ExitStack
from dataclasses import replace

import pytest

from hub.config.values import Rate
from hub.loop.context import Budgets
from hub.session.client import Client
from tests.hub.support_turns import SteppedHub, take_all
from tests.hub.support_websocket import close, request_to, text
from tests.support import PATIENCE_S, Peer, ThreadHub, closing, until

MASKED_PONG = b"\x8a\x80\0\0\0\0"
MASKED_PING = b"\x89\x80\0\0\0\0"
LINES = [b"line %d" % number for number in range(50)]


def test_a_warning_comes_before_the_end_and_the_farewell_names_the_timeout() -> None:
    times = {"idle_timeout_s": 1.0, "idle_warning_s": 0.8}
    with ThreadHub(mode="chat", announce=0, **times) as hub, hub.peer() as peer:
        peer.read_until(b"/help lists commands\n")
        assert peer.rest() == b"* idle: say something within 0.8 s, or be gone\n* bye reason=idle after=1s\n"
        ending = hub.ending()
        assert ending["reason"] == "idle"
        assert ending["lateness_ms"] >= 0


def test_who_talks_after_the_warning_is_warned_again_and_not_ended_early() -> None:
    times = {"idle_timeout_s": 1.2, "idle_warning_s": 1.0}
    with ThreadHub(mode="chat", announce=0, **times) as hub, hub.peer() as peer:
        peer.read_until(b"or be gone\n")
        peer.send(b"here\n")
        peer.read_until(b"<guest-1> here\n")
        assert peer.rest().count(b"or be gone\n") == 1
        assert hub.ending()["age_s"] >= 0.2 + 1.2


@pytest.mark.promise("lines-no-notices")
def test_without_notices_nobody_is_warned() -> None:
    times = {"idle_timeout_s": 10, "idle_warning_s": 5}
    with SteppedHub(mode="chat", notices=False, **times) as hub, closing(hub.join(1)) as (peer,):
        client = hub.client(peer)
        for _ in range(2):
            hub.now_s += 5.1
            hub.turns(3)
        assert client.reason == "idle"
        assert peer.rest() == b""


def test_relay_modes_warn_nobody() -> None:
    with ThreadHub(idle_timeout_s=0.3, idle_warning_s=0.2) as hub, hub.peer() as peer:
        assert peer.rest() == b"* bye reason=idle after=0.3s\n"
        assert hub.ending()["lines_out"] == 1


def test_a_fresh_client_is_greeted_when_it_has_said_nothing_for_a_moment() -> None:
    with ThreadHub(mode="chat") as hub, hub.peer() as peer:
        client = until(lambda: hub.loop.hub.clients.get(1))
        peer.read_until(b"guest-1 joined\n")
        assert not client.fresh
        assert client.lines_in == 0


def knock(hub: SteppedHub, said: bytes) -> tuple[Peer, Client]:
    """A connection to the WebSocket port that has said so much, and the hub's side of it."""
    peer = Peer(hub.ws_port)
    client = hub.turns_until(lambda: next(iter(hub.hub.clients.values()), None))
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
            assert client.reason is None
            hub.now_s += 0.2
            hub.turns()
            assert client.reason == "handshake_timeout"
            hub.settle()
            assert peer.rest().startswith(b"HTTP/1.1 408 ")


@pytest.mark.promise("pause-active")
def test_a_request_that_waits_to_be_read_at_its_deadline_is_read() -> None:
    with SteppedHub(Budgets(turn_bytes=1), idle_timeout_s=0) as hub, ExitStack() as stack:
        peers = [stack.enter_context(Peer(hub.ws_port)) for _ in range(2)]
        hub.turns_until(lambda: len(hub.hub.clients) == 2)
        for peer in peers:
            hub.deliver(peer, request_to(hub.ws_port))
        hub.now_s += 3600
        hub.turns()  # One of them is read in this turn.
        for peer in peers:
            hub.turns_until(lambda peer=peer: take_all(peer).startswith(b"HTTP/1.1 101 "))


@pytest.mark.promise("pause-active")
def test_who_was_sent_nothing_yet_is_not_stuck() -> None:
    budgets = Budgets(client_bytes=60, read_bytes=60, sends=1, sends_between_clock_readings=1)
    with SteppedHub(budgets, mode="chat", idle_timeout_s=0) as hub, closing(hub.join(3)) as peers:
        hub.hub.intake = replace(hub.hub.intake, private_bytes=1000)
        clients = [hub.deliver(peer, b"/help\n" * 100) for peer in peers]
        untried = hub.turns_until(lambda: [each for each in clients if each.choked and not each.blocked])
        hub.now_s += 3600
        hub.turns()
        assert {client.reason for client in untried} == {None}


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
            assert client.reason is None


@pytest.mark.promise("websocket-ping")
def test_a_websocket_that_answers_no_ping_ends_as_peer_timeout() -> None:
    with SteppedHub(idle_timeout_s=0) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            hub.now_s += 19.9
            hub.turns(2)
            assert not client.pinged
            hub.now_s += 0.2
            hub.turns(2)
            assert client.pinged
            hub.now_s += 19.9
            hub.turns(2)
            assert client.reason is None
            hub.now_s += 0.2
            hub.turns()
            assert client.reason == "peer_timeout"


def test_a_websocket_that_talks_is_not_asked_whether_it_is_there() -> None:
    with SteppedHub(idle_timeout_s=0) as hub:
        peer, client = knock(hub, request_to(hub.ws_port))
        with peer:
            for _ in range(5):
                hub.now_s += 15
                hub.say(peer, text("here"))
                assert not client.pinged
            hub.now_s += 20.1
            hub.turns(2)
            assert client.pinged


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
                assert client.pinged
                hub.say(peer, frame)
            hub.now_s += 9
            hub.turns()
            assert client.reason is None
            hub.now_s += 2
            hub.turns()
            assert client.reason == "idle"


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
            assert client.reason is None


@pytest.mark.promise("websocket-ping")
@pytest.mark.parametrize(
    ("end", "reason"),
    [(close(1000), "peer_closed"), (text(b"x" * 9000), "line_too_long"), (b"", "peer_closed")],
    ids=["close", "offence", "fin"],
)
def test_whose_end_waits_behind_its_lines_is_not_asked_whether_it_is_there(end: bytes, reason: str) -> None:
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
            assert client.reason == reason


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
            assert client.reason is None
            hub.now_s += 3
            hub.turns()
            assert client.reason == "idle"


def test_a_reset_that_the_idle_clock_finds_first_is_still_a_reset() -> None:
    with SteppedHub(idle_timeout_s=5, mode="broadcast") as hub:
        (peer,) = hub.join()
        client = hub.client(peer)
        hub.say(peer, b"unfinished")
        hub.now_s += 6
        peer.reset()
        hangup = select.poll()
        hangup.register(client.fd, 0)
        assert hangup.poll(1000 * PATIENCE_S)
        hub.loop._known_until = hub.now_s
        hub.loop._expire(hub.now_s)  # as it is when the reset comes in the middle of a turn
        assert client.gone == "peer_reset"
        hub.turns(2)
        assert client.reason == "peer_reset"
        assert client.lines_in == 0


@pytest.mark.promise("idle-handshake")
def test_nobody_is_warned_at_its_handshake() -> None:
    with SteppedHub(mode="chat", idle_timeout_s=4, idle_warning_s=2) as hub:
        handshake = request_to(hub.ws_port)
        peer, _ = knock(hub, handshake[:20])
        with peer:
            hub.now_s += 2.5
            hub.turns(2)
            hub.say(peer, handshake[20:])
            assert peer.line() == b"HTTP/1.1 101 Switching Protocols\r\n"
