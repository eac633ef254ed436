"""The first bytes of other protocols, at both ports: closed with their reason, and nobody hears a word.

At the port of lines only four protocols can be told from talk (docs/reference/line-protocol.md); what may
be talk is talk, cleaned like any other. The port of browsers takes nothing but its own handshake.
"""

import random
from contextlib import suppress

import pytest

from tests.support import Peer, ThreadHub, until
from tests.support_ws import WsPeer

_BODY = b"Host: localhost:9000\r\nContent-Length: 20\r\n\r\n/nick root\nI am root\n"
_HELLO = b"\x00\x2e\x01\x00\x00\x2a\x03\x03" + bytes(range(10, 42)) + b"\n/quit\n"
HTTP = [
    *(method + b" / HTTP/1.1\r\n" + _BODY for method in (b"GET", b"POST", b"M-SEARCH")),
    b"OPTIONS * HTTP/1.1\r\n" + _BODY, b"CONNECT evil.example:443 HTTP/1.1\r\n" + _BODY,
    b"GET http://localhost:9000/chat HTTP/1.1\r\n" + _BODY, b"GET / HTTP/1.0\n\n",
    b"GET / HTTP/1.1\n" + b"X: y\n" * 500 + b"\nhello\n",
    b"GET / HTTP/1.1\r\nHost: localhost:9000\r\nUpgrade: h2c\r\n\r\nhello\n",
]  # fmt: skip
TLS = [b"\x16\x03" + bytes([minor]) + _HELLO for minor in range(5)]
FOREIGN = {
    "http": HTTP,
    "http2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x12\4\0\0\0\0\0" + b"\0\3\0\0\0\x64" * 3],
    "tls": TLS,
    "ssh": [b"SSH-2.0-OpenSSH_9.7\r\nhello\n", b"SSH-2.0-Go\n/quit\n", b"SSH-2.0-libssh2_1.11.1 x\r\n"],
}
OTHERS = {
    "rdp": b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
    "smb": b"\x00\x00\x00\x54\xffSMBr\x00\x00\x00\x00\x18\x01\x28" + b"\0" * 20 + b"\x02NT LM 0.12\0",
    "resp": b"*1\r\n$4\r\nPING\r\n",
    "mqtt": b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test",
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "smtp": b"EHLO evil.example\r\nMAIL FROM:<a@b>\r\n",
    "irc": b"NICK root\r\nUSER root 0 * :root\r\n",
    "rtsp": b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "socks4": b"\x04\x01\x00\x50\x7f\x00\x00\x01root\x00",
    "bittorrent": b"\x13BitTorrent protocol" + b"\0" * 8 + b"x" * 40,
    "java": b"\xac\xed\x00\x05sr\x00",
    "proxy": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    "random": random.Random(4).randbytes(4096),
    "random text": random.Random(5).randbytes(4096).replace(b"\xff", b"\n"),
}
ALL = [*(opener for openers in FOREIGN.values() for opener in openers), *OTHERS.values()]


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("protocol", FOREIGN)
def test_another_protocol_is_closed_at_the_line_port_unheard(protocol: str) -> None:
    with ThreadHub(mode="chat", history=0) as hub, hub.peer() as ann:
        ann.read_until(b"/help lists commands\n")
        for count, opener in enumerate(FOREIGN[protocol], 1):
            assert b"* " not in answer_to(hub.port, opener) or protocol == "ssh"
            closed = hub.ending(count)
            assert closed["reason"] == "wrong_protocol"
            assert closed["detail"] == f"protocol={protocol}"
        ann.send(b"done\n")
        heard = ann.read_until(b"done\n").decode().splitlines()
        assert heard == ["* guest-1 joined", "<guest-1> done"]


def answer_to(port: int, opener: bytes) -> bytes:
    """All that comes back, up to the hub's end of stream, which does not wait for ours."""
    with Peer(port) as peer:
        with suppress(ConnectionError):
            peer.send(opener)
            return peer.rest()
        return peer.seen


@pytest.mark.promise("hostile-protocols")
def test_what_may_be_talk_harms_nobody_at_the_line_port() -> None:
    with ThreadHub(mode="chat", history=0) as hub, hub.peer() as ann:
        ann.read_until(b"/help lists commands\n")
        for opener in OTHERS.values():
            with hub.peer() as peer, suppress(ConnectionError):
                peer.send(opener)
                peer.half_close()
                peer.rest()
        until(lambda: len(hub.endings()) == len(OTHERS))
        ann.send(b"done\n")
        heard = ann.read_until(b"<guest-1> done\n").decode()
        assert all(char.isprintable() or char in "\n\t" or ord(char) > 0xFF for char in heard)
        reasons = {ending["reason"] for ending in hub.endings()}
        assert reasons <= {"peer_closed", "peer_reset", "protocol_error"}


@pytest.mark.promise("hostile-protocols")
def test_nothing_but_a_handshake_passes_the_port_of_browsers() -> None:
    with ThreadHub(mode="chat", history=0) as hub, hub.peer() as ann:
        ann.read_until(b"/help lists commands\n")
        for count, opener in enumerate(ALL, 1):
            with Peer(hub.ws_port) as peer, suppress(ConnectionError):
                peer.send(opener)
                if opener.count(b"\n") == 0:
                    peer.half_close()  # Some of them could still become a request.
                peer.rest()
            ending = hub.ending(count)
            known = {"wrong_protocol", "protocol_error"} | ({"peer_closed"} if b"\n" not in opener else set())
            assert ending["reason"] in known, opener
        with WsPeer(hub.ws_port) as browser:
            greeting = str(browser.message())
            assert f"you are guest-{len(ALL) + 2} in lobby, with 1 other" in greeting
            ann.send(b"done\n")
            assert [browser.message(), browser.message()] == ["* guest-1 joined", "<guest-1> done"]
        assert ann.read_until(b"<guest-1> done\n") == b"* guest-1 joined\n<guest-1> done\n"
