"""A peer that ends its side right behind its request, as `printf ... | ncat` does, is answered first."""

import os
import re

import pytest

from tests.support import Peer, until
from tests.unit.web.support import Records, Served, handshake, port_of

GET = b"GET /livez HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
TAB = handshake("http://x:1", "", host="localhost:%d")
ASKED: dict[str, tuple[bytes, list[bytes]]] = {
    "a probe": (b"GET /livez HTTP/1.0\r\n\r\n", [b"200"]),
    "kept alive": (GET, [b"200"]),
    "a foreign name": (b"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n", [b"421"]),
    "no HTTP": (b"\x16\x03\x01\r\n\r\n", [b"400"]),
    "the hub's answer": (GET.replace(b"livez", b"api/rooms"), [b"200"]),
    "a whole queue": (GET * 300, [b"200"] * 300),
    "half a request behind": (GET * 2 + GET[:9], [b"200"] * 2),
    "a body that is cut": (GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\nab"), [b"200"]),
    "an upgrade of a probe": (TAB.replace(b"/live", b"/livez"), [b"200"]),
    "behind an upgrade": (TAB.replace(b"/live", b"/livez") + GET * 3, [b"200"] * 4),
    "a tab refused": (TAB, [b"403"]),
    "half a request": (GET[:30], []),
    "nothing": (b"", []),
}


@pytest.mark.promise("page-half-close")
@pytest.mark.parametrize(("request_", "statuses"), ASKED.values(), ids=list(ASKED))
def test_all_that_was_asked_is_answered_and_then_closed(request_: bytes, statuses: list[bytes]) -> None:
    log = Records()
    with Served(log=log) as served:
        served.publish()
        asked = request_.replace(b"%d", b"%d" % port_of(served.url))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with Peer(port_of(served.url)) as peer:
                peer.send(asked)
                peer.half_close()
                got = peer.rest()
            assert re.findall(rb"HTTP/1\.[01] (\d+)", got) == statuses
        until(lambda: len(os.listdir("/proc/self/fd")) == before)
    assert log.messages == []


@pytest.mark.promise("page-half-close")
@pytest.mark.parametrize("waits", [b"", b"HTTP/1.1 101", b'"hello"'])
def test_a_tab_that_ends_its_side_is_closed_at_once(waits: bytes) -> None:
    log = Records()
    with Served(log=log) as served:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with Peer(port_of(served.url)) as peer:
                peer.send(handshake(served.url, f"Origin: http://localhost:{port_of(served.url)}\r\n"))
                peer.read_until(waits)
                peer.half_close()
                peer.rest()
        until(lambda: len(os.listdir("/proc/self/fd")) == before)
    assert log.messages == []
