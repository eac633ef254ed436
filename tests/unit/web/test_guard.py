"""Who may ask: the Host rules as texts, then over raw sockets; and what every answer must carry."""

import socket
from contextlib import ExitStack

import pytest

from hub.config.allowed_hosts import Hosts
from tests.unit.web.support import Answer, LiveTab, Served, ask, ask_raw, port_of
from web.guard import SECURITY_HEADERS

# {port} is the page's port, {other} another one. The page also allows hub.example and one.example:7777.
ALLOWED = [
    "localhost:{port}", "LOCALHOST:{port}", "LocalHost:{port}", "127.0.0.1:{port}", "[::1]:{port}",
    "hub.example", "HUB.example:1", "hub.example:{port}", "hub.example:{other}", "one.example:7777",
    "ONE.EXAMPLE:7777", " \tlocalhost:{port} \t", "localhost.:{port}", "LOCALHOST.:{port}", "hub.example.",
    "Hub.Example.:{port}", "one.example.:7777",
]  # fmt: skip
REFUSED = [
    "", "localhost", "127.0.0.1", "[::1]", "localhost:{other}", "localhost:80", "localhost:0{port}",
    "localhost:+{port}", "localhost:-{port}", "localhost:", "localhost: {port}", "localhost.", ".:{port}",
    "localhost..:{port}", ".localhost:{port}", "localhost.evil.example:{port}", "evil.example",
    "evil.example:{port}", "evil.localhost:{port}", "xlocalhost:{port}", "localhost:{port}:{port}",
    "localhost:{port}@evil.example", "evil.example@localhost:{port}", "user:pass@localhost:{port}",
    "localhost:{port}/evil.example", "localhost:{port}#", "localhost:{port},evil.example",
    "evil.example,localhost:{port}", "localhost:{port} evil.example", "http://localhost:{port}",
    "127.0.0.1..:{port}", "127.1:{port}", "127.0.0.2:{port}", "127.000.000.001:{port}", "2130706433:{port}",
    "0x7f000001:{port}", "0177.0.0.1:{port}", "0.0.0.0:{port}", "0:{port}", "127.0.0.1.nip.example:{port}",
    "::1", "::1:{port}", "[::1", "[::1]]:{port}", "[::1%lo]:{port}", "[::1%25lo]:{port}",
    "[0:0:0:0:0:0:0:1]:{port}", "[::ffff:127.0.0.1]:{port}", "[::]:{port}", "[localhost]:{port}",
    "one.example", "one.example:{port}", "one.example:7777:7777", "hub.example..:{port}", "hub.example:x",
    "one.example.:{port}", "one.example:7777.",
    "hub.example:", "sub.hub.example", "*", "null", "loc\u212alhost:{port}", "localhos\uff54:{port}",
    "xn--localhost:{port}",
]  # fmt: skip


def ask_as(url: str, host: str, target: str = "/", method: str = "GET", more: str = "") -> Answer:
    """`more` are further header lines."""
    text = host.format(port=port_of(url), other=port_of(url) ^ 1)
    head = f"{method} {target} HTTP/1.1\r\nHost: {text}\r\n{more}Connection: close\r\n\r\n"
    return ask_raw(url, head.encode())


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
@pytest.mark.parametrize(("version", "status"), [("1.0", 421), ("1.1", 400)])
def test_a_request_without_a_host_is_refused(url: str, version: str, status: int) -> None:
    # RFC 9112, 3.2 demands a 400 in HTTP/1.1; 1.0 had no Host yet, so the request is well-formed.
    answer = ask_raw(url, f"GET / HTTP/{version}\r\nConnection: close\r\n\r\n".encode())
    assert answer.status == status


@pytest.mark.promise("page-names")
@pytest.mark.parametrize("second", ["localhost:{port}", "evil.example"])
def test_two_host_lines_are_refused_even_when_both_are_ours(url: str, second: str) -> None:
    more = f"Host: {second.format(port=port_of(url))}\r\n"
    assert ask_as(url, "localhost:{port}", more=more).status == 400


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/", "http://localhost:{port}@evil.example/", "//[", "//[x/livez", "//]"],
)
def test_an_absolute_target_without_a_name_of_ours_is_foreign(url: str, target: str) -> None:
    answer = ask_as(url, "localhost:{port}", target.format(port=port_of(url)))
    assert (answer.status, answer.headers["X-Content-Type-Options"]) == (421, "nosniff")


def test_an_absolute_target_with_our_name_is_served(url: str) -> None:
    assert ask_as(url, "localhost:{port}", f"http://localhost:{port_of(url)}/").status == 200


PROBED = [
    "GET {path} HTTP/1.1\r\nHost: 10.1.2.3:{port}\r\n", "GET {path} HTTP/1.1\r\nHost: evil.example\r\n",
    "GET {path} HTTP/1.1\r\nHost: \r\n", "GET {path} HTTP/1.0\r\n", "HEAD {path} HTTP/1.0\r\n",
    "HEAD {path} HTTP/1.1\r\nHost: [fd00::1]:8080\r\n", "GET http://10.1.2.3{path} HTTP/1.1\r\nHost: a\r\n",
]  # fmt: skip


