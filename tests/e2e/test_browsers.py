"""WebSocket clients in the same loop, rooms and books as everybody else, on real sockets."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.frames import Opcode

from tests.support import HubProcess, Peer, ThreadHub, each_pair, until
from tests.support_ws import Refused, WsPeer
from tests.unit.protocol.support import masked

MESSAGES = ["", "plain", "two\nlines\r\n", b"", b"\x00\xff\n", "x" * 70_000, b"y" * 70_000]


@pytest.mark.promise("order-one-sequence")
@each_pair
def test_a_browser_and_a_line_client_see_the_same_chat(trigger: str, read: str) -> None:
    with (
        ThreadHub(mode="chat", trigger=trigger, read=read) as hub,
        Peer(hub.port) as window,
        WsPeer(hub.ws_port) as browser,
    ):
        assert "you are guest-2 in lobby" in str(browser.message())
        window.read_until(b"/help lists commands\n")
        window.send("grüß dich\n".encode())
        lines = ["* guest-1 joined", "<guest-1> grüß dich"]
        assert [browser.message() for _ in lines] == lines
        assert window.read_until(b"dich\n").decode().splitlines() == lines
        browser.say("hello\nthere\r\nand\rnow\n")
        lines = ["* guest-2 joined", *(f"<guest-2> {word}" for word in ("hello", "there", "and", "now"))]
        assert [browser.message() for _ in lines] == lines
        assert window.read_until(b"now\n").decode().splitlines() == lines
        browser.say("/nick ann")
        assert browser.message() == "* you are now ann"


@pytest.mark.promise("websocket-message")
@each_pair
def test_broadcast_reaches_browsers_as_text_or_else_as_binary(trigger: str, read: str) -> None:
    with (
        ThreadHub(trigger=trigger, read=read) as hub,
        Peer(hub.port) as sender,
        WsPeer(hub.ws_port) as browser,
    ):
        sender.send("one\r\n\r\nzwölf\r\n".encode() + b"\xc3\x28\r\nlast\r\n")
        assert [browser.message() for _ in range(5)] == ["one", "", "zwölf", b"\xc3\x28", "last"]
        browser.say("mine")
        assert sender.read_until(b"mine\r\n").endswith(b"last\r\nmine\r\n")
        assert browser.message() == "mine"


@pytest.mark.promise("websocket-message")
@each_pair
def test_echo_gives_a_message_back_as_it_came(trigger: str, read: str) -> None:
    hub_options = {"mode": "echo", "trigger": trigger, "read": read, "max_line_bytes": 1 << 20}
    with ThreadHub(**hub_options) as hub, WsPeer(hub.ws_port, receive_buffer=4096) as browser:
        for message in MESSAGES * 3:
            browser.say(message)
        assert [browser.message() for _ in range(3 * len(MESSAGES))] == MESSAGES * 3


def test_every_one_of_many_empty_messages_is_echoed_and_counted() -> None:
    with ThreadHub(mode="echo") as hub, WsPeer(hub.ws_port, receive_buffer=4096) as browser:
        for _ in range(2000):
            browser.protocol.send_text(b"")
        browser.sock.sendall(b"".join(browser.protocol.data_to_send()))
        assert [browser.message() for _ in range(2000)] == [""] * 2000
        (client,) = hub.loop.hub.connections.clients.values()
        until(lambda: client.outbox.lines_out == 2000)


@pytest.mark.promise("websocket-close")
def test_a_close_is_answered_with_its_code_after_what_was_owed() -> None:
    lines = [f"line {number}" for number in range(1000)]
    with ThreadHub() as hub, WsPeer(hub.ws_port) as browser:
        for line in lines:
            browser.say(line)
        browser.close(1001, "gone away")
        assert browser.rest() == lines
        assert browser.close_code == 1001
        closed = hub.ending()
        assert (closed["reason"], closed["transport"], closed["detail"]) == (
            "peer_closed", "websocket", "code=1001",
        )  # fmt: skip


@pytest.mark.promise("websocket-close")
@pytest.mark.promise("websocket-too-long")
@pytest.mark.parametrize(
    ("options", "message", "code", "reason"),
    [
        ({"mode": "chat"}, "/quit", 1000, "quit"),
        ({"max_line_bytes": 100}, "x" * 65_537, 1009, "line_too_long"),
        ({"mode": "chat"}, b"\x00", 1003, "protocol_error"),
        ({}, "\udcff", 1007, "invalid_utf8"),
    ],
)
def test_the_farewell_of_a_websocket_is_its_close_frame(
    options: dict[str, Any], message: str | bytes, code: int, reason: str
) -> None:
    with ThreadHub(**options) as hub, WsPeer(hub.ws_port) as browser:
        browser.say("good")
        if isinstance(message, str):  # The case whose text is no UTF-8.
            browser.protocol.send_text(message.encode(errors="surrogateescape"))
        else:
            browser.protocol.send_binary(message)
        browser.sock.sendall(b"".join(browser.protocol.data_to_send()))
        heard = browser.rest()
        browser.sock.close()
        assert str(heard[-1]).endswith("good")
        assert browser.close_code == code and str(browser.close_reason).startswith(f"reason={reason}")
        assert hub.ending()["reason"] == reason


@pytest.mark.promise("websocket-origin")
def test_only_our_own_page_is_let_in() -> None:
    with HubProcess("--mode", "echo") as hub:
        for origin in ("http://evil.example", "null", "http://localhost:1"):
            with pytest.raises(Refused) as refused:
                WsPeer(hub.ws_port, origin=origin)
            assert refused.value.response is not None
            assert refused.value.response.status_code == 403
        with WsPeer(hub.ws_port, origin=hub.url.rstrip("/")) as browser:
            browser.say("hi")
            assert browser.message() == "hi"
        assert hub.closed(4) == {"origin_refused": 3, "peer_closed": 1}


@pytest.mark.promise("close-one-reason")
@pytest.mark.parametrize("leave", [Peer.reset, Peer.close, Peer.half_close])
def test_a_browser_that_leaves_its_handshake_is_no_fault(leave: Callable[[Peer], None]) -> None:
    """ThreadHub finds the log without a fault, and the books balanced."""
    with ThreadHub(mode="chat") as hub, ExitStack() as stack:
        head = b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nUpgrade: websocket\r\n" % hub.ws_port
        head += b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        head += b"Sec-WebSocket-Version: 13\r\n\r\n"
        sent = [head[:cut] for cut in (0, 1, 20, len(head) - 1, len(head))]
        sent += [head + masked(Opcode.CLOSE, b"\x03\xe8"), head + b"\x81", head + b"\xff" * 9]
        for data in sent:
            peer = stack.enter_context(Peer(hub.ws_port))
            peer.send(data)
            leave(peer)
        closed = hub.loop.hub.counters.closed
        until(lambda: sum(closed.values()) == len(sent))
        expected = {"silent", "peer_closed", "peer_reset", "protocol_error"}
        assert {str(reason) for reason, count in closed.items() if count} <= expected


def test_a_full_hub_says_so_in_http() -> None:
    with ThreadHub(max_clients=1) as hub, Peer(hub.port):
        until(lambda: hub.loop.hub.connections.clients)
        with Peer(hub.ws_port) as refused:
            answer = refused.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"reason=server_full" in answer
