"""What the tests of the protocols share: ways to cut, requests, a client's frames, an open WebSocket."""

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from hub.config.allowed_hosts import Hosts
from hub.protocol.ws_connection import WebSocket
from hub.protocol.ws_handshake import Terms

T = TypeVar("T")
PORT = 9001
HINT = "The page is at http://127.0.0.1:8080/"
_HOSTS = Hosts("localhost", ["chat.example"])
TERMS = Terms(_HOSTS, PORT, page_hosts=_HOSTS, page_port=8080, hint=HINT)

HEADERS: dict[str, str | None] = {
    "Host": f"localhost:{PORT}",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
"""A request that opens a WebSocket; the key is the one of RFC 6455, section 1.3."""


def request(line: str = "GET / HTTP/1.1", *more: str, **changes: str | None) -> bytes:
    """An opening request; `changes` replace its headers (`_` stands for `-`), None leaves one out."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None), *more]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def request_to(port: int) -> bytes:
    """The opening request to the hub on this port."""
    return request(Host=f"localhost:{port}")


def websocket(**arguments: Any) -> WebSocket:
    return WebSocket(TERMS, **({"max_message_bytes": 8192, "whole": False} | arguments))


def let_in(**arguments: Any) -> WebSocket:
    """A WebSocket whose handshake is done and answered."""
    socket = websocket(**arguments)
    assert socket.feed(request()) == []
    assert socket.opened
    assert socket.take_replies().startswith(b"HTTP/1.1 101 ")
    return socket


def client() -> ClientProtocol:
    """The other end of `let_in`: a client of the library that has its answer."""
    made = ClientProtocol(parse_uri(f"ws://localhost:{PORT}/"), max_size=None)
    server = websocket()
    made.send_request(made.connect())
    server.feed(b"".join(made.data_to_send()))
    made.receive_data(server.take_replies())
    assert made.state is State.OPEN
    made.events_received()
    return made


def masked(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = b"\1\2\3\4"
) -> bytes:
    """A client's frame (RFC 6455, section 5.2), one that breaks the rules as well."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    repeated = (mask * (size // 4 + 1))[:size]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + body.to_bytes(size, "big")


def text(payload: bytes | str, fin: bool = True) -> bytes:
    return masked(Opcode.TEXT, payload.encode() if isinstance(payload, str) else payload, fin=fin)


def more(payload: bytes, fin: bool) -> bytes:
    """A continuation frame."""
    return masked(Opcode.CONT, payload, fin=fin)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    payload = b"" if code is None else struct.pack("!H", code) + reason
    return masked(Opcode.CLOSE, payload)


def however_cut(told: Callable[[list[bytes]], T], data: bytes, places: Sequence[int] | None = None) -> T:
    """What is told about `data`: the same whole, byte by byte, and cut at these places or anywhere in two."""
    whole = told([data])
    anywhere = [[place] for place in range(len(data) + 1)]
    for cuts in [range(len(data)), *(anywhere if places is None else [places])]:
        # The places are taken modulo the length of the data; some pieces may be empty.
        borders = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
        assert told([data[start:end] for start, end in pairwise(borders)]) == whole, borders
    return whole
