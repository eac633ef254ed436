"""Why a connection ended: the one closed list for log, close log, API, page and the farewell.

Promise: every connection ends with exactly one of these, and at any moment
accepted = open + the sum of closed by reason.
"""

from enum import StrEnum


class CloseReason(StrEnum):
    """The value is the name that people see, in a farewell as in the API."""

    PEER_CLOSED = "peer_closed"
    PEER_RESET = "peer_reset"
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
    def flushes(self) -> bool:
        """What the client is still owed at this ending is delivered before the connection closes."""
        return self not in _DROPS


_BY_PEER = frozenset(
    {CloseReason.PEER_CLOSED, CloseReason.PEER_RESET, CloseReason.PEER_TIMEOUT, CloseReason.IO_ERROR}
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
