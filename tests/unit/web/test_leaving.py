"""Peers that leave at every moment, in every way: the log has no word of it, and faults of ours are in it."""

import gc
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from aiohttp.web import Request
from websockets.frames import Opcode

import web.handlers
import web.hub_gateway
import web.page_session
from tests.support import Peer, until
from tests.unit.protocol.support import masked
from tests.unit.web.support import Records, Served, ask, handshake, make_row, port_of
from web.app import routes

LEAVE: dict[str, Callable[[Peer], object]] = {
    "reset": Peer.reset,
    "close": Peer.close,
    "half_close": lambda peer: (peer.half_close(), peer.rest(), peer.close()),
}
each_way = pytest.mark.parametrize("way", LEAVE)
BODIES = [
    "Content-Length: 5\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "Content-Encoding: gzip\r\nContent-Length: 500\r\n\r\nxx", "Expect: 100-continue\r\n\r\n",
    "Content-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n",
]  # fmt: skip


def requests(url: str) -> list[bytes]:
    """Every address with each kind of method, bodies that never become whole, and handshakes."""
    host = f"Host: localhost:{port_of(url)}\r\n"
    paths = [route.path.replace("{id}", "1").replace("{name}", "app.js") for route in routes()[:-1]]
    heads = [
        f"{verb} {path} HTTP/1.1\r\n{host}" for path in [*paths, "/no"] for verb in ("GET", "HEAD", "PUT")
    ]
    made = [f"{head}\r\n" for head in heads] + [f"{heads[0]}{body}" for body in BODIES]
    return [
        *(one.encode() for one in made),
        upgrade(url),
        upgrade(url, "Sec-WebSocket-Protocol: x\r\n"),
        b"\x16\x03",
    ]


def upgrade(url: str, more: str = "") -> bytes:
    return handshake(url, f"Origin: http://localhost:{port_of(url)}\r\n{more}")


def nothing(peer: Peer, request: bytes) -> None:
    """A browser connects ahead of time and never asks."""


