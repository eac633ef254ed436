"""A request opens a WebSocket or is refused in words, and only our own names and pages come in."""

import http.client
import socket

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.close_reasons import CloseReason
from hub.config.allowed_hosts import Hosts
from hub.protocol.ws_handshake import MAX_REQUEST_BYTES, Handshake, Opened, Refused
from tests.unit.protocol.support import HEADERS, HINT, TERMS, however_cut, request


def outcome(pieces: list[bytes]) -> Refused | tuple[bytes, str, bytes] | None:
    """The verdict on these pieces; of an opening the answer, the tag, and what came behind the request."""
    shaking = Handshake(TERMS, 8192)
    for count, piece in enumerate(pieces):
        verdict = shaking.feed(piece)
        if isinstance(verdict, Opened):
            return verdict.response, verdict.tag, b"".join([verdict.rest, *pieces[count + 1 :]])
        if verdict is not None:
            return verdict
    return None


def refused(data: bytes, **terms: object) -> Refused:
    verdict = Handshake(TERMS._replace(**terms), 8192).feed(data)  # type: ignore[arg-type]
    assert isinstance(verdict, Refused)
    return verdict


def opened(data: bytes, **terms: object) -> Opened:
    verdict = Handshake(TERMS._replace(**terms), 8192).feed(data)  # type: ignore[arg-type]
    assert isinstance(verdict, Opened), verdict
    return verdict


