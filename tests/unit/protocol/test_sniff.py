"""Other protocols are known by their first words, people never taken for them, and each gets its answer."""

import http.client
import socket
import ssl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.protocol.sniff import foreign_protocol, is_tls_hello, reply_to

OPENERS = {
    "http": [
        b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET /a%20b?c=d#e HTTP/1.1", b"POST /submit HTTP/1.1",
        b"OPTIONS * HTTP/1.1", b"CONNECT example.org:443 HTTP/1.1", b"CONNECT [::1]:443 HTTP/1.1",
        b"GET http://example.org/ HTTP/1.1", b"M-SEARCH * HTTP/1.1", b"VERSION-CONTROL /x HTTP/1.1",
        "GET /ž HTTP/1.1".encode(), b"GET /" + b"x" * 8000 + b" HTTP/1.1",
    ],
    "http2": [b"PRI * HTTP/2.0"],
    "ssh": [b"SSH-2.0-OpenSSH_9.7", b"SSH-2.0-PuTTY_Release_0.81 comment"],
    None: [
        b"GET a life", b"GET a life HTTP/1.1", b"GET /", b"GET", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1", b"GET / HTTP/1.", b"GET / HTTP/1.10", b"GET / HTTP/2.0", b"GET / HTTP/11",
        b"GET / http/1.1", b"get / HTTP/1.1", b"Get / HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /\x00 HTTP/1.1",
        b"GET / HTTP/1.1\n", b"GE:T / HTTP/1.1", b"* says HTTP/1.1", b"I like HTTP/1.1", b"- / HTTP/1.1",
        b"/ HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1 200 OK", b"PRI * HTTP/2.0 please", b"PRI * HTTP/2",
        b"SSH-2.0", b"SSH-1.5-old", b"ssh-2.0-x", b"use SSH-2.0-x", b"SSH is down", b"/help", b"", b"hello",
        b"\x16\x03\x01", b"\xff\xfe",
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


@pytest.mark.promise("hostile-protocols")
@given(data=st.one_of(st.binary(max_size=6), st.binary(max_size=4).map(lambda rest: b"\x16\x03" + rest)))
@example(data=b"\x16\x03\x01\x00")
def test_a_verdict_once_given_never_changes_with_more_bytes(data: bytes) -> None:
    verdicts = [is_tls_hello(data[:end]) for end in range(len(data) + 1)]
    decided = [verdict for verdict in verdicts if verdict is not None]
    assert len(set(decided)) <= 1
    assert verdicts == [None] * (len(verdicts) - len(decided)) + decided
    assert decided or len(data) < 3


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


@pytest.mark.parametrize("hint", ["Use telnet.", ""])
def test_ssh_gets_one_line_for_people(hint: str) -> None:
    reply = reply_to("ssh", hint)
    assert reply.startswith(b"* this is a line hub")
    assert reply.endswith(b"\r\n") and reply.count(b"\n") == 1
    assert hint.encode() in reply
    assert not reply.endswith(b" \r\n")


def test_an_unknown_protocol_has_no_reply() -> None:
    with pytest.raises(ValueError, match="gopher"):
        reply_to("gopher", "")
