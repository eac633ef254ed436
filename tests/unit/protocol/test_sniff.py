"""Other protocols are known by their first words, people never taken for them, and each gets its answer."""

import http.client
import socket
import ssl

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.protocol.sniff import foreign_protocol, is_tls_hello, reply_to

OPENERS: list[tuple[bytes, str | None]] = [
    (b"GET / HTTP/1.1", "http"),
    (b"GET / HTTP/1.0", "http"),
    (b"GET /a%20b?c=d#e HTTP/1.1", "http"),
    (b"POST /submit HTTP/1.1", "http"),
    (b"HEAD / HTTP/1.1", "http"),
    (b"PUT /x HTTP/1.1", "http"),
    (b"DELETE /x HTTP/1.1", "http"),
    (b"OPTIONS * HTTP/1.1", "http"),
    (b"CONNECT example.org:443 HTTP/1.1", "http"),
    (b"CONNECT [::1]:443 HTTP/1.1", "http"),
    (b"GET http://example.org/ HTTP/1.1", "http"),
    (b"M-SEARCH * HTTP/1.1", "http"),
    (b"VERSION-CONTROL /x HTTP/1.1", "http"),
    ("GET /ž HTTP/1.1".encode(), "http"),
    (b"GET /" + b"x" * 8000 + b" HTTP/1.1", "http"),
    (b"PRI * HTTP/2.0", "http2"),
    (b"SSH-2.0-OpenSSH_9.7", "ssh"),
    (b"SSH-2.0-PuTTY_Release_0.81 comment", "ssh"),
    (b"GET a life", None),
    (b"GET a life HTTP/1.1", None),
    (b"GET /", None),
    (b"GET", None),
    (b"GET  / HTTP/1.1", None),
    (b"GET / HTTP/1.1 ", None),
    (b" GET / HTTP/1.1", None),
    (b"GET / HTTP/1.", None),
    (b"GET / HTTP/1.10", None),
    (b"GET / HTTP/2.0", None),
    (b"GET / HTTP/11", None),
    (b"GET / http/1.1", None),
    (b"get / HTTP/1.1", None),
    (b"Get / HTTP/1.1", None),
    (b"GET /a b HTTP/1.1", None),
    (b"GET /\x00 HTTP/1.1", None),
    (b"GET / HTTP/1.1\n", None),
    (b"GE:T / HTTP/1.1", None),
    (b"* says HTTP/1.1", None),
    (b"I like HTTP/1.1", None),
    (b"- / HTTP/1.1", None),
    (b"/ HTTP/1.1", None),
    (b"HTTP/1.1", None),
    (b"HTTP/1.1 200 OK", None),
    (b"PRI * HTTP/2.0 please", None),
    (b"PRI * HTTP/2", None),
    (b"SSH-2.0", None),
    (b"SSH-1.5-old", None),
    (b"ssh-2.0-x", None),
    (b"use SSH-2.0-x", None),
    (b"SSH is down", None),
    (b"/help", None),
    (b"", None),
    (b"hello", None),
    (b"\x16\x03\x01", None),
    (b"\xff\xfe", None),
]

FIRST_BYTES: list[tuple[bytes, bool | None]] = [
    (b"", None),
    (b"\x16", None),
    (b"\x16\x03", None),
    *[(bytes([0x16, 3, minor]), True) for minor in range(5)],
    (b"\x16\x03\x01\x02\x00\x01", True),
    (b"\x16\x03\x05", False),
    (b"\x16\x03\xff", False),
    (b"\x16\x02", False),
    (b"\x16\x02\x01", False),
    (b"\x16\n", False),
    (b"\x15\x03\x01", False),
    (b"G", False),
    (b"\x03", False),
    (b"\xff\xfd\x06", False),
    (b" \x16\x03\x01", False),
]


@pytest.mark.promise("hostile-protocols")
@pytest.mark.parametrize(("first_line", "protocol"), OPENERS)
def test_a_protocol_is_known_by_its_whole_first_line(first_line: bytes, protocol: str | None) -> None:
    assert foreign_protocol(first_line) == protocol


@pytest.mark.parametrize(("first", "verdict"), FIRST_BYTES)
def test_a_tls_hello_is_known_by_three_bytes(first: bytes, verdict: bool | None) -> None:
    assert is_tls_hello(first) is verdict


def test_the_hello_of_a_real_tls_client_is_known() -> None:
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert is_tls_hello(outgoing.read()) is True


@pytest.mark.promise("hostile-protocols")
@settings(deadline=None)
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
def test_a_real_tls_client_understands_the_alert() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
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
