"""The first bytes of other protocols, at both ports: closed with their reason, and nobody hears a word.

At the port of lines few protocols can be told from talk (docs/reference/line-protocol.md); what may be talk
is talk, cleaned like any other. The port of browsers takes nothing but its own handshake.
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
    *(start + b"Cookie: session=1\r\n\r\n" for start in (
        b"\r\nGET / HTTP/1.1\r\n", b"\n\r\n\r\nGET / HTTP/1.1\r\n", b"\n\rGET / HTTP/1.1\n\r",
        b"GET /a b HTTP/1.1\r\n", b"GET\t/\tHTTP/1.0\r\r\n", b"GET /?q=<x> y HTTP/1.1 \r\n",
        b"get / http/1.1\n",
        b"\xef\xbb\xbfGET / HTTP/1.1\r\n", b"HEAD / HTTP/2\r\n", b"GET / HTTP/\r\n",
        b"POST /cgi-bin/.%2e/bin/sh HTTP/1.1\r\n", b"GET index.php HTTP/1.1\r\n", b"HEAD HTTP/1.0\r\n",
        b"PROPFIND /my docs HTTP/1.1\r\n", b"GET / HTTP/1.1;\r\n", b"\0\0\r\n\0GET / HTTP/1.1\r\n",
    )),
]  # fmt: skip
PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"  # haproxy.org, proxy-protocol.txt: behind it LOCAL or PROXY, family, size.
TLS = [b"\x16\x03" + bytes([minor]) + _HELLO for minor in range(5)]
FOREIGN = {
    "http": HTTP,
    "http2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x12\4\0\0\0\0\0" + b"\0\3\0\0\0\x64" * 3],
    "tls": TLS,
    "ssh": [b"SSH-2.0-OpenSSH_9.7\r\nhello\n", b"SSH-2.0-Go\n/quit\n", b"SSH-2.0-libssh2_1.11.1 x\r\n"],
    "proxy": [
        b"PROXY TCP4 203.0.113.7 10.0.0.1 51000 9000\r\nGET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP6 2001:db8::7 ::1 51000 9000\r\n/nick root\n",
        b"PROXY UNKNOWN\r\nhello\n",
        PROXY_2 + b"\x20\0\0\0",
        PROXY_2 + b"\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\xff\xfb\x23\x28" + TLS[1],
        PROXY_2 + b"\x21\x21\0\x24" + b"\n" * 36 + b"GET / HTTP/1.1\r\n\r\n",
    ],
    # The probes of nmap 7 and of what scans for telephones, cameras and remote desktops.
    "rtsp": [
        b"OPTIONS / RTSP/1.0\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"DESCRIBE rtsp://10.0.0.1/live RTSP/1.0\r\nCSeq: 2\r\n\r\n",
    ],
    "sip": [
        b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\nFrom: <sip:nm@nm>;tag=root\r\n\r\n",
        b"REGISTER sip:10.0.0.1 SIP/2.0\r\nTo: <sip:1@10.0.0.1>\r\n\r\n",
    ],
    "rdp": [
        b"\3\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0",
        b"\x03\0\0\x2f\x2a\xe0\0\0\0\0\0Cookie: mstshash=root\r\n\1\0\x08\0\3\0\0\0",
    ],
}
OTHERS = {
    "smb": b"\x00\x00\x00\x54\xffSMBr\x00\x00\x00\x00\x18\x01\x28" + b"\0" * 20 + b"\x02NT LM 0.12\0",
    "resp": b"*1\r\n$4\r\nPING\r\n",
    "mqtt": b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test",
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "smtp": b"EHLO evil.example\r\nMAIL FROM:<a@b>\r\n",
    "irc": b"NICK root\r\nUSER root 0 * :root\r\n",
    "http 0.9": b"GET /\r\n",
    "line of text": b"GET a life\r\nI like HTTP/1.1\r\n",
    "socks4": b"\x04\x01\x00\x50\x7f\x00\x00\x01root\x00",
    "bittorrent": b"\x13BitTorrent protocol" + b"\0" * 8 + b"x" * 40,
    "java": b"\xac\xed\x00\x05sr\x00",
    "proxy in words": b"PROXY TCP4 is down\r\n",
    "empty lines": b"\r\n\r\n",
    "random": random.Random(4).randbytes(4096),
    "random text": random.Random(5).randbytes(4096).replace(b"\xff", b"\n"),
}
IN_ITS_OWN_WORDS = {"http", "http2", "tls", "rtsp", "sip"}
ALL = [*(opener for openers in FOREIGN.values() for opener in openers), *OTHERS.values()]


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("protocol", FOREIGN)
def test_another_protocol_is_closed_at_the_line_port_unheard(protocol: str) -> None:
    with ThreadHub(mode="chat", history=0) as hub, hub.peer() as ann:
        ann.read_until(b"/help lists commands\n")
        for count, opener in enumerate(FOREIGN[protocol], 1):
            answer = answer_to(hub.port, opener)
            assert b"* " not in answer if protocol in IN_ITS_OWN_WORDS else answer.count(b"* ") == 1
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
                if is_begun := b"\n" not in opener.strip():
                    peer.half_close()  # Some of them could still become a request.
                peer.rest()
            ending = hub.ending(count)
            known = {"wrong_protocol", "protocol_error"} | ({"peer_closed"} if is_begun else set())
            assert ending["reason"] in known, opener
        with WsPeer(hub.ws_port) as browser:
            greeting = str(browser.message())
            assert f"you are guest-{len(ALL) + 2} in lobby, with 1 other" in greeting
            ann.send(b"done\n")
            assert [browser.message(), browser.message()] == ["* guest-1 joined", "<guest-1> done"]
        assert ann.read_until(b"<guest-1> done\n") == b"* guest-1 joined\n<guest-1> done\n"
