"""How a server is spoken to: what is sent and what comes for one line, on one kind of wire.

The load counts bytes, never lines, so every delivery of a wire has the same size.
"""

from itertools import count
from typing import Protocol


class Wire(Protocol):
    """What the fan-out needs to know of a protocol. The hot loop calls nothing of this."""

    self_delivery: bool
    """Whether writers receive the lines of the room too, as the clients of a hub do. Where it is false, what
    comes to a writer is a reply (Redis), and is thrown away. The load finds out by itself whether a writer
    receives its own lines."""

    def hello(self) -> bytes:
        """What every connection sends first."""

    def subscribe(self) -> bytes:
        """What a reader sends behind its hello."""

    def ready(self) -> bytes | None:
        """What a reader must have received before it counts as subscribed; None: nothing."""

    def message(self, payload: bytes) -> bytes:
        """What a writer sends for one line; `payload` is the line with its LF."""

    def delivery(self, payload: bytes) -> bytes:
        """What a reader receives for that line. Only the size counts, and it is the same for all lines."""


class LineWire:
    """Lines as they are: a hub in broadcast, or any other line server."""

    self_delivery = True

    def hello(self) -> bytes:
        """Nothing."""
        return b""

    def subscribe(self) -> bytes:
        """Nothing: a client of a hub is a subscriber."""
        return b""

    def ready(self) -> bytes | None:
        """Nothing is to be waited for."""
        return None

    def message(self, payload: bytes) -> bytes:
        """The line."""
        return payload

    def delivery(self, payload: bytes) -> bytes:
        """The line."""
        return payload


class ChatWire(LineWire):
    """A hubbub in chat mode: every client takes a nick, and lines come behind `<nick> `.

    All nicks have the same length, so that all deliveries have.
    """

    def __init__(self) -> None:
        self._numbers = count(1)

    def hello(self) -> bytes:
        """A nick of its own for each client."""
        return b"/nick b%05d\n" % next(self._numbers)

    def delivery(self, payload: bytes) -> bytes:
        """The line behind the nick of its sender."""
        return b"<b00000> " + payload
