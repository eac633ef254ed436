"""Who may ask: the Host rules as texts, then over raw sockets; and what every answer must carry."""

import socket
from collections.abc import Iterator

import pytest

from hub.config.allowed_hosts import Hosts
from hub.config.settings import PAGE_CONNECTIONS
from tests.unit.web.support import Answer, ask, ask_raw, make_summary, port_of
from web.guard import SECURITY_HEADERS
from web.thread import WebThread

# {port} is the page's port, {other} another one. The page also allows hub.example and one.example:7777.
ALLOWED = [
    "localhost:{port}",
    "LOCALHOST:{port}",
    "LocalHost:{port}",
    "127.0.0.1:{port}",
    "[::1]:{port}",
    "hub.example",
    "HUB.example:1",
    "hub.example:{port}",
    "hub.example:{other}",
    "one.example:7777",
    "ONE.EXAMPLE:7777",
    " \tlocalhost:{port} \t",
]
REFUSED = [
    "",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "localhost:{other}",
    "localhost:80",
    "localhost:0{port}",
    "localhost:+{port}",
    "localhost:-{port}",
    "localhost:",
    "localhost: {port}",
    "localhost.:{port}",
    "localhost..:{port}",
    ".localhost:{port}",
    "localhost.evil.example:{port}",
    "evil.example",
    "evil.example:{port}",
    "evil.localhost:{port}",
    "xlocalhost:{port}",
    "localhost:{port}:{port}",
    "localhost:{port}@evil.example",
    "evil.example@localhost:{port}",
    "user:pass@localhost:{port}",
    "localhost:{port}/evil.example",
    "localhost:{port}#",
    "localhost:{port},evil.example",
    "evil.example,localhost:{port}",
    "localhost:{port} evil.example",
    "http://localhost:{port}",
    "127.0.0.1.:{port}",
    "127.1:{port}",
    "127.0.0.2:{port}",
    "127.000.000.001:{port}",
    "2130706433:{port}",
    "0x7f000001:{port}",
    "0177.0.0.1:{port}",
    "0.0.0.0:{port}",
    "0:{port}",
    "127.0.0.1.nip.example:{port}",
    "::1",
    "::1:{port}",
    "[::1",
    "[::1]]:{port}",
    "[::1%lo]:{port}",
    "[::1%25lo]:{port}",
    "[0:0:0:0:0:0:0:1]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[::]:{port}",
    "[localhost]:{port}",
    "one.example",
    "one.example:{port}",
    "one.example:7777:7777",
    "hub.example.:{port}",
    "hub.example:x",
    "hub.example:",
    "sub.hub.example",
    "*",
    "null",
    "loc\u212alhost:{port}",
    "localhos\uff54:{port}",
    "xn--localhost:{port}",
]


def ask_as(url: str, host: str, target: str = "/livez", version: str = "1.1") -> Answer:
    text = host.format(port=port_of(url), other=port_of(url) ^ 1)
    return ask_raw(url, f"GET {target} HTTP/{version}\r\nHost: {text}\r\nConnection: close\r\n\r\n".encode())


@pytest.mark.parametrize("host", ALLOWED)
def test_a_name_of_ours_is_served(url: str, host: str) -> None:
    assert ask_as(url, host).status == 200


@pytest.mark.promise("page-names")
@pytest.mark.parametrize("host", REFUSED)
def test_any_other_name_is_misdirected(url: str, host: str) -> None:
    answer = ask_as(url, host)
    assert answer.status == 421
    assert "error" in answer.json()


@pytest.mark.promise("page-names")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_without_a_host_is_refused(url: str, version: str) -> None:
    # RFC 9112, 3.2 demands a 400 in HTTP/1.1; 1.0 had no Host yet, so the request is well-formed.
    answer = ask_raw(url, f"GET / HTTP/{version}\r\nConnection: close\r\n\r\n".encode())
    assert answer.status == {"1.0": 421, "1.1": 400}[version]


