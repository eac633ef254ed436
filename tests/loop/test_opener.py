"""OPENING: what a client is, gets and counts for before its mode lets it in, and what lets it in."""

from contextlib import ExitStack

import pytest

from hub.close_reasons import CloseReason
from hub.control.mailbox import Stop
from hub.loop.limits import Budgets
from hub.loop.snapshot_maker import client_row, summary
from hub.protocol.sniff import reply_to
from tests.loop.support import SteppedHub, take_all
from tests.sim.stage import Stage
from tests.support import Peer, bye, closing
from tests.unit.protocol.support import request_to

FOREIGN = {
    "http": b"\r\n\nGET / HTTP/1.1\r\nHost: hub.example\r\nCookie: a=b\r\n\r\n",
    "proxy": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\2\xff\xfb\x23\x28GET / HTTP/1.1\r\n\r\n",
    "rtsp": b"OPTIONS / RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "tls": b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\x0a\xff\xf1\x0d\x00",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "rdp": b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0",
}
WELCOME = b"* welcome to hubbub - you are guest-%d in lobby, with %s; /help lists commands\n"
BYE_SHUTDOWN = bye("server_shutdown")


# Before it is open.


@pytest.mark.promise("lines-no-notices")
@pytest.mark.parametrize("notices", [True, False])
@pytest.mark.parametrize("protocol", FOREIGN)
def test_foreign_protocol_in_chat_gets_its_answer_only(protocol: str, notices: bool) -> None:
    """The opener comes in two parts; one peer's second part is still unread when its 50 ms are over."""
    stage = Stage(mode="chat", history=10, notices=notices, budgets=Budgets(turn_bytes=1))
    stage.hub.status.page_port = 8123
    [witness] = stage.join()
    witness.send(b"history\n")
    stage.rest()
    heard, peers = witness.got, stage.arrive(2)
    for part in (FOREIGN[protocol][:2], FOREIGN[protocol][2:]):
        stage.rest()
        for peer in peers:
            peer.send(part)
    stage.kernel.now += 3600
    stage.rest()
    hint = stage.hub.status.hint
    assert "port 8123" in hint
    assert {peer.got for peer in peers} == {reply_to(protocol, hint)}
    for peer in peers:
        peer.half_close()
    stage.rest()
    ends = {(end["reason"], end["detail"], end["nick"], end["room"]) for end in stage.ends}
    assert ends == {("wrong_protocol", f"protocol={protocol}", "", "")}
    assert witness.got == heard


@pytest.mark.parametrize(("opener", "protocol"), [(b"GET / HTTP/1.1", "http"), (b"SSH-2.0-x", "ssh")])
def test_foreign_line_that_ends_with_the_stream_is_answered(opener: bytes, protocol: str) -> None:
    stage = Stage(mode="chat")
    [peer] = stage.arrive()
    peer.send(opener)
    peer.half_close()
    stage.rest()
    assert peer.got == reply_to(protocol, "Try telnet.")  # There is no page to name.
    [end] = stage.ends
    assert (end["reason"], end["detail"]) == ("wrong_protocol", f"protocol={protocol}")


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("mode", ["broadcast", "echo"])
@pytest.mark.parametrize("size", [1, 100], ids=["byte by byte", "whole"])
@pytest.mark.parametrize("protocol", ["http", "proxy"])
def test_empty_lines_before_a_foreign_line_are_lines(protocol: str, size: int, mode: str) -> None:
    """A relay has passed them on when the next line tells the protocol; the reply follows them."""
    stage = Stage(mode=mode, self_echo=True)
    [witness] = stage.join()
    [peer] = stage.arrive()
    opener = FOREIGN[protocol]
    for at in range(0, len(opener), size):
        peer.send(opener[at : at + size])
        stage.rest()
    peer.half_close()
    stage.rest()
    assert peer.got == b"\r\n\r\n" + reply_to(protocol, "Try telnet.")
    assert witness.got == (b"\n\n" if mode == "broadcast" else b"")
    [end] = stage.ends
    assert end["reason"] == "wrong_protocol"


def test_blank_lines_alone_open_nobody_in_chat() -> None:
    """Port scanners send them."""
    stage = Stage(mode="chat")
    [witness] = stage.join()
    heard, [peer] = witness.got, stage.arrive()
    peer.send(b"\r\n \r\n")
    stage.rest()
    assert stage.client(peer).phase == "opening"
    peer.half_close()
    stage.rest()
    assert (peer.got, witness.got) == (b"", heard)
    [end] = stage.ends
    assert (end["reason"], end["room"]) == ("peer_closed", "")