@pytest.mark.promise("health-any-host")
@pytest.mark.parametrize(
    ("path", "told"), [("/livez", {"alive", "age_s"}), ("/readyz", {"alive", "ready", "draining"})]
)
@pytest.mark.parametrize("head", PROBED)
def test_probes_are_answered_whatever_the_host(served: Served, head: str, path: str, told: set[str]) -> None:
    request = head.format(path=path, port=port_of(served.url)) + "Connection: close\r\n\r\n"
    for age_s, status in ((0, 200), (4, 503)):
        served.clock.now_s += age_s
        answer = ask_raw(served.url, request.encode())
        assert answer.status == status
        if head.startswith("GET"):
            assert answer.json().keys() == told, "and nothing of what its clients do"


@pytest.mark.promise("page-names")
@pytest.mark.parametrize("line", ["GET {path}/", "GET /static{path}", "GET /a/..{path}", "GET /x?{path}"])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/live"])
def test_what_only_resembles_a_probe_needs_our_name(url: str, line: str, path: str) -> None:
    assert ask_raw(url, f"{line.format(path=path)} HTTP/1.0\r\n\r\n".encode()).status == 421


@pytest.mark.promise("health-any-host")
@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?verbose"])
def test_a_probe_by_another_method_is_told_which_it_needs(url: str, path: str, method: str) -> None:
    answer = ask_raw(url, f"{method} {path} HTTP/1.0\r\n\r\n".encode())
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "more",
    [
        "X-Forwarded-Host: localhost:{port}", "X-Host: localhost:{port}", "Forwarded: localhost:{port}",
        "Expect: 100-continue", "Expect: a-miracle",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/no/such/page"])
def test_no_other_header_makes_a_foreign_name_ours(url: str, more: str, path: str) -> None:
    lines = f"{more.format(port=port_of(url))}\r\n"
    assert ask_as(url, "evil.example", path, more=lines).status == 421


@pytest.mark.promise("page-names")
@pytest.mark.parametrize(
    "path", ["/", "/static/hubbub.css", "/no/such/page", "/api/clients?limit=x", "/static/../x"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_a_foreign_name_is_refused_on_every_path_and_method(url: str, path: str, method: str) -> None:
    assert ask_as(url, "evil.example", path, method).status == 421


@pytest.mark.promise("page-names")
def test_each_request_on_one_connection_is_checked(url: str) -> None:
    good = f"GET /livez HTTP/1.1\r\nHost: localhost:{port_of(url)}\r\n\r\n"
    bad = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=10) as peer:
        peer.sendall((good + bad).encode())
        received = b"".join(iter(lambda: peer.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 421 " in received


@pytest.mark.promise("page-names")
@pytest.mark.parametrize(
    ("own", "allowed", "host", "port", "ours"),
    [
        pytest.param("127.0.0.1", (), "localhost", 80, True, id="no port means 80"),
        pytest.param("127.0.0.1", (), "[::1]:80", 80, True, id="80 may be written"),
        pytest.param("192.0.2.7", (), "192.0.2.7:8080", 8080, True, id="the address that is listened on"),
        pytest.param("192.0.2.7", (), "192.0.2.8:8080", 8080, False, id="another address"),
        pytest.param("2001:DB8::7", (), "[2001:db8::7]:8080", 8080, True, id="an IPv6 address"),
        pytest.param("0.0.0.0", (), "0.0.0.0:8080", 8080, False, id="a wildcard"),
        pytest.param("::", (), "[::]:8080", 8080, False, id="an IPv6 wildcard"),
        pytest.param("::1", ("one.example:80",), "one.example", 8080, True, id="80 goes without a port"),
        pytest.param("::1", ("[2001:db8::7]",), "[2001:db8::7]:1234", 8080, True, id="IPv6 on any port"),
        pytest.param("::1", ("[2001:db8::7]",), "[2001:db8::8]:1234", 8080, False, id="another IPv6"),
        pytest.param("::1", ("[fd00::1]:8443",), "[fd00::1]:8443", 8080, True, id="IPv6 on one port"),
        pytest.param("::1", ("[fd00::1]:8443",), "[fd00::1]:8080", 8080, False, id="IPv6 on another"),
        pytest.param("::1", ("[fd00::1]:8443",), "[fd00::1]", 8080, False, id="IPv6 without its port"),
        pytest.param("::1", ("kelvin.example",), "\u212aelvin.example", 8080, False, id="ASCII once lower"),
    ],
)
def test_names_depend_on_what_is_listened_on_and_added(
    own: str, allowed: tuple[str, ...], host: str, port: int, ours: bool
) -> None:
    assert Hosts(own, allowed).allow(host, port) is ours


@pytest.mark.promise("page-read-only")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/summary", "/no/such/page", "/live"])
def test_methods_that_could_change_something_are_refused(url: str, method: str, path: str) -> None:
    answer = ask(url, path, method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert "error" in answer.json()


EVERY_KIND_OF_ANSWER = {
    200: [
        b"GET / HTTP/1.1", b"GET /static/hubbub.css HTTP/1.1", b"GET /api/summary HTTP/1.1",
        b"HEAD /api/summary HTTP/1.1", b"GET /api/clients HTTP/1.1", b"GET /api/closed HTTP/1.1",
        b"GET /api/rooms HTTP/1.1", b"GET /livez HTTP/1.1", b"GET /readyz HTTP/1.1",
        b"GET / HTTP/1.1\r\nExpect: a-miracle",
    ],
    400: [
        b"GET /api/clients?limit=0 HTTP/1.1", b"GET / HTTP/1.1\r\nHost: twice", b"GET http://[/ HTTP/1.1",
        b"GET / HTTP/1.1\r\nNo colon here", b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 20_000,
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1", b"GET / HTTP/1.1\r\nContent-Length: minus",
        b"GET / HTTP/9.9", b"<script>alert(1)</script>", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    403: [b"GET /live HTTP/1.1\r\nUpgrade: websocket"],
    404: [
        b"GET /api/clients/99 HTTP/1.1", b"GET /static/nothing.js HTTP/1.1", b"GET /static/ HTTP/1.1",
        b"GET /static/../../pyproject.toml HTTP/1.1", b"GET /static/%2e%2e%2fpyproject.toml HTTP/1.1",
        b"GET /no/such/page HTTP/1.1",
    ],
    405: [b"POST / HTTP/1.1", b"OPTIONS * HTTP/1.1"],
    421: [b"GET //evil.example/ HTTP/1.1"],
    426: [b"GET /live HTTP/1.1"],
}  # fmt: skip


@pytest.mark.promise("page-read-only")
@pytest.mark.parametrize(
    ("status", "head"), [(status, head) for status, heads in EVERY_KIND_OF_ANSWER.items() for head in heads]
)
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
    assert SECURITY_HEADERS["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
    )


@pytest.mark.promise("page-read-only")
@pytest.mark.parametrize(
    ("host", "sources"),
    [
        ("localhost:{port}", " ws://localhost:9123 wss://localhost:9123"),
        ("127.0.0.1:{port}", " ws://127.0.0.1:9123 wss://127.0.0.1:9123"),
        ("hub.example", " ws://hub.example:9123 wss://hub.example:9123"),
        ("[::1]:{port}", " ws: wss:"),
        ("localhost.:{port}", " ws: wss:"),
        ("evil.example", ""),
        ("localhost:{other}", ""),
        ("localhost:{port}; script-src *", ""),
    ],
)
def test_the_page_may_connect_to_the_hub_under_its_own_name(served: Served, host: str, sources: str) -> None:
    for listeners, added in ((("127.0.0.1:9123", "[::1]:9123"), sources), ((), "")):
        served.publish(ws_listeners=listeners)
        policy = ask_as(served.url, host).headers["Content-Security-Policy"]
        assert policy == SECURITY_HEADERS["Content-Security-Policy"] + added


@pytest.mark.parametrize(
    ("public", "source"),
    [
        ("wss://chat.example/ws", " wss://chat.example"),
        ("wss://chat.example:8443/a/b", " wss://chat.example:8443"),
        ("ws://10.1.2.3", " ws://10.1.2.3"),
        ("wss://[fd00::1]:8443/", " wss:"),
        ("wss://under_score.example", " wss:"),
    ],
)
def test_a_public_address_is_told_to_the_page_and_allowed(public: str, source: str) -> None:
    with Served(public_ws=public) as served:
        served.publish(ws_listeners=("127.0.0.1:9123",))
        answer = ask(served.url, "/")
        policy = answer.headers["Content-Security-Policy"]
        assert policy == SECURITY_HEADERS["Content-Security-Policy"] + source
        assert f'data-ws-url="{public}"' in answer.body.decode()
        with LiveTab(served.url) as tab:
            assert (tab.hello["ws_port"], tab.hello["ws_url"]) == (9123, public)
        served.publish()
        assert ask(served.url, "/").headers["Content-Security-Policy"].endswith(" 'self'"), "--no-ws"


@pytest.mark.promise("page-limits")
def test_connections_past_the_limit_are_closed_and_others_go_on() -> None:
    with Served(connections=3) as served, ExitStack() as stack:
        address = ("127.0.0.1", port_of(served.url))
        head = f"HEAD / HTTP/1.1\r\nHost: localhost:{port_of(served.url)}\r\n\r\n".encode()
        peers = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(3)]
        for peer in [*peers, *peers]:
            peer.sendall(head)
            assert peer.recv(65536).startswith(b"HTTP/1.1 200")
            if peer is peers[-1]:
                with socket.create_connection(address, timeout=10) as late:
                    assert late.recv(1) == b""
