"""An accepted connection as data: identity and close record, and three parts with one owner each.

What it sends is in its `Inbox`, why it is not read now in its `ReadGate`, what it will receive in its
`Outbox`.
"""

from enum import Enum
from typing import Literal

from hub.close_reasons import CloseReason
from hub.net.sockets import Socket
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.session.inbox import Inbox
from hub.session.read_gate import ReadGate

Transport = Literal["line", "websocket", "read-only", "write-only"]
Time = float | None
"""Seconds on the loop's clock, or None where nothing has such a time."""


class Phase(Enum):
    """The life of a client; it counts as closed from FLUSHING on."""

    OPENING = "opening"
    """A WebSocket until its handshake is done; in chat a line client until it is known to speak lines."""
    OPEN = "open"
    FLUSHING = "flushing"
    """The close reason is settled; what is still owed and the farewell are on their way."""
    LINGERING = "lingering"
    """Our side is shut down; input is discarded until the peer closes or two seconds have passed."""
    CLOSED = "closed"


class CloseRecord:
    """How one client ends. The first reason wins; `due` and `decided` are given where a timer decided."""

    __slots__ = ("decided", "detail", "due", "is_stranger", "nick", "peer_error", "pending", "reason", "room")

    def __init__(self) -> None:
        self.reason: CloseReason | None = None
        self.detail = self.nick = self.room = ""
        self.due: Time = None
        self.decided: Time = None
        self.pending: tuple[CloseReason, str] | None = None
        """The reason and detail for when all parsed lines are taken."""
        self.is_stranger = False
        """Anybody who reaches the port can cause such ends at will, so no number of them may push out others
        (hub/loop/close_log.py): the client was refused, did not finish its handshake, sent garbage from the
        first, or never said a byte and was said nothing."""
        self.peer_error: CloseReason | None = None
        """What a failed send said: nothing more can be delivered, and reading finds the end."""


class Client:
    """An accepted connection. Times are seconds on the loop's clock."""

    __slots__ = (
        "accepted_at", "active_at", "address", "close", "fd", "gate", "id", "inbox", "outbox", "peer",
        "phase", "room", "sock", "transport",
    )  # fmt: skip

    def __init__(
        self, id: int, sock: Socket, peer: str, address: str, transport: Transport, inbox: Inbox, now: float
    ) -> None:
        self.id = id
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.address = address
        """What the limit per address counts: an IPv4 address or an IPv6 /64."""
        self.transport: Transport = transport
        self.phase = Phase.OPENING
        self.accepted_at = self.active_at = now
        self.inbox = inbox
        self.gate = ReadGate()
        self.close = CloseRecord()
        self.room: Room | None = None
        self.outbox: Outbox

    @property
    def is_reading(self) -> bool:
        """The hub wants to read this client: it is open, not at its end, and not paused."""
        return self.gate.reasons == 0 and self.phase in _ALIVE

    @property
    def was_said_nothing(self) -> bool:
        """No line came into its room since the client came (history is past), or it is to hear none."""
        if self.room is None or self.outbox.write_only:
            return True
        return self.room.log.head == self.outbox.entered_at

    @property
    def is_alive(self) -> bool:
        """No close of this client is settled yet."""
        return self.phase in _ALIVE


_ALIVE = (Phase.OPENING, Phase.OPEN)