def a_part(peer: Peer, request: bytes) -> None:
    peer.send(request[: len(request) // 2])


def all_of_it(peer: Peer, request: bytes) -> None:
    peer.send(request)


def until_the_answer(peer: Peer, request: bytes) -> None:
    peer.send(request + b"\r\n\r\n")
    peer.sock.recv(1)
    peer.send(b"\xffQQ\r\n\r\n")


def many_at_once(peer: Peer, request: bytes) -> None:
    peer.send(request * 40)


def refusing_answers(peer: Peer, request: bytes) -> None:
    peer.sock.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(10):
            peer.send(request * 20)
    peer.sock.settimeout(10)


def assert_no_word(served: Served, log: Records) -> None:
    """Of all that happened so far, once the page has come to it; errors that nobody took are collected."""
    for _ in range(3):
        assert ask(served.url, "/livez").status == 200
    gc.collect()
    assert log.messages == []


@pytest.mark.promise("page-leaving")
@each_way
@pytest.mark.parametrize(
    "moment", [nothing, a_part, all_of_it, until_the_answer, many_at_once, refusing_answers]
)
def test_a_peer_that_leaves_a_request_is_no_fault(moment: Callable[[Peer, bytes], None], way: str) -> None:
    log = Records()
    with Served(log=log) as served:
        served.publish()
        served.hub.rows = [make_row(number) for number in range(500)]
        for request in requests(served.url):
            buffer = 4096 if moment is refusing_answers else 0
            # OSError: a half-close of what is closed already is ENOTCONN, shutdown(2).
            with suppress(OSError), Peer(port_of(served.url), receive_buffer=buffer) as peer:
                moment(peer, request)
                LEAVE[way](peer)
        assert_no_word(served, log)
    gc.collect()
    assert log.messages == []


VIEW, CLOSE = masked(Opcode.TEXT, b'{"limit":500}'), masked(Opcode.CLOSE, b"\x03\xe8")
STATES: dict[str, tuple[bytes, bytes]] = {
    "hello": (b"", b'"hello"'),
    "a view that waits": (VIEW, b'"hello"'),
    "an update": (VIEW, b'"update"'),
    "half a frame": (VIEW[:5], b'"hello"'),
    "pings": (masked(Opcode.PING, b"x") * 50, b'"hello"'),
    "broken rules": (b"\xff" * 9, b"\r\n\r\n"),
    "its close": (CLOSE, b"\r\n\r\n"),
    "our close": (CLOSE, b"\x88\x02"),
    "two closes": (CLOSE * 2 + VIEW, b"\r\n\r\n"),
}


@pytest.mark.promise("page-leaving")
@each_way
@pytest.mark.parametrize(("said", "heard"), STATES.values(), ids=list(STATES))
@pytest.mark.parametrize("stops", [False, True])
def test_a_tab_that_leaves_is_no_fault(said: bytes, heard: bytes, way: str, stops: bool) -> None:
    log = Records()
    with Served(log=log) as served, ExitStack() as stack:
        served.publish()
        served.hub.rows = [make_row(number) for number in range(500)]
        peers = [stack.enter_context(Peer(port_of(served.url))) for _ in range(3)]
        for peer in peers:
            peer.send(upgrade(served.url) + said)
            peer.read_until(heard)
        if stops:
            served.page.stop()
        for peer in peers:
            with suppress(ConnectionError):
                LEAVE[way](peer)
        if not stops:
            assert_no_word(served, log)
    gc.collect()
    assert log.messages == []


@pytest.mark.promise("page-leaving")
@each_way
def test_a_tab_that_takes_nothing_and_leaves_is_no_fault(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(web.page_session, "TAKE_S", 0.2)
    monkeypatch.setattr(web.page_session, "LINGER_S", 0.2)
    log = Records()
    with Served(log=log) as served:
        served.publish()
        served.hub.rows = [make_row(number, nick="n" * 30) for number in range(500)]
        with suppress(ConnectionError), Peer(port_of(served.url), receive_buffer=2048) as peer:
            peer.send(upgrade(served.url))
            for offset in range(40):
                peer.send(masked(Opcode.TEXT, b'{"limit":500,"offset":%d}' % offset))
                ask(served.url, "/api/rooms")
            LEAVE[way](peer)
        assert_no_word(served, log)
    assert log.messages == []


@pytest.mark.promise("page-leaving")
def test_a_tab_that_leaves_a_silent_hub_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.hub_gateway, "ANSWER_LIMIT_S", 0.3)
    log = Records()
    with Served(log=log) as served:
        monkeypatch.setattr(served.hub, "answer_all", lambda: served.mailbox.take(0))
        served.publish()
        with Peer(port_of(served.url)) as peer:
            peer.send(upgrade(served.url) + VIEW)
            until(lambda: served.mailbox.has_commands)  # Its question is on the way.
            peer.reset()
        # The first is asked later, so it waits longer; the second takes the place of the tab's question.
        assert [ask(served.url, path).status for path in ("/api/rooms", "/api/clients")] == [503, 503]
        assert_no_word(served, log)


@pytest.mark.parametrize("error", [OSError("disk"), RuntimeError("ours"), TimeoutError("late")])
def test_a_fault_of_ours_is_logged_as_an_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(request: Request) -> bool:
        raise error

    log = Records()
    with Served(log=log) as served:
        monkeypatch.setattr(web.handlers, "is_alive", fails)
        assert ask(served.url, "/livez").status == 500
        with socket.create_connection(("127.0.0.1", port_of(served.url))) as peer:
            peer.sendall(b"GET /livez HTTP/1.0\r\n\r\n")  # This one does not wait for the answer.
        until(lambda: len(log.messages) == 2)
    assert log.levels == [logging.ERROR] * 2
