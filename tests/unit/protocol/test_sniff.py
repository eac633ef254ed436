"""Other protocols are known by their first words, people never taken for them, and each gets its answer."""

import http.client
import socket
import ssl
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.protocol.sniff import FIRST_BYTES as MOST
from hub.protocol.sniff import foreign_protocol, is_proxy_header, is_tls_hello, reply_to

PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"

OPENERS = {
    "http": [
        b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET /a%20b?c=d#e HTTP/1.1", b"POST /submit HTTP/1.1",
        b"OPTIONS * HTTP/1.1", b"CONNECT example.org:443 HTTP/1.1", b"CONNECT [::1]:443 HTTP/1.1",
        b"GET http://example.org/ HTTP/1.1", b"M-SEARCH * HTTP/1.1", b"VERSION-CONTROL /x HTTP/1.1",
        "GET /ž HTTP/1.1".encode(), b"GET /" + b"x" * 8000 + b" HTTP/1.1",
        # Sloppy: blanks, tabs, controls, versions that there are not, small letters, a byte order mark.
        b"GET  / HTTP/1.1", b"GET\t/\tHTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET /a b HTTP/1.1",
        b"GET /../../etc passwd\t HTTP/1.0\t", b"POST /cgi-bin/x?a= ;id; HTTP/1.1", b"GET /\x00 HTTP/1.1",
        b"GET http://a.example/x y HTTP/1.1", b"GET / HTTP/1.", b"GET / HTTP/1.10", b"GET / HTTP/2.0",
        b"GET / HTTP/11", b"GET / HTTP/", b"GET / http/1.1", b"get / HTTP/1.1", b"Get / http/1.1",
        b"GET /" + b" " * 8000 + b" HTTP/1.1", b"\xef\xbb\xbfGET / HTTP/1.1",
        b"GET / HTTP/1.1\rHost: a\r",
    ],
    "http2": [b"PRI * HTTP/2.0"],
    "rtsp": [b"OPTIONS / RTSP/1.0", b"OPTIONS * RTSP/1.0", b"DESCRIBE rtsp://a.example/live RTSP/2.0"],
    "sip": [b"OPTIONS sip:nm SIP/2.0", b"REGISTER sip:a.example SIP/2.0", b"INVITE sip:1@a.example SIP/2.0"],
    "ssh": [
        b"SSH-2.0-OpenSSH_9.7", b"SSH-2.0-PuTTY_Release_0.81 comment", b"SSH-1.99-x", b"SSH-1.5-NmapNSE_1.0",
        b"SSH-2.0-\xff\0",
    ],
    "proxy": [
        b"PROXY TCP4 203.0.113.7 10.0.0.1 51000 9000", b"PROXY UNKNOWN", b"PROXY TCP4",
        b"PROXY TCP6 fe80::1 ", b"PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 51000 9000",
        b"PROXY UNKNOWN " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535",
    ],
    "rdp": [
        b"\x03\0\0\x2f*\xe0\0\0\0\0\0Cookie: mstshash=hello", b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0",
    ],
    None: [
        b"GET a life", b"GET a life HTTP/1.1", b"GET /", b"GET", b"GET /tea HTTP", b"get a HTTP/1.1",
        b"get /etc/passwd over http/1.1", b"do /a b HTTP/1.1", b"I like HTTP/1.1", b"I like it: HTTP/1.1 ok",
        b"M-SEARCH /a b HTTP/1.1", b"m-search / HTTP/1.1", b"M-SEARCH / http/1.1", b"GET x:y z HTTP/1.1",
        b"GET / HTTP/1.1 please", b"GET / HTTP-1.1", b"GET / XHTTP/1.1", b"GET / HTTP/1.1a",
        b"GET / HTTP/1.1\nx", b"GE:T / HTTP/1.1", b"* says HTTP/1.1", b"- / HTTP/1.1", b"/ HTTP/1.1",
        b"HTTP/1.1", b"HTTP/1.1 200 OK", b"PRI * HTTP/2.0 please", b"PRI HTTP/2", b"SIP/2.0 is old",
        b"OPTIONS are SIP/2.0", b"SSH-2.0", b"SSH-3.0-x", b"ssh-2.0-x", b"use SSH-2.0-x", b"SSH is down",
        b"PROXY", b"PROXY TCP4 is down", b"PROXY UNKNOWN to me", b"proxy unknown", b"PROXY TCP4 bad",
        b"PROXY TCP4 1 2 3 4 5", b"PROXY TC", b"\x03\0", b"\x03\0\0\x13\x0e\xd0", b"/help", b"", b" ",
        b"hello", b"\0",
        b"\x16\x03\x01", b"\xff\xfe", b"\xef\xbb\xbf", b"\xef\xbb\xbfhello",
    ],
}  # fmt: skip
FIRST_BYTES: dict[bool | None, list[bytes]] = {
    None: [b"", b"\x16", b"\x16\x03"],
    True: [*(bytes([0x16, 3, minor]) for minor in range(5)), b"\x16\x03\x01\x02\x00\x01"],
    False: [
        b"\x16\x03\x05", b"\x16\x03\xff", b"\x16\x02", b"\x16\x02\x01", b"\x16\n", b"\x15\x03\x01", b"G",
        b"\x03", b"\xff\xfd\x06", b" \x16\x03\x01",
    ],
}  # fmt: skip


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("protocol", OPENERS)
def test_a_protocol_is_known_by_its_whole_first_line(protocol: str | None) -> None:
    for first_line in OPENERS[protocol]:
        assert foreign_protocol(first_line) == protocol, first_line


