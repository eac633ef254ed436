"""WebSocket frames that no library would send, over real sockets: each ends as it should, and alone.

A witness is in the same room the whole time: what it hears is what was said in whole, valid messages.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from websockets.frames import Opcode

from hub.protocol.ws_connection import MAX_FRAGMENTS
from hub.protocol.ws_handshake import MAX_REQUEST_BYTES
from tests.fuzz.examples import split
from tests.support import Peer, ThreadHub, until
from tests.support_ws import WsPeer
from tests.unit.protocol.support import close, masked, more, request, text

LIMIT = 4096
MESSAGE = 65_536
"""What a message may have in all, where its lines have LIMIT."""
MASK = b"\0\0\0\0"

ENDS = {
    "a hundred thousand empty fragments": (
        text("", fin=False) + more(b"", False) * 100_000, 1002, "protocol_error"
    ),
    "as many fragments with a byte each": (
        text("a", fin=False) + more(b"b", False) * 100_000, 1002, "protocol_error"
    ),
    "a length of 63 bits": (b"\x81\xff\x7f" + b"\xff" * 7 + MASK, 1009, "line_too_long"),
    "a length of 64 bits": (b"\x81\xff" + b"\xff" * 8 + MASK, 1009, "line_too_long"),
    "a ping of 126 bytes": (masked(Opcode.PING, b"x" * 126), 1002, "protocol_error"),
    "a frame that is one byte too long": (text(b"x" * (MESSAGE + 1)), 1009, "line_too_long"),
    "fragments that are too long together": (
        text(b"x" * 40_000, fin=False) + more(b"x" * 30_000, False), 1009, "line_too_long"
    ),
    "a line that is too long": (text(b"x" * (LIMIT + 1)), 1009, "line_too_long"),
    "an unmasked frame": (b"\x81\x05hello", 1002, "protocol_error"),
    "a binary frame": (masked(Opcode.BINARY, b"hello"), 1003, "protocol_error"),
    "a reserved bit": (masked(Opcode.TEXT, b"hello", rsv=4), 1002, "protocol_error"),
    "a reserved opcode": (masked(3, b"hello"), 1002, "protocol_error"),
    "a reserved control opcode": (masked(0xF, b"hello"), 1002, "protocol_error"),
    "a ping in fragments": (masked(Opcode.PING, b"x", fin=False), 1002, "protocol_error"),
    "a continuation of nothing": (more(b"hello", True), 1002, "protocol_error"),
    "a message inside a message": (text("a", fin=False) + text("b"), 1002, "protocol_error"),
    "half a character at the end": (text(b"caf\xc3"), 1007, "invalid_utf8"),
    "a character that ends in no fragment": (
        text(b"\xf0", fin=False) + more(b"\x9f", True), 1007, "invalid_utf8"
    ),
    "a close of one byte": (masked(Opcode.CLOSE, b"x"), 1002, "protocol_error"),
    "a close with a code that is not for the wire": (close(1006), 1002, "protocol_error"),
    "a close whose reason is no UTF-8": (close(1000, b"\xff"), 1007, "invalid_utf8"),
    "a close": (close(4000, b"bye"), 4000, "peer_closed"),
    "a close without a code": (close(), 1005, "peer_closed"),
    "a close in the middle of a message": (text("half", fin=False) + close(1001), 1001, "peer_closed"),
    "text behind a close": (close(1000) + text("late") * 100, 1000, "peer_closed"),
    "pings behind a close": (close(1000) + masked(Opcode.PING, b"late") * 100, 1000, "peer_closed"),
    "two closes": (close(1000) * 2, 1000, "peer_closed"),
    "text behind a binary frame": (
        masked(Opcode.BINARY, b"x") + text("late") * 9, 1003, "protocol_error"
    ),
    "text behind what is no UTF-8": (text(b"\xff") + text("late") * 9, 1007, "invalid_utf8"),
    "noise behind a fault": (masked(3) + bytes(range(256)) * 100, 1002, "protocol_error"),
}  # fmt: skip


@pytest.fixture
def hub() -> Iterator[ThreadHub]:
    with ThreadHub(mode="broadcast", max_line_bytes=LIMIT) as hub:
        yield hub


@pytest.mark.promise("websocket-breach")
@pytest.mark.parametrize("step", [0, 1])
def test_each_breach_of_the_protocol_has_its_code(hub: ThreadHub, step: int) -> None:
    with WsPeer(hub.ws_port) as witness:
        for count, (name, (data, code, reason)) in enumerate(ENDS.items(), 1):
            with WsPeer(hub.ws_port) as breaker:
                said = text(f"before {count}") + data
                with suppress(ConnectionError):  # It need not wait for all of the hundred thousand.
                    for piece in split(said, step if len(said) < 1000 else 0):
                        breaker.sock.sendall(piece)
                messages = [message for message in rest_of(breaker) if message != f"before {count}"]
                assert messages == [], name
                assert breaker.close_code in (code, 1006 if len(said) > 300_000 else code), name
            assert hub.ending(count)["reason"] == reason, name
            assert witness.message() == f"before {count}", name
            assert breaker.pings == 0
        witness.say("still here")
        assert witness.message() == "still here"


def rest_of(peer: WsPeer) -> list[str | bytes]:
    """What is left to read; a reset ends it as well."""
    with suppress(ConnectionError):
        return peer.rest()
    return []


@pytest.mark.promise("websocket-breach")
def test_a_stream_that_breaks_off_says_only_what_was_whole(hub: ThreadHub) -> None:
    said = text("whole") + text("half", fin=False) + masked(Opcode.PING, b"p") + more(b" and half", True)
    whole_at = len(text("whole"))
    with WsPeer(hub.ws_port) as witness:
        for count, size in enumerate(range(len(said)), 1):
            with WsPeer(hub.ws_port) as breaker:
                breaker.sock.sendall(said[:size])
                breaker.sock.shutdown(socket.SHUT_WR)
                rest_of(breaker)
            assert hub.ending(count)["reason"] == "peer_closed"
        witness.say("done")
        assert witness.read_until("done") == ["whole"] * (len(said) - whole_at) + ["done"]


def opening(*more_lines: str) -> bytes:
    return request("GET / HTTP/1.1", *more_lines, Host="localhost:{port}")


HANDSHAKES: dict[str, tuple[bytes, bytes]] = {
    "a header line of 8,192 bytes": (opening("X: " + "y" * (8192 - 5)), b"101"),
    "a header line of 8,193 bytes": (opening("X: " + "y" * (8193 - 5)), b"431"),
    "128 headers": (opening(*["X: y"] * (128 - 5)), b"101"),
    "129 headers": (opening(*["X: y"] * (129 - 5)), b"431"),
    "more than a request may have": (opening(*["X: " + "y" * 4000] * 5), b"431"),
    "a target of 9,000 bytes": (opening().replace(b"GET /", b"GET /" + b"x" * 9000), b"414"),
    "a folded header": (opening("X: y", " folded"), b"400"),
    "a header without a name": (opening(": y"), b"400"),
    "a NUL in a header": (opening("X: a\0b"), b"400"),
    "a body": (opening("Content-Length: 5") + b"hello", b"400"),
    "two keys": (opening("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), b"400"),
    "bare line feeds": (opening().replace(b"\r\n", b"\n"), b"426"),
}


@pytest.mark.promise("websocket-breach")
@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_is_answered_the_same_whole_and_byte_by_byte(hub: ThreadHub, name: str) -> None:
    data, status = HANDSHAKES[name]
    data = data.replace(b"{port}", str(hub.ws_port).encode())
    assert len(data) <= MAX_REQUEST_BYTES or status == b"431"
    for step in (0, 1 if len(data) < 1000 else 1000):
        with Peer(hub.ws_port) as peer:
            with suppress(ConnectionError):
                for piece in split(data, step):
                    peer.send(piece)
            assert peer.read_until(b"\r\n").split()[1] == status


@pytest.mark.promise("websocket-breach")
def test_ten_thousand_pings_are_answered_and_cost_nobody_else(
    hub: ThreadHub, record_property: Callable[[str, object], None]
) -> None:
    count = 10_000
    with WsPeer(hub.ws_port) as flooder, WsPeer(hub.ws_port) as witness:
        pings = b"".join(masked(Opcode.PING, f"{number}".encode()) for number in range(count))
        pongs = b"".join(bytes([0x8A, len(f"{number}")]) + f"{number}".encode() for number in range(count))
        wire = b""
        flooder.sock.settimeout(20)
        for piece in split(pings, 4096):
            flooder.sock.sendall(piece)
            witness.say("x")
            assert witness.message() == "x"
        while len(answered := wire.replace(b"\x81\x01x", b"")) < len(pongs):
            data = flooder.sock.recv(1 << 20)
            assert data, wire[-100:]
            wire += data
        assert answered == pongs
        until(lambda: hub.loop.hub.counters.lines_in)
        assert hub.endings() == []
    record_property("pings answered", count)


def test_the_number_of_fragments_is_the_documented_one() -> None:
    assert MAX_FRAGMENTS == 1024
