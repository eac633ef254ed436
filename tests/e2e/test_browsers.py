"""WebSocket clients in the same loop, rooms and books as everybody else, on real sockets."""

from __future__ import annotations

import pytest

from hub.close_reasons import CloseReason
from tests.support import PAIRS, PATIENCE_S, HubProcess, Peer, ThreadHub, until
from tests.support_ws import Refused, WsPeer

pairs = pytest.mark.parametrize(("trigger", "read"), PAIRS)


def ended(hub: ThreadHub, reason: CloseReason) -> None:
    """Wait until exactly one connection has ended so."""
    until(lambda: hub.loop.hub.counters.closed[reason] == 1)


@pytest.mark.promise("order-one-sequence")
@pairs
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
@pairs
def test_broadcast_reaches_browsers_as_text_or_else_as_binary(trigger: str, read: str) -> None:
    with (
        ThreadHub(mode="broadcast", trigger=trigger, read=read) as hub,
        Peer(hub.port) as sender,
        WsPeer(hub.ws_port) as browser,
    ):
        sender.send("one\r\n\r\nzwölf\r\n".encode() + b"\xc3\x28\r\nlast\r\n")
        assert [browser.message() for _ in range(5)] == ["one", "", "zwölf", b"\xc3\x28", "last"]
        browser.say("mine")
        assert sender.read_until(b"mine\r\n").endswith(b"last\r\nmine\r\n")
        assert browser.message() == "mine"


@pytest.mark.promise("websocket-message")
@pairs
@pytest.mark.parametrize(
    "message", ["", "plain", "two\nlines\r\n", b"", b"\x00\xff\n", "x" * 70_000, b"y" * 70_000]
)
def test_echo_gives_a_message_back_as_it_came(trigger: str, read: str, message: str | bytes) -> None:
    hub_options = {"mode": "echo", "trigger": trigger, "read": read, "max_line_bytes": 1 << 20}
    with ThreadHub(**hub_options) as hub, WsPeer(hub.ws_port) as browser:
        for _ in range(3):
            browser.say(message)
        assert [browser.message() for _ in range(3)] == [message] * 3


@pytest.mark.promise("websocket-close")
def test_a_close_is_answered_with_its_code_after_what_was_owed() -> None:
    with ThreadHub() as hub, WsPeer(hub.ws_port) as browser:
        for number in range(1000):
            browser.say(f"line {number}")
        browser.close(1001, "gone away")
        assert browser.rest() == [f"line {number}" for number in range(1000)]
        assert browser.close_code == 1001
        ended(hub, CloseReason.PEER_CLOSED)
        (closed,) = until(lambda: hub.loop.hub.close_log.page(0, 1))
        assert (closed.transport, closed.detail) == ("websocket", "code=1001")


@pytest.mark.promise("websocket-close")
def test_the_farewell_of_a_websocket_is_its_close_frame() -> None:
    with ThreadHub(mode="chat") as hub, WsPeer(hub.ws_port) as browser:
        browser.say("/quit")
        assert not str(browser.rest()[-1]).startswith("* bye")
        assert (browser.close_code, browser.close_reason) == (1000, "reason=quit")


@pytest.mark.promise("websocket-close")
def test_a_drain_says_1001() -> None:
    with HubProcess("--mode", "chat") as hub, WsPeer(hub.ws_port) as browser:
        browser.read_until("/help lists commands")
        hub.process.terminate()
        assert browser.rest() == []
        assert browser.close_code == 1001
        assert hub.process.wait(PATIENCE_S) == 0


@pytest.mark.promise("websocket-too-long")
def test_a_message_that_is_too_long_ends_its_client() -> None:
    with ThreadHub(max_line_bytes=100) as hub, WsPeer(hub.ws_port) as browser:
        browser.say("good")
        browser.say("x" * 101)
        assert browser.rest()[0] == "good"
        assert browser.close_code == 1009
        ended(hub, CloseReason.LINE_TOO_LONG)


@pytest.mark.promise("websocket-too-long")
def test_a_binary_message_has_no_place_in_a_room() -> None:
    with ThreadHub(mode="chat") as hub, WsPeer(hub.ws_port) as browser:
        browser.say(b"\x00")
        browser.rest()
        assert browser.close_code == 1003
        ended(hub, CloseReason.PROTOCOL_ERROR)


def test_text_that_is_not_utf8_ends_its_client() -> None:
    with ThreadHub() as hub, WsPeer(hub.ws_port) as browser:
        browser.protocol.send_text(b"\xff")
        browser._send()
        browser.rest()
        assert browser.close_code == 1007
        ended(hub, CloseReason.INVALID_UTF8)


