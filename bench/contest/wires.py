"""How the brokers among the contestants are spoken to, each with one channel and its lightest guarantee.

A line travels with its LF as the payload, so that every contestant carries the same bytes.
"""

import json
from itertools import count
from typing import Final

from bench.load.wire import ChatWire, LineWire, Wire

CHANNEL: Final = b"hub"


class RedisWire:
    """RESP2, redis.io/docs/reference/protocol-spec. A publisher gets a reply of `:N` for each line, which the
    load throws away."""

    self_delivery = False

    def hello(self) -> bytes:
        """Nothing."""
        return b""

    def subscribe(self) -> bytes:
        """SUBSCRIBE."""
        return _resp(b"SUBSCRIBE", CHANNEL)

    def ready(self) -> bytes | None:
        """The reply, which says that it is the first channel of this client."""
        return b"*3\r\n" + _bulk(b"subscribe") + _bulk(CHANNEL) + b":1\r\n"

    def message(self, payload: bytes) -> bytes:
        """PUBLISH."""
        return _resp(b"PUBLISH", CHANNEL, payload)

    def delivery(self, payload: bytes) -> bytes:
        """A message."""
        return _resp(b"message", CHANNEL, payload)


class NatsWire:
    """The client protocol of NATS, docs.nats.io/reference/reference-protocols/nats-protocol, without replies.

    Two seconds after a connect the server sends PING, and then not for two minutes. A reader is ready only
    after that, so that nothing but messages comes to it.
    """

    self_delivery = False

    def hello(self) -> bytes:
        """CONNECT. The server's INFO comes before and is not waited for."""
        return b"CONNECT " + json.dumps({"verbose": False, "pedantic": False}).encode() + b"\r\n"

    def subscribe(self) -> bytes:
        """SUB with the number 1, and a PING, as SUB has no reply."""
        return b"SUB " + CHANNEL + b" 1\r\nPING\r\n"

    def ready(self) -> bytes | None:
        """The answer to the PING behind SUB, and the server's own PING."""
        return b"PONG\r\nPING\r\n"

    def message(self, payload: bytes) -> bytes:
        """PUB."""
        return b"PUB %b %d\r\n%b\r\n" % (CHANNEL, len(payload), payload)

    def delivery(self, payload: bytes) -> bytes:
        """MSG for the subscription of number 1."""
        return b"MSG %b 1 %d\r\n%b\r\n" % (CHANNEL, len(payload), payload)


class MqttWire:
    """MQTT 3.1.1 at QoS 0, docs.oasis-open.org/mqtt/mqtt/v3.1.1: clean sessions without keep-alive."""

    self_delivery = False

    def __init__(self) -> None:
        self._numbers = count(1)

    def hello(self) -> bytes:
        """CONNECT under a name of its own, as a second client of one name ends the first (3.1.4)."""
        name = b"b%05d" % next(self._numbers)
        return _packet(0x10, _string(b"MQTT") + b"\x04\x02\x00\x00" + _string(name))

    def subscribe(self) -> bytes:
        """SUBSCRIBE with the packet identifier 1."""
        return _packet(0x82, b"\x00\x01" + _string(CHANNEL) + b"\x00")

    def ready(self) -> bytes | None:
        """SUBACK of that identifier, granting QoS 0."""
        return _packet(0x90, b"\x00\x01\x00")

    def message(self, payload: bytes) -> bytes:
        """PUBLISH."""
        return _packet(0x30, _string(CHANNEL) + payload)

    def delivery(self, payload: bytes) -> bytes:
        """PUBLISH, the same the other way."""
        return self.message(payload)


def wire_of(name: str) -> Wire:
    """A fresh wire, by the name that a contestant has for it. Raises KeyError."""
    makers: dict[str, type[Wire]] = {
        "line": LineWire,
        "chat": ChatWire,
        "redis": RedisWire,
        "nats": NatsWire,
        "mqtt": MqttWire,
    }
    return makers[name]()


def _resp(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(map(_bulk, parts))


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def _packet(kind: int, body: bytes) -> bytes:
    """A control packet; the length in groups of seven bits, the lowest first (2.2.3)."""
    left, size = len(body), bytearray()
    while left > 127:
        size.append(left & 127 | 128)
        left >>= 7
    return bytes([kind, *size, left]) + body
