"""WebSocket frames that no library would send, over real sockets: each ends as it should, and alone.

A witness is in the same room the whole time: what it hears is what was said in whole, valid messages. The
other breaches are in tests/unit/protocol/test_ws_connection.py.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest
from websockets.frames import Opcode

from tests.fuzz.examples import split
from tests.support import ThreadHub
from tests.support_ws import WsPeer
from tests.unit.protocol.support import close, masked, more, text

LIMIT = 4096
ENDS = {
    "a hundred thousand empty fragments": (
        text("", fin=False) + more(b"", False) * 100_000, 1002, "protocol_error"
    ),
    "a length of 63 bits": (b"\x81\xff\x7f" + b"\xff" * 7 + b"\0" * 4, 1009, "line_too_long"),
    "fragments that are too long together": (
        text(b"x" * 40_000, fin=False) + more(b"x" * 30_000, False), 1009, "line_too_long"
    ),
    "a line that is too long": (text(b"x" * (LIMIT + 1)), 1009, "line_too_long"),
    "an unmasked frame": (b"\x81\x05hello", 1002, "protocol_error"),
    "a binary frame and text behind it": (
        masked(Opcode.BINARY, b"hello") + text("late") * 9, 1003, "protocol_error"
    ),
    "half a character at the end": (text(b"caf\xc3"), 1007, "invalid_utf8"),
    "a close": (close(4000, b"bye"), 4000, "peer_closed"),
    "a close without a code": (close(), 1005, "peer_closed"),
    "text and pings behind a close": (
        close(1000) + (text("late") + masked(Opcode.PING, b"late")) * 100, 1000, "peer_closed"
    ),
    "noise behind a fault": (masked(3) + bytes(range(256)) * 100, 1002, "protocol_error"),
}  # fmt: skip


@pytest.mark.promise("websocket-breach")
@pytest.mark.parametrize("step", [0, 1])
def test_each_breach_of_the_protocol_has_its_code(step: int) -> None:
    with ThreadHub(mode="broadcast", max_line_bytes=LIMIT) as hub, WsPeer(hub.ws_port) as witness:
        for count, (name, (data, code, reason)) in enumerate(ENDS.items(), 1):
            messages: list[str | bytes] = []
            with WsPeer(hub.ws_port) as breaker:
                said = text(f"before {count}") + data
                with suppress(ConnectionError):  # It need not wait for all of the hundred thousand.
                    for piece in split(said, step if len(said) < 1000 else 0):
                        breaker.sock.sendall(piece)
                with suppress(ConnectionError):
                    messages = breaker.rest()
                assert messages in ([], [f"before {count}"]), name
                assert breaker.close_code in (code, 1006 if len(said) > 300_000 else code), name
            assert hub.ending(count)["reason"] == reason, name
            assert witness.message() == f"before {count}", name
            assert breaker.pings == 0
        witness.say("still here")
        assert witness.message() == "still here"


@pytest.mark.promise("websocket-breach")
def test_ten_thousand_pings_are_answered_and_cost_nobody_else(
    record_property: Callable[[str, object], None],
) -> None:
    numbers = [b"%d" % number for number in range(10_000)]
    pongs = b"".join(bytes([0x8A, len(number)]) + number for number in numbers)
    with (
        ThreadHub(mode="broadcast") as hub,
        WsPeer(hub.ws_port) as flooder,
        WsPeer(hub.ws_port) as witness,
    ):
        wire = b""
        for piece in split(b"".join(masked(Opcode.PING, number) for number in numbers), 4096):
            flooder.sock.sendall(piece)
            witness.say("x")
            assert witness.message() == "x"
        while len(answered := wire.replace(b"\x81\x01x", b"")) < len(pongs):
            data = flooder.sock.recv(1 << 20)
            assert data, wire[-100:]
            wire += data
        assert answered == pongs
        assert hub.endings() == []
    record_property("pings answered", len(numbers))