@pytest.mark.parametrize("verdict", FIRST_BYTES)
def test_a_tls_hello_is_known_by_three_bytes(verdict: bool | None) -> None:
    for first in FIRST_BYTES[verdict]:
        assert is_tls_hello(first) is verdict, first


def test_a_proxy_header_is_known_by_five_bytes() -> None:
    for size in range(MOST):
        assert is_proxy_header(PROXY_2[:size]) is None
    for header in PROXY_2[:MOST], PROXY_2, PROXY_2 + b"\x21\x11\0\x0c":
        assert is_proxy_header(header) is True
    for talk in b"\n", b"\r\r", b"\r\n\n", b"\r\n\r\nh", b"PROXY":
        assert is_proxy_header(talk) is False


@pytest.mark.parametrize("unit", [b" ", b"\t/", b" HTTP/1", b" /", b"a ", b" HTTP/1.1  "])
def test_a_long_first_line_is_judged_in_linear_time(unit: bytes) -> None:
    start = time.thread_time()
    for line in b"GET /" + unit * 200_000, b"X:" + unit * 200_000 + b"!":
        foreign_protocol(line)
    assert time.thread_time() - start < 0.2


@pytest.mark.promise("hostile-protocols")
@given(data=st.one_of(st.binary(max_size=6), st.binary(max_size=4).map(lambda rest: b"\x16\x03" + rest)))
@example(data=b"\x16\x03\x01\x00")
@example(data=PROXY_2)
def test_a_verdict_once_given_never_changes_with_more_bytes(data: bytes) -> None:
    for judge in is_tls_hello, is_proxy_header:
        verdicts = [judge(data[:end]) for end in range(len(data) + 1)]
        decided = [verdict for verdict in verdicts if verdict is not None]
        assert len(set(decided)) <= 1
        assert verdicts == [None] * (len(verdicts) - len(decided)) + decided
        assert decided or len(data) < MOST


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("protocol", ["http", "http2"])
@pytest.mark.parametrize("hint", ["The page is at http://127.0.0.1:8080/", "Stránka je jinde", ""])
def test_http_gets_a_complete_answer_that_says_where_to_go(protocol: str, hint: str) -> None:
    reply = reply_to(protocol, hint)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(reply)
        ours.shutdown(socket.SHUT_WR)
        with http.client.HTTPResponse(theirs) as response:
            response.begin()
            body = response.read()
    assert (response.status, response.version) == (400, 11)
    assert response.getheader("Connection") == "close"
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert reply.partition(b"\r\n\r\n")[2] == body  # Nothing after what Content-Length promised.
    assert b"line hub" in body and body.endswith(b"\n")
    assert hint in body.decode()


@pytest.mark.promise("hostile-protocols")
def test_a_real_tls_client_is_known_and_understands_the_alert() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert is_tls_hello(outgoing.read()) is True
    incoming.write(reply_to("tls", "no room for this"))
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        client.do_handshake()


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize(("protocol", "version"), [("rtsp", b"RTSP/1.0 400 "), ("sip", b"SIP/2.0 400 ")])
def test_rtsp_and_sip_are_answered_in_their_own_version(protocol: str, version: bytes) -> None:
    reply = reply_to(protocol, "Try telnet.")
    assert reply.startswith(version)
    assert reply.endswith(f"not {protocol.upper()}.\nTry telnet.\n".encode())


@pytest.mark.parametrize("hint", ["Use telnet.", ""])
@pytest.mark.parametrize("protocol", ["ssh", "rdp", "proxy"])
def test_ssh_and_proxies_get_one_line_for_people(protocol: str, hint: str) -> None:
    reply = reply_to(protocol, hint)
    assert reply.startswith(b"* this is a line hub")
    assert protocol.upper().encode() in reply
    assert reply.endswith(b"\r\n") and reply.count(b"\n") == 1
    assert hint.encode() in reply or protocol == "proxy"  # To a proxy the page is of no use.
    assert not reply.endswith(b" \r\n")


def test_an_unknown_protocol_has_no_reply() -> None:
    with pytest.raises(ValueError, match="gopher"):
        reply_to("gopher", "")
