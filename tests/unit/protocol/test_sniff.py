"""Other protocols are known by their first words, people never taken for them, and each gets its answer."""

import http.client
import socket
import ssl
import time

import pytest

from hub.protocol.sniff import FIRST_BYTES, foreign_protocol, protocol_by_bytes, reply_to

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
        # Any target and none, other methods with blanks, careless versions, controls before and behind.
        b"GET index.php HTTP/1.1", b"GET ../../etc/passwd HTTP/1.1", b"GET ?id=1 HTTP/1.1", b"GET  HTTP/1.1",
        b"HEAD HTTP/1.0", b"CONNECT example.com HTTP/1.1", b"GET \\..\\boot.ini HTTP/1.0",
        b"PROPFIND /my docs HTTP/1.1", b"MKCOL /a b HTTP/1.1", b"PURGE /a b HTTP/1.1",
        b"M-SEARCH /a b HTTP/1.1", b"QUERY a HTTP/1.1", b"GET x:y z HTTP/1.1", b"TRACE me HTTP/1.1",
        b"GET a life HTTP/1.1", b"GET / HTTP/1.1;", b"GET / HTTP/1.x", b"GET / HTTP/1.1\0",
        b"GET / HTTP/1.1 \0", b"get / http/1.1;", b"\0GET / HTTP/1.1", b"\x0b\x0c \t\1GET / HTTP/1.1",
        b" \rGET / HTTP/1.1\r", b"\0\xef\xbb\xbf GET / HTTP/1.1", b"FOO /a HTTP/1.1", b"m-search * http/1.1",
    ],
    "http2": [b"PRI * HTTP/2.0"],
    "rtsp": [b"OPTIONS / RTSP/1.0", b"OPTIONS * RTSP/1.0", b"DESCRIBE rtsp://a.example/live RTSP/2.0",
        b"DESCRIBE rtsp://cam/live main RTSP/1.0", b"OPTIONS /live main RTSP/1.0"],
    "sip": [b"OPTIONS sip:nm SIP/2.0", b"REGISTER sip:a.example SIP/2.0", b"INVITE sip:1@a.example SIP/2.0",
        b"INVITE sip:bob @hub SIP/2.0", b"OPTIONS SIP/2.0"],
    "ssh": [
        b"SSH-2.0-OpenSSH_9.7", b"SSH-2.0-PuTTY_Release_0.81 comment", b"SSH-1.99-x", b"SSH-1.5-NmapNSE_1.0",
        b"SSH-2.0-\xff\0", b"\xef\xbb\xbfSSH-2.0-x", b"SSH-2.0-x y z\r",
    ],
    "proxy": [
        b"PROXY TCP4 203.0.113.7 10.0.0.1 51000 9000", b"PROXY UNKNOWN", b"PROXY UNKNOWN\r",
        b"\xef\xbb\xbfPROXY TCP4 1.2.3.4 5.6.7.8 1 2", b"PROXY TCP6 fe80::1%eth0 fe80::2%eth0 1 2",
        b"PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 51000 9000",
        b"PROXY UNKNOWN " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535",
    ],
    None: [
        b"GET a life", b"GET /", b"GET", b"GET /tea HTTP", b"get a HTTP/1.1", b"GET / over HTTP/2",
        b"GET rid of HTTP/2.", b"get /etc/passwd over http/1.1", b"do /a b HTTP/1.1", b"do / http/1.1",
        b"I like HTTP/1.1", b"I 10:30 HTTP/2", b"I like it: HTTP/1.1 ok", b"INFO about HTTP/1.1",
        b"put /join in front, not HTTP/1.1", b"PLAY it over HTTP/1.1",
        b"GET / HTTP/1.1 please", b"GET / HTTP-1.1", b"GET / XHTTP/1.1", b"GETTING a HTTP/1.1",
        b"GET / HTTP/1.1\nx", b"GE:T / HTTP/1.1", b"* says HTTP/1.1", b"- / HTTP/1.1", b"/ HTTP/1.1",
        b"HTTP/1.1", b"HTTP/1.1 200 OK", b"HTTP/1.1 is old", b"PRI * HTTP/2.0 please", b"PRI HTTP/2",
        b"SIP/2.0 is old", b"OPTIONS: a, b HTTP/1.1", b"SSH-2.0", b"SSH-3.0-x", b"ssh-2.0-x",
        b"use SSH-2.0-x", b"SSH is down", b"SSH-2.0-", b"SSH-2.0- is a version", b"SSH-1.0-beta was fun",
        b"PROXY", b"PROXY TCP4 is down", b"PROXY UNKNOWN to me", b"proxy unknown", b"PROXY TCP4 bad",
        b"PROXY TCP4 1 2 3 4 5", b"PROXY TC", b"PROXY TCP4", b"PROXY TCP6", b"PROXY TCP4 443",
        b"PROXY TCP4 10.0.0.1 10.0.0.2", b"PROXY TCP4 10.0.0.1 10.0.0.2 80", b"/help", b"", b" ", b"hello",
        b"\0", b"\x16\x03\x01", b"\xff\xfe", b"\xef\xbb\xbf", b"\xef\xbb\xbfhello",
    ],
}  # fmt: skip
BY_BYTES: dict[tuple[str, int] | None, list[bytes]] = {
    ("tls", 0): [*(bytes([0x16, 3, minor]) for minor in range(5)), b"\x16\x03\x01\x02\0\n"],
    ("rdp", 0): [b"\x03\0\0\x13\x0e\xe0", b"\x03\0\0\x2f\xff\xe0"],
    ("proxy", 4): [PROXY_2[:FIRST_BYTES]],
    None: [
        b"", b"\x16", b"\x16\x03", b"\x16\x03\x05", b"\x16\x03\xff", b"\x16\x02", b"\x16\x02\x01", b"\x16\n",
        b"\x15\x03\x01", b"G", b"\x03", b"\xff\xfd\x06", b" \x16\x03\x01", b"\x03\0\0\n\n\xe0",
        b"\x03\0\0\x13\x0e\xd0", b"\n", b"\r\r", b"\r\n\n", b"\r\n\r\nh", b"\r\n\r\n\0\n", b"PROXY ",
    ],
}  # fmt: skip


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("protocol", OPENERS)
def test_a_protocol_is_known_by_its_whole_first_line(protocol: str | None) -> None:
    for first_line in OPENERS[protocol]:
        assert foreign_protocol(first_line) == protocol, first_line


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize("verdict", BY_BYTES)
def test_some_protocols_are_known_by_their_first_bytes(verdict: tuple[str, int] | None) -> None:
    for first in BY_BYTES[verdict]:
        assert protocol_by_bytes(first) == verdict, first


@pytest.mark.parametrize("unit", [b" ", b"\t/", b" HTTP/1", b" /", b"a ", b" HTTP/1.1  "])
def test_a_long_first_line_is_judged_in_linear_time(unit: bytes) -> None:
    start = time.thread_time()
    for begun in b"GET /", b"X:", b"SSH-2.0-x ", b"PROXY TCP4 ", b"\0 ":
        foreign_protocol(begun + unit * 200_000)
        foreign_protocol(begun + unit * 200_000 + b"!")
    assert time.thread_time() - start < 0.8


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
    assert protocol_by_bytes(outgoing.read(FIRST_BYTES)) == ("tls", 0)
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
