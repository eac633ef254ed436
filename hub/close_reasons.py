"""Why a connection ended: the one closed list for log, close log, API, page and the farewell.

Promise: every connection ends with exactly one of these, and at any moment
accepted = open + the sum of closed by reason.
"""

from enum import StrEnum


class CloseReason(StrEnum):
    """The value is the name that people see, in a farewell as in the API."""

    PEER_CLOSED = "peer_closed"
    PEER_RESET = "peer_reset"
    SILENT = "silent"
    """In place of the two before, where the peer never sent a byte and no line was said to it: probes."""
    PEER_TIMEOUT = "peer_timeout"
    QUIT = "quit"
    IDLE = "idle"
    LINE_TOO_LONG = "line_too_long"
    SLOW_CONSUMER = "slow_consumer"
    PROTOCOL_ERROR = "protocol_error"
    WRONG_PROTOCOL = "wrong_protocol"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    INVALID_UTF8 = "invalid_utf8"
    SERVER_FULL = "server_full"
    PER_IP_LIMIT = "per_ip_limit"
    ORIGIN_REFUSED = "origin_refused"
    IO_ERROR = "io_error"
    INTERNAL_ERROR = "internal_error"
    SERVER_SHUTDOWN = "server_shutdown"

    @property
    def by_peer(self) -> bool:
        """The other side or the network ended it, so there is nobody left to say farewell to."""
        return self in _BY_PEER

    @property
    def refuses(self) -> bool:
        """The connection was never let in, or was no client of this port."""
        return self in _REFUSES

    @property
    def flushes(self) -> bool:
        """What the client is still owed at this ending is delivered before the connection closes."""
        return self not in _DROPS

    @property
    def sentence(self) -> str:
        """The same for the person at the other end, at most 60 characters."""
        return _SENTENCES[self]


def told(reason: CloseReason, detail: str) -> str:
    """Why, for programs: `reason=idle after=300s limit=300s`. A detail is words `key=value`."""
    return f"reason={reason} {detail}".rstrip()


def told_to_people(reason: CloseReason, detail: str) -> str:
    """The same and a sentence behind it."""
    return f"{told(reason, detail)} - {reason.sentence}"


_BY_PEER = frozenset(
    {
        CloseReason.PEER_CLOSED,
        CloseReason.PEER_RESET,
        CloseReason.SILENT,
        CloseReason.PEER_TIMEOUT,
        CloseReason.IO_ERROR,
    }
)
_REFUSES = frozenset(
    {
        CloseReason.SERVER_FULL,
        CloseReason.PER_IP_LIMIT,
        CloseReason.ORIGIN_REFUSED,
        CloseReason.WRONG_PROTOCOL,
        CloseReason.HANDSHAKE_TIMEOUT,
    }
)
_DROPS = frozenset(
    {
        CloseReason.PEER_RESET,
        CloseReason.PEER_TIMEOUT,
        CloseReason.IO_ERROR,
        CloseReason.SLOW_CONSUMER,
        CloseReason.INTERNAL_ERROR,
    }
)
_SENTENCES = {
    CloseReason.PEER_CLOSED: "you ended the connection",
    CloseReason.PEER_RESET: "your side reset the connection",
    CloseReason.SILENT: "you ended the connection and had said nothing",
    CloseReason.PEER_TIMEOUT: "your side did not answer any more",
    CloseReason.QUIT: "goodbye",
    CloseReason.IDLE: "nothing came from you for too long",
    CloseReason.LINE_TOO_LONG: "you sent a line that is longer than allowed here",
    CloseReason.SLOW_CONSUMER: "you did not take what was sent to you fast enough",
    CloseReason.PROTOCOL_ERROR: "what you sent breaks the rules of its protocol",
    CloseReason.WRONG_PROTOCOL: "this port speaks another protocol",
    CloseReason.HANDSHAKE_TIMEOUT: "your WebSocket request did not come in time",
    CloseReason.INVALID_UTF8: "you sent text that is not UTF-8",
    CloseReason.SERVER_FULL: "this hub has no room for more clients now",
    CloseReason.PER_IP_LIMIT: "too many clients come from your address",
    CloseReason.ORIGIN_REFUSED: "that page or name may not connect here",
    CloseReason.IO_ERROR: "the connection failed",
    CloseReason.INTERNAL_ERROR: "the hub made a mistake, the fault is not yours",
    CloseReason.SERVER_SHUTDOWN: "this hub is stopping",
}