def parsed(response: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    """A response as Python's own client reads it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(response)
        ours.shutdown(socket.SHUT_WR)
        read = http.client.HTTPResponse(theirs)
        read.begin()
        return read, read.read()


FIRST_WORDS = [
    (b"hello\r\n", "unknown"),
    (b"Hello\r\n", "unknown"),
    (b"Hello\n", "unknown"),
    (b"GET a life\r\n", "unknown"),
    (b"\rhello", "unknown"),
    (b"\r\nGET / HTTP/1.1\r\n", "unknown"),
    (b"\r\n\r\nhello\r\n", "unknown"),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0cGET / HTTP/1.1\r\n\r\n", "proxy"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 51000 9000\r\nGET / HTTP/1.1\r\n\r\n", "proxy"),
    (b"OPTIONS sip:nm SIP/2.0\r\n", "sip"),
    (b"OPTIONS / RTSP/1.0\r\n", "rtsp"),
    (b"\xff\xfd\x06", "unknown"),
    (b"\x00", "unknown"),
    (b"SSH-2.0-OpenSSH_9.7\r\n", "ssh"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"),
]


@pytest.mark.promise("websocket-handshake")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {
            "Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits",
            "Sec_WebSocket_Protocol": "chat, irc",
        },
    ],
)
def test_the_answer_names_no_software_extension_or_subprotocol(headers: dict[str, str]) -> None:
    verdict = opened(request(**headers) + b"\x81\x80abcd")
    assert verdict.rest == b"\x81\x80abcd"
    assert verdict.protocol.extensions == []
    assert verdict.response == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


@pytest.mark.promise("websocket-handshake")
@pytest.mark.parametrize(
    ("target", "tag"),
    [
        ("/", ""),
        ("/?tag=a", "a"),
        ("/?tag=" + "Az09_-xy" * 4, "Az09_-xy" * 4),
        ("/any/where?x=1&tag=mine&y=2", "mine"),
        ("/?tag=" + "x" * 33, ""),
        ("/?tag=", ""),
        ("/?tag=a%20b", ""),
        ("/?tag=a+b", ""),
        ("/?tag=a;b", ""),
        ("/?notag=a", ""),
        ("/tag=a", ""),
        ("/x&tag=a", ""),
        ("/?Tag=a", ""),
        ("*", ""),
        ("http://localhost:9001/?tag=whole", "whole"),
    ],
)
def test_any_target_is_taken_and_a_clean_tag_is_read_from_it(target: str, tag: str) -> None:
    assert opened(request(f"GET {target} HTTP/1.1")).tag == tag


def test_our_names_and_our_pages_come_in() -> None:
    for host in "localhost:9001", "127.0.0.1:9001", "[::1]:9001", "LOCALHOST:9001", "localhost.:9001":
        assert opened(request(Host=host))
    for name in "localhost:8080", "localhost.:8080", "127.0.0.1:8080", "chat.example", "chat.example.":
        assert opened(request(Origin=f"http://{name}"))
    assert opened(request(Origin="https://chat.example"))


OURS = "http://localhost:8080"
STRANGERS = [
    *((request(Host=host), 421, f"host={host}") for host in
      ("localhost", "localhost:8080", "evil.example:9001", "", "localhost:9001:1", "localhost..:9001")),
    (request(Host=None), 400, "hosts=0"),
    (request("GET / HTTP/1.1", "Host: localhost:9001"), 400, "hosts=2"),
    *((request(Origin=origin), 403, f"origin={origin}") for origin in
      ("http://evil.example", "http://localhost:3000", "http://localhost", "null", "", "file://",
       "localhost:8080")),
    (request("GET / HTTP/1.1", f"Origin: {OURS}", Origin=OURS), 403, "origins=2"),
]  # fmt: skip


@pytest.mark.promise("websocket-origin")
@pytest.mark.parametrize(("data", "status", "detail"), STRANGERS)
def test_another_name_and_another_page_are_refused(data: bytes, status: int, detail: str) -> None:
    verdict = refused(data)
    assert (verdict.reason, verdict.detail) == (CloseReason.ORIGIN_REFUSED, detail)
    assert parsed(verdict.response)[0].status == status


@pytest.mark.parametrize("origin", ["http://localhost:8080", "http://localhost:0", "http://localhost"])
def test_without_a_page_only_added_names_have_pages(origin: str) -> None:
    assert refused(request(Origin=origin), page_port=0).reason is CloseReason.ORIGIN_REFUSED
    assert opened(request(Origin="http://chat.example"), page_port=0)
    assert opened(request(), page_port=0)


def test_what_a_client_sent_is_shown_clean_and_cut() -> None:
    assert refused(request(Origin="a\tb \x9b\xe9\\")).detail == r"origin=a\tb_\x9b\xe9\\"
    detail = refused(request(Origin="\xe9" * 5000)).detail
    assert detail == "origin=" + r"\xe9" * 25
    assert len(refused(request(Host="x" * 5000)).detail) == len("host=") + 100


PLAIN_HTTP = [
    request(Upgrade=None, Connection=None),
    request(Upgrade="h2c"),
    request().replace(b"\r\n", b"\n"),
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
]


@pytest.mark.parametrize(("data", "protocol"), [*((data, "http") for data in PLAIN_HTTP), *FIRST_WORDS])
def test_another_protocol_is_told_where_to_go(data: bytes, protocol: str) -> None:
    verdict = refused(data)
    assert (verdict.reason, verdict.detail) == (CloseReason.WRONG_PROTOCOL, f"protocol={protocol}")
    response, body = parsed(verdict.response)
    assert response.status == (426 if protocol == "http" else 400)
    assert response.getheader("Upgrade") == ("websocket" if protocol == "http" else None)
    assert b"WebSocket port" in body
    assert body.endswith(f"\n{HINT}\n".encode())
    assert parsed(refused(data, hint="").response)[1].count(b"\n") == 1


def test_a_tls_hello_gets_an_alert() -> None:
    verdict = refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (verdict.reason, verdict.detail) == (CloseReason.WRONG_PROTOCOL, "protocol=tls")
    assert verdict.response == b"\x15\x03\x01\x00\x02\x02\x46"


@pytest.mark.promise("websocket-breach")
@pytest.mark.parametrize(
    ("data", "status", "detail"),
    [
        (request(Sec_WebSocket_Version="12"), 400, "invalid_Sec-WebSocket-Version_header:_12"),
        (request(Sec_WebSocket_Version=None), 400, "missing_Sec-WebSocket-Version_header"),
        (request(Sec_WebSocket_Key=None), 400, "missing_Sec-WebSocket-Key_header"),
        (request(Sec_WebSocket_Key="short"), 400, "invalid_Sec-WebSocket-Key_header:_short"),
        (request(Sec_WebSocket_Key="\xe9\x9b"), 400, r"invalid_Sec-WebSocket-Key_header:_\xe9\x9b"),
        (request(Connection="close"), 426, "invalid_Connection_header:_close"),
        (request("POST / HTTP/1.1"), 405, "unsupported_HTTP_method:_POST"),
        (request("GET / HTTP/1.0"), 505, "unsupported_HTTP_version:_HTTP/1.0"),
        (request("GET / HTTP/1.1", "Content-Length: 3"), 400, "unsupported_request_body"),
        (request("GET / HTTP/1.1", "no colon"), 400, "invalid_HTTP_header_line:_no_colon"),
        (request("GET /\xe9 HTTP/1.1"), 400, ""),
        (request("GET /" + "x" * 9000 + " HTTP/1.1"), 414, ""),
        (request(Cookie="x" * 9000), 431, ""),
        (request("GET / HTTP/1.1", "X: " + "y" * (8193 - 3)), 431, ""),
        (request("GET / HTTP/1.1", *["X: y"] * (129 - 5)), 431, ""),
        (request("GET / HTTP/1.1", "X: y", " folded"), 400, ""),
        (request("GET / HTTP/1.1", ": y"), 400, ""),
        (request("GET / HTTP/1.1", "X: a\0b"), 400, ""),
        (request("GET / HTTP/1.1", f"Sec-WebSocket-Key: {HEADERS['Sec-WebSocket-Key']}"), 400, ""),
    ],
)
def test_a_request_that_breaks_the_rules_says_which(data: bytes, status: int, detail: str) -> None:
    verdict = refused(data)
    assert verdict.reason is CloseReason.PROTOCOL_ERROR
    assert verdict.detail.startswith(f"handshake={detail}")
    assert parsed(verdict.response)[0].status == status


def test_who_asks_for_another_version_learns_which_there_is() -> None:
    response, _ = parsed(refused(request(Sec_WebSocket_Version="99")).response)
    assert response.getheader("Sec-WebSocket-Version") == "13"


def test_a_header_may_have_8_kib_and_a_request_128_headers() -> None:
    assert opened(request("GET / HTTP/1.1", "X: " + "y" * (8192 - 5)))
    assert opened(request("GET / HTTP/1.1", *["X: y"] * (128 - 5)))


def test_a_request_may_have_16_kib_and_no_more() -> None:
    assert MAX_REQUEST_BYTES == 16 * 1024
    padding = [f"X-{count}: {'y' * 4000}" for count in range(3)]
    size = len(request("GET / HTTP/1.1", *padding, "Z: "))
    fits = request("GET / HTTP/1.1", *padding, "Z: " + "z" * (MAX_REQUEST_BYTES - size))
    assert len(fits) == MAX_REQUEST_BYTES
    assert opened(fits)
    for too_large in (fits[:-4] + b"z" + fits[-4:], b"A" * MAX_REQUEST_BYTES, fits[:-1] + b"x" * 9999):
        verdict = however_cut(outcome, too_large, [])
        assert isinstance(verdict, Refused)
        assert (verdict.reason, verdict.detail) == (
            CloseReason.PROTOCOL_ERROR,
            f"handshake=too_large limit={MAX_REQUEST_BYTES}",
        )
        assert verdict.response.startswith(b"HTTP/1.1 431 ")


ALL_REFUSED = [
    request(Origin="http://evil"),
    request(Host="evil"),
    request(Host=None),
    request(Sec_WebSocket_Version="12"),
    request(Connection="close"),
    request("POST / HTTP/1.1"),
    request(Cookie="x" * 9000),
    b"GET / HTTP/1.1\r\n\r\n",
    b"hello",
    b"A" * MAX_REQUEST_BYTES,
]


@pytest.mark.parametrize("data", ALL_REFUSED)
def test_every_refusal_is_plain_text_and_names_no_software(data: bytes) -> None:
    response, body = parsed(refused(data).response)
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert response.getheader("Content-Length") == str(len(body))
    assert response.getheader("Connection") == "close"
    assert response.getheader("Server") is None
    assert b"python" not in refused(data).response.lower()


VERDICTS = [
    request() + b"\x81\x80abcd",
    b"\x16\x03\x01\x02\x00",
    b"\x16\x03\x09xxx",
    b"\x16xxxxx",
    request(Upgrade=None).replace(b"\r\n", b"\n"),
    *[words + b"and more\r\n" for words, _ in FIRST_WORDS],
    *ALL_REFUSED,
]
PIECES = [
    b"GET / HTTP/1.1", b"\r\n", b"\r", b"\n", b"Host: localhost:9001", b"Upgrade: websocket", b"\x16",
    b"\x03", b" ",
]  # fmt: skip
hostile = st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))


@pytest.mark.parametrize("data", VERDICTS)
def test_any_cut_tells_the_same(data: bytes) -> None:
    assert however_cut(outcome, data, [7, 30, 31, 100, len(data) - 1]) is not None


@pytest.mark.promise("websocket-breach")
@settings(max_examples=500)
@given(data=hostile, places=st.lists(st.integers(0, 300), max_size=5))
@example(data=b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\n", places=[])
@example(data=b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nA: b\n\r\n", places=[])
def test_no_bytes_raise_and_any_bytes_cut_anywhere_tell_the_same(data: bytes, places: list[int]) -> None:
    however_cut(outcome, data, places)


@settings(max_examples=500)
@given(at=st.integers(0, 400), change=st.binary(min_size=1, max_size=3))
def test_a_request_with_a_fault_in_it_never_raises(at: int, change: bytes) -> None:
    whole = request(Origin=OURS)
    at %= len(whole)
    verdict = however_cut(outcome, whole[:at] + change + whole[at + len(change) :], [at])
    if isinstance(verdict, Refused):
        assert verdict.detail.isascii() and verdict.detail.isprintable()


def test_a_door_of_another_name_knows_its_own() -> None:
    hosts = Hosts("192.0.2.1", [])
    assert opened(request(Host="192.0.2.1:9001"), hosts=hosts)
    assert refused(request(Host="192.0.2.1:9001")).reason is CloseReason.ORIGIN_REFUSED
