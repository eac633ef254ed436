"""An accepted connection as data: identity and close record, and three parts with one owner each.

What it sends is in its `Inbox`, why it is not read now in its `ReadGate`, what it will receive in its
`Outbox`.
"""

from enum import Enum
from typing import Literal

from hub.close_reasons import CloseReason
from hub.net.sockets import Socket
from hub.protocol.line_transport import LineTransport
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
        (hub/loop/close_log.py): the client was refused, sent garbage from the first, or neither said
        something nor took a line that was said."""
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
    def has_said_something(self) -> bool:
        """A line with content came, or a browser's message; telnet commands and blank lines say nothing."""
        transport = self.inbox.transport
        return not transport.is_undecided if isinstance(transport, LineTransport) else self.inbox.lines_in > 0

    @property
    def handed_bytes(self) -> int:
        """How much our kernel took of what others said in its room since it came; history is past.

        For a client that said nothing itself, but for blank lines: some modes give it those back.
        """
        outbox = self.outbox
        if self.room is None or outbox.write_only:
            return 0
        lost = outbox.unsent_bytes + outbox.unsent_own_bytes + outbox.skipped_bytes
        begun = outbox.partial.owed if outbox.partial else 0
        return max(0, outbox.offset - outbox.entered_at - lost - begun - self.inbox.lines_in)

    @property
    def is_alive(self) -> bool:
        """No close of this client is settled yet."""
        return self.phase in _ALIVE


_ALIVE = (Phase.OPENING, Phase.OPEN)
