"""OPENING: what a client is, gets and counts for before its mode lets it in, and what lets it in."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from hub.control.mailbox import Stop
from hub.loop.limits import Budgets
from hub.loop.snapshot_maker import client_row
from hub.protocol.sniff import reply_to
from hub.session.client import Phase
from tests.loop.support import FromAfar, SteppedHub, take_all
from tests.support import Peer, closing
from tests.unit.protocol.support import request_to

FOREIGN = {
    "http": b"GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n",
    "tls": b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\x0a\xff\xf1\x0d\x00",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
}
WELCOME = b"* welcome to hubbub - you are guest-%d in lobby, with %s; /help lists commands\n"
BYE_SHUTDOWN = b"* bye reason=server_shutdown\n"


# Before it is open.


@pytest.mark.parametrize("protocol", FOREIGN)
def test_foreign_protocol_in_chat_gets_its_answer_only(protocol: str) -> None:
    with SteppedHub(mode="chat", history=10) as hub, closing(hub.join(1)) as (witness,):
        hub.say(witness, b"history\n")
        take_all(witness)
        with closing(hub.join(1, opening=True)) as (peer,):
            hub.say(peer, FOREIGN[protocol])
            assert peer.rest() == reply_to(protocol, hub.hub.status.hint)
        hub.turns_until(hub.endings)
        end = hub.ending()
        assert (end["reason"], end["detail"]) == ("wrong_protocol", f"protocol={protocol}")
        assert (end["nick"], end["room"]) == ("", "")
        assert witness.nothing_waits()


@pytest.mark.parametrize("protocol", FOREIGN)
def test_foreign_opener_unread_at_50_ms_gets_its_answer_only(protocol: str) -> None:
    one_a_turn = Budgets(turn_bytes=1)
    with SteppedHub(one_a_turn, mode="chat") as hub, closing(hub.join(2, opening=True)) as peers:
        for peer in peers:
            hub.deliver(peer, FOREIGN[protocol])
        hub.now_s += 3600
        hub.turns(3)
        for peer in peers:
            assert peer.rest() == reply_to(protocol, hub.hub.status.hint)


@pytest.mark.parametrize("half", [True, False], ids=["half-close", "close"])
def test_end_of_stream_without_a_byte_closes_silently(half: bool) -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (witness,):
        take_all(witness)
        with closing(hub.join(1, opening=True)) as (peer,):
            if half:
                hub.deliver(peer, b"", fin=True)
            else:
                peer.close()
            hub.turns_until(hub.endings)
            assert not half or peer.rest() == b""
        end = hub.ending()
        assert (end["reason"], end["bytes_out"], end["room"]) == ("peer_closed", 0, "")
        assert witness.nothing_waits()


@pytest.mark.parametrize("notices", [True, False])
def test_drain_gives_an_opening_client_the_farewell_only(notices: bool) -> None:
    with SteppedHub(mode="chat", notices=notices) as hub, closing(hub.join(1, opening=True)) as (peer,):
        hub.mailbox.post(Stop())
        hub.turns(2)
        assert peer.rest() == (BYE_SHUTDOWN if notices else b"")


def test_drain_answers_a_browser_before_its_handshake_with_503() -> None:
    with SteppedHub(mode="chat") as hub, Peer(hub.ws_port) as browser:
        hub.turns_until(lambda: hub.hub.connections.clients)
        hub.mailbox.post(Stop())
        hub.turns(2)
        assert browser.rest().startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("websocket", [True, False], ids=["websocket", "line"])
def test_opening_client_counts_as_open_and_is_no_member(websocket: bool) -> None:
    with SteppedHub(mode="chat", max_clients=1) as hub, Peer(hub.ws_port if websocket else hub.port):
        hub.turns_until(lambda: hub.hub.connections.clients)
        client = hub.hub.connections.clients[1]
        assert client.phase is Phase.OPENING and client_row(client, "", hub.now_s).state == "opening"
        assert client.room is None and not hub.hub.rooms.lobby.members
        assert hub.hub.mode.nick(client) == ""
        with Peer(hub.port) as late:
            hub.turns_until(lambda: hub.hub.counters.refused)
            assert b"server_full" in late.rest()
        assert hub.hub.maker.summary(hub.now_s).clients.open == 1


def test_opening_client_counts_for_its_address() -> None:
    hosts = FromAfar("203.0.113.1", "203.0.113.1")
    with (
        SteppedHub(sockets=hosts, mode="chat", max_per_ip=1) as hub,
        closing(hub.join(2, opening=True)) as (_, late),
    ):
        assert b"per_ip_limit" in late.rest()


# What opens it.


@pytest.mark.promise("limits-newcomer")
def test_silent_client_is_open_after_50_ms_and_not_before() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, opening=True)) as (peer,):
        client = hub.client(peer)
        hub.now_s += 0.9 * hub.hub.limits.opening_s
        hub.turns(2)
        assert client.phase is Phase.OPENING and peer.nothing_waits()
        hub.now_s += 0.2 * hub.hub.limits.opening_s
        hub.turns()
        assert client.phase is Phase.OPEN
        assert take_all(peer) == WELCOME % (1, b"nobody else")


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"hi\n", b"* guest-1 joined\n<guest-1> hi\n"),
        (b"hi\r\n", b"* guest-1 joined\r\n<guest-1> hi\r\n"),
        (b"\xff\xfd\x01", b"\xff\xfc\x01"),
        (b"\n", b"* guest-1 joined\n"),
    ],
    ids=["LF", "CRLF", "telnet", "empty"],
)
def test_first_line_or_telnet_command_opens_a_client_at_once(first: bytes, answer: bytes) -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, opening=True)) as (peer,):
        cut = 0 if first.startswith(b"\xff") else -1  # Its first byte is telnet already.
        client = hub.deliver(peer, first[:cut])
        hub.turns(2)
        assert client.phase is Phase.OPENING and peer.nothing_waits()
        hub.say(peer, first[cut:])
        assert client.phase is Phase.OPEN
        welcome = WELCOME % (1, b"nobody else")
        if first.startswith(b"\xff"):
            welcome = welcome.replace(b"\n", b"\r\n")
        assert take_all(peer) == welcome + answer


def test_unfinished_line_opens_a_client_at_its_end_of_stream() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, opening=True)) as (peer,):
        hub.deliver(peer, b"hi", fin=True)
        hub.turns_until(hub.endings)
        assert peer.rest() == WELCOME % (1, b"nobody else") + b"* guest-1 joined\n<guest-1> hi\n"


def test_clients_that_open_in_one_turn_are_as_many_as_its_budget() -> None:
    with SteppedHub(Budgets(starts=2), mode="chat") as hub, closing(hub.join(5, opening=True)):
        hub.now_s += 2 * hub.hub.limits.opening_s
        members = []
        for _ in range(3):
            hub.turns()
            members.append(len(hub.hub.rooms.lobby.members))
        assert members == [2, 4, 5]


@pytest.mark.parametrize("mode", ["echo", "broadcast"])
def test_line_client_of_a_relay_mode_is_open_at_once(mode: str) -> None:
    with SteppedHub(mode=mode) as hub, closing(hub.join(1, opening=True)) as (peer,):
        assert hub.client(peer).phase is Phase.OPEN


def test_browser_is_open_when_its_handshake_is_done() -> None:
    with SteppedHub(mode="chat") as hub, ExitStack() as stack:
        browser = stack.enter_context(Peer(hub.ws_port))
        hub.turns_until(lambda: hub.hub.connections.clients)
        client = hub.hub.connections.clients[1]
        handshake = request_to(hub.ws_port)
        hub.say(browser, handshake[:-2])
        hub.now_s += 2 * hub.hub.limits.opening_s
        hub.turns(2)
        assert client.phase is Phase.OPENING and browser.nothing_waits()
        hub.say(browser, handshake[-2:])
        assert client.phase is Phase.OPEN and client.id in hub.hub.rooms.lobby.members
        assert b"welcome to hubbub" in browser.read_until(b"commands")


def test_silent_client_comes_and_goes_without_a_notice() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1)) as (witness,):
        take_all(witness)
        with closing(hub.join(1)) as (silent,):
            assert take_all(silent) == WELCOME % (2, b"1 other")
        hub.turns_until(hub.endings)
        assert witness.nothing_waits()