@pytest.mark.promise("page-names")
@pytest.mark.parametrize("second", ["localhost:{port}", "evil.example"])
def test_two_host_lines_are_refused_even_when_both_are_ours(url: str, second: str) -> None:
    port = port_of(url)
    lines = f"Host: localhost:{port}\r\nHost: {second.format(port=port)}\r\n"
    assert ask_raw(url, f"GET / HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode()).status == 400


def test_a_foreign_name_in_an_absolute_target_is_misdirected(url: str) -> None:
    for target in ("http://evil.example/livez", "http://localhost:{p}@evil.example/livez"):
        assert ask_as(url, "localhost:{port}", target.format(p=port_of(url))).status == 421


@pytest.mark.parametrize("target", ["//[", "//[x/livez", "//]", "//[::1"])
def test_half_an_address_in_the_target_names_nobody(url: str, target: str) -> None:
    answer = ask_as(url, "localhost:{port}", target)
    assert (answer.status, answer.headers["X-Content-Type-Options"]) == (421, "nosniff")


def test_an_absolute_target_with_our_name_is_served(url: str) -> None:
    assert ask_as(url, "localhost:{port}", f"http://localhost:{port_of(url)}/livez").status == 200


def test_other_headers_that_name_hosts_change_nothing(url: str) -> None:
    port = port_of(url)
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded"):
        request = (
            f"GET / HTTP/1.1\r\nHost: evil.example\r\n{name}: localhost:{port}\r\nConnection: close\r\n\r\n"
        )
        assert ask_raw(url, request.encode()).status == 421


@pytest.mark.parametrize("expect", ["100-continue", "a-miracle"])
@pytest.mark.parametrize("path", ["/livez", "/no/such/page"])
def test_the_host_is_looked_at_before_an_expect_header(url: str, expect: str, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nExpect: {expect}\r\nConnection: close\r\n\r\n"
    assert ask_raw(url, request.encode()).status == 421


@pytest.mark.promise("page-names")
@pytest.mark.parametrize(
    "path", ["/", "/static/hubbub.css", "/no/such/page", "/api/clients?limit=x", "/static/../x"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_a_foreign_name_is_refused_on_every_path_and_method(url: str, path: str, method: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert ask_raw(url, request.encode()).status == 421


@pytest.mark.promise("page-names")
def test_each_request_on_one_connection_is_checked(url: str) -> None:
    good = f"GET /livez HTTP/1.1\r\nHost: localhost:{port_of(url)}\r\n\r\n"
    bad = "GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=10) as peer:
        peer.sendall((good + bad).encode())
        received = b"".join(iter(lambda: peer.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 421 " in received


def test_without_a_port_the_name_means_port_80() -> None:
    hosts = Hosts("127.0.0.1", ())
    for name in ("localhost", "127.0.0.1", "[::1]", "localhost:80"):
        assert hosts.allow(name, 80)
        assert not hosts.allow(name, 8080)


def test_the_listening_address_is_allowed_and_a_wildcard_is_not() -> None:
    assert Hosts("192.0.2.7", ()).allow("192.0.2.7:8080", 8080)
    assert not Hosts("192.0.2.7", ()).allow("192.0.2.8:8080", 8080)
    assert Hosts("2001:DB8::7", ()).allow("[2001:db8::7]:8080", 8080)
    assert not Hosts("0.0.0.0", ()).allow("0.0.0.0:8080", 8080)
    assert not Hosts("::", ()).allow("[::]:8080", 8080)


def test_an_allowed_name_with_port_80_is_meant_without_a_port() -> None:
    assert Hosts("127.0.0.1", ("one.example:80",)).allow("one.example", 8080)


def test_an_allowed_ipv6_address_goes_with_any_port() -> None:
    hosts = Hosts("127.0.0.1", ("[2001:db8::7]",))
    assert hosts.allow("[2001:db8::7]:1234", 8080)
    assert not hosts.allow("[2001:db8::8]:1234", 8080)


@pytest.mark.promise("page-names")
def test_an_allowed_ipv6_address_with_a_port_goes_with_that_one() -> None:
    hosts = Hosts("127.0.0.1", ("[fd00::1]:8443",))
    assert hosts.allow("[fd00::1]:8443", 8080)
    assert not hosts.allow("[fd00::1]:8080", 8080)
    assert not hosts.allow("[fd00::1]", 8080)


def test_a_letter_that_is_ascii_only_in_lower_case_is_foreign() -> None:
    assert not Hosts("127.0.0.1", ("kelvin.example",)).allow("\u212aelvin.example", 8080)


@pytest.mark.promise("page-read-only")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/summary", "/no/such/page"])
def test_methods_that_could_change_something_are_refused(url: str, method: str, path: str) -> None:
    answer = ask(url, path, method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert "error" in answer.json()


EVERY_KIND_OF_ANSWER = [
    (b"GET / HTTP/1.1", 200),
    (b"GET /static/hubbub.css HTTP/1.1", 200),
    (b"GET /api/summary HTTP/1.1", 200),
    (b"HEAD /api/summary HTTP/1.1", 200),
    (b"GET /api/clients HTTP/1.1", 200),
    (b"GET /api/closed HTTP/1.1", 200),
    (b"GET /api/rooms HTTP/1.1", 200),
    (b"GET /livez HTTP/1.1", 200),
    (b"GET /readyz HTTP/1.1", 200),
    (b"GET /live HTTP/1.1", 426),
    (b"GET /live HTTP/1.1\r\nUpgrade: websocket", 403),
    (b"GET /api/clients?limit=0 HTTP/1.1", 400),
    (b"GET /api/clients/99 HTTP/1.1", 404),
    (b"GET /static/nothing.js HTTP/1.1", 404),
    (b"GET /static/ HTTP/1.1", 404),
    (b"GET /static/../../pyproject.toml HTTP/1.1", 404),
    (b"GET /static/%2e%2e%2fpyproject.toml HTTP/1.1", 404),
    (b"GET /no/such/page HTTP/1.1", 404),
    (b"GET //evil.example/ HTTP/1.1", 421),
    (b"POST / HTTP/1.1", 405),
    (b"OPTIONS * HTTP/1.1", 405),
    (b"GET / HTTP/1.1\r\nExpect: a-miracle", 200),
    (b"GET / HTTP/1.1\r\nHost: twice", 400),
    (b"GET / HTTP/1.1\r\nNo colon here", 400),
    (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 20_000, 400),
    (b"GET /" + b"x" * 20_000 + b" HTTP/1.1", 400),
    (b"GET / HTTP/1.1\r\nContent-Length: minus", 400),
    (b"GET http://[/ HTTP/1.1", 400),
    (b"GET / HTTP/9.9", 400),
    (b"<script>alert(1)</script>", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
]


@pytest.mark.promise("page-read-only")
@pytest.mark.parametrize(("head", "status"), EVERY_KIND_OF_ANSWER)
def test_every_answer_has_the_security_headers_and_no_version(url: str, head: bytes, status: int) -> None:
    host = f"\r\nHost: localhost:{port_of(url)}\r\nConnection: close\r\n\r\n".encode()
    answer = ask_raw(url, head + host)
    assert answer.status == status
    shell = head.startswith(b"GET / HTTP/1.1") and status == 200
    for name, value in SECURITY_HEADERS.items():
        expected = "no-cache" if shell and name == "Cache-Control" else value
        assert answer.headers.get_all(name) == [expected]
    everything = (str(answer.headers) + answer.body.decode()).lower()
    assert "aiohttp" not in everything and "python" not in everything
    if status >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        assert b"<script>" not in answer.body


def test_the_policy_forbids_inline_and_foreign_code() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "connect-src 'self'",
    ]


def policy_for(url: str, host: str) -> str:
    answer = ask_as(url, host)
    return str(answer.headers["Content-Security-Policy"]).partition("connect-src ")[2]


@pytest.mark.promise("page-read-only")
@pytest.mark.parametrize(
    ("host", "sources"),
    [
        ("localhost:{port}", "'self' ws://localhost:9123"),
        ("127.0.0.1:{port}", "'self' ws://127.0.0.1:9123"),
        ("hub.example", "'self' ws://hub.example:9123"),
        ("[::1]:{port}", "'self' ws:"),
        ("evil.example", "'self'"),
        ("localhost:{other}", "'self'"),
        ("localhost:{port}; script-src *", "'self'"),
    ],
)
def test_the_page_may_connect_to_the_hub_under_its_own_name(
    url: str, page: WebThread, host: str, sources: str
) -> None:
    page.gateway.publish(make_summary(ws_listeners=("127.0.0.1:9123", "[::1]:9123")))
    assert policy_for(url, host) == sources
    page.gateway.publish(make_summary())
    assert policy_for(url, host) == "'self'"


@pytest.fixture
def crowd(url: str) -> Iterator[list[socket.socket]]:
    """As many connections as the page takes, each of them served once and kept open."""
    peers = [
        socket.create_connection(("127.0.0.1", port_of(url)), timeout=10) for _ in range(PAGE_CONNECTIONS)
    ]
    for peer in peers:
        peer.sendall(f"HEAD /livez HTTP/1.1\r\nHost: localhost:{port_of(url)}\r\n\r\n".encode())
        assert peer.recv(65536).startswith(b"HTTP/1.1 200")
    yield peers
    for peer in peers:
        peer.close()


@pytest.mark.promise("page-limits")
def test_connections_past_the_limit_are_closed_and_others_go_on(url: str, crowd: list[socket.socket]) -> None:
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=10) as late:
        assert late.recv(1) == b""
    crowd[0].sendall(f"HEAD /livez HTTP/1.1\r\nHost: localhost:{port_of(url)}\r\n\r\n".encode())
    assert crowd[0].recv(65536).startswith(b"HTTP/1.1 200")