@pytest.mark.promise("websocket-origin")
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_a_page_that_is_not_ours_is_refused(origin: str) -> None:
    with HubProcess() as hub:
        with pytest.raises(Refused) as refused:
            WsPeer(hub.ws_port, origin=origin)
        assert refused.value.response is not None
        assert refused.value.response.status_code == 403
        until(lambda: hub.get("/api/summary")["closed"].get("origin_refused") == 1)


def test_our_own_page_is_let_in() -> None:
    with HubProcess("--mode", "echo") as hub, WsPeer(hub.ws_port, origin=hub.url.rstrip("/")) as browser:
        browser.say("hi")
        assert browser.message() == "hi"


@pytest.mark.promise("websocket-origin")
def test_a_name_that_is_not_ours_is_refused() -> None:
    with ThreadHub() as hub:
        with Peer(hub.ws_port) as forged:
            forged.send(
                b"GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b" 101 " not in forged.rest().partition(b"\r\n")[0]
        ended(hub, CloseReason.ORIGIN_REFUSED)


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize(
    "said", [b"hello\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x00\x05"]
)
def test_other_protocols_get_a_short_answer(said: bytes) -> None:
    with ThreadHub() as hub:
        with Peer(hub.ws_port) as stranger:
            stranger.send(said)
            assert stranger.rest()
        ended(hub, CloseReason.WRONG_PROTOCOL)


def test_a_full_hub_says_so_in_http() -> None:
    with ThreadHub(max_clients=1) as hub, Peer(hub.port):
        until(lambda: hub.loop.hub.connections.clients)
        with Peer(hub.ws_port) as refused:
            answer = refused.rest()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"reason=server_full" in answer


@pytest.mark.promise("viewer-receives")
def test_what_viewers_send_is_thrown_away_and_counted() -> None:
    with ThreadHub(mode="broadcast", read_only_port=0) as hub, Peer(hub.port) as sender:
        with Peer(hub.read_only_port) as viewer:
            until(lambda: len(hub.loop.hub.connections.clients) == 2)
            viewer.send(b"let me\nwrite\n")
            until(lambda: hub.loop.hub.counters.lines_discarded == 2)
            sender.send(b"news\n")
            assert viewer.line() == b"news\n"
        assert hub.loop.hub.counters.lines_in == 1


def settled(hub: ThreadHub) -> None:
    """Everybody has left, and the books balance."""
    until(lambda: not hub.loop.hub.connections.by_fd)
    hub.assert_books_balance()


@pairs
@pytest.mark.parametrize("mode", ["broadcast", "echo"])
def test_a_browser_that_reads_late_still_gets_every_message(trigger: str, read: str, mode: str) -> None:
    """The kernel takes frames in pieces that end anywhere, and the books count every byte of it."""
    with ThreadHub(mode=mode, trigger=trigger, read=read) as hub:
        with WsPeer(hub.ws_port, receive_buffer=4096) as browser:
            sent = []
            for number in range(300):
                sent.append(f"{number} " + "x" * (number * 7 % 2000))
                browser.say(sent[-1])
            assert [browser.message() for _ in sent] == sent
            browser.close()
            browser.rest()
        settled(hub)


def test_a_browser_that_reads_nothing_is_closed_and_others_go_on() -> None:
    with ThreadHub(max_lag_bytes=65536, mode="broadcast") as hub:
        with (
            WsPeer(hub.ws_port, receive_buffer=4096) as stuck,
            WsPeer(hub.ws_port) as reader,
            Peer(hub.port) as talker,
        ):
            sent = []
            while not hub.loop.hub.counters.closed[CloseReason.SLOW_CONSUMER]:
                sent.append(f"{len(sent)} " + "y" * 1000)
                talker.send(sent[-1].encode() + b"\n")
                assert reader.message() == sent[-1]
                assert talker.line()
                assert len(sent) < 10_000
            stuck.rest()
            assert stuck.close_code in (1013, 1006)
        settled(hub)


def test_a_reset_in_the_middle_leaves_balanced_books() -> None:
    with ThreadHub(mode="echo", max_line_bytes=1 << 20) as hub:
        browser = WsPeer(hub.ws_port, receive_buffer=4096)
        for _ in range(20):
            browser.say(b"z" * 50_000)
        until(lambda: hub.loop.hub.account.delivered > 100_000)
        Peer.reset(browser)  # type: ignore[arg-type]  # It needs nothing but the socket.
        settled(hub)


def test_every_one_of_many_empty_messages_is_echoed_and_counted() -> None:
    with ThreadHub(mode="echo") as hub:
        with WsPeer(hub.ws_port, receive_buffer=4096) as browser:
            for _ in range(2000):
                browser.protocol.send_text(b"")
            browser.sock.sendall(b"".join(browser.protocol.data_to_send()))
            assert [browser.message() for _ in range(2000)] == [""] * 2000
            (client,) = hub.loop.hub.connections.clients.values()
            until(lambda: client.outbox.lines_out == 2000)
        settled(hub)