@pytest.mark.promise("hostile-protocols")
def test_foreign_line_behind_blanks_after_50_ms_is_unheard() -> None:
    """Chat has greeted the client by then, and gets lines in which nobody sees anything."""
    stage = Stage(mode="chat")
    [witness] = stage.join()
    heard, [peer] = witness.got, stage.arrive()
    stage.pass_time(0.060)
    for part in b"\r\n\xef\xbb\xbf\n", b"\x0b\x0c\n\0\n", b"GET index.php HTTP/1.1\r\nCookie: a=b\r\n\r\n":
        peer.send(part)
        stage.rest()
    assert peer.got.endswith(reply_to("http", "Try telnet."))
    assert witness.got == heard


@pytest.mark.parametrize("way", ["half_close", "close"])
def test_end_of_stream_without_a_byte_closes_silently(way: str) -> None:
    stage = Stage(mode="chat")
    [witness] = stage.join()
    heard, [peer] = witness.got, stage.arrive()
    stage.rest()
    getattr(peer, way)()
    stage.rest()
    [end] = stage.ends
    assert (end["reason"], end["bytes_out"], end["room"]) == ("silent", 0, "")
    assert peer.got == b"" and witness.got == heard


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
        assert client.phase == "opening" and client_row(client, "", hub.now_s).state == "opening"
        assert client.room is None and hub.hub.rooms.lobby.size == 0
        assert hub.hub.mode.nick(client) == ""
        with Peer(hub.port) as late:
            hub.turns_until(lambda: hub.hub.counters.closed[CloseReason.SERVER_FULL])
            assert b"server_full" in late.rest()
        assert summary(hub.hub, hub.now_s).clients.open == 1


# What opens it.


@pytest.mark.promise("limits-newcomer")
def test_silent_client_is_open_after_50_ms_and_not_before() -> None:
    stage = Stage(mode="chat")
    [silent] = stage.arrive()
    stage.rest()
    stage.pass_time(0.045)
    assert stage.client(silent).phase == "opening" and silent.got == b""
    stage.pass_time(0.010)
    assert stage.client(silent).phase == "open"
    assert silent.got == WELCOME % (1, b"nobody else")


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"hi\n", b"* guest-1 joined\n<guest-1> hi\n"),
        (b"hi\r\n", b"* guest-1 joined\r\n<guest-1> hi\r\n"),
        (b"\xff\xfd\x01", b"\xff\xfc\x01"),
        (b"\n\nhi\n", b"* guest-1 joined\n<guest-1> hi\n"),
    ],
    ids=["LF", "CRLF", "telnet", "empty first"],
)
def test_first_line_or_telnet_command_opens_a_client_at_once(first: bytes, answer: bytes) -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, opening=True)) as (peer,):
        cut = 0 if first.startswith(b"\xff") else -1  # Its first byte is telnet already.
        client = hub.deliver(peer, first[:cut])
        hub.turns(2)
        assert client.phase == "opening" and peer.nothing_waits()
        hub.say(peer, first[cut:])
        assert client.phase == "open"
        welcome = WELCOME % (1, b"nobody else")
        if first.startswith(b"\xff"):
            welcome = welcome.replace(b"\n", b"\r\n")
        assert take_all(peer) == welcome + answer


def test_unfinished_line_opens_a_client_at_its_end_of_stream() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(1, opening=True)) as (peer,):
        hub.deliver(peer, b"hi", fin=True)
        hub.turns_until(hub.endings)
        assert peer.rest() == WELCOME % (1, b"nobody else") + b"* guest-1 joined\n<guest-1> hi\n"


def test_browser_is_open_when_its_handshake_is_done() -> None:
    with SteppedHub(mode="chat") as hub, ExitStack() as stack:
        browser = stack.enter_context(Peer(hub.ws_port))
        hub.turns_until(lambda: hub.hub.connections.clients)
        client = hub.hub.connections.clients[1]
        handshake = request_to(hub.ws_port)
        hub.say(browser, handshake[:-2])
        hub.now_s += 2 * hub.hub.limits.opening_s
        hub.turns(2)
        assert client.phase == "opening" and browser.nothing_waits()
        hub.say(browser, handshake[-2:])
        assert client.phase == "open" and client.outbox in hub.hub.rooms.lobby.members()
        assert b"welcome to hubbub" in browser.read_until(b"commands")
