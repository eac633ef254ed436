"""An accepted connection as data: identity and close record, and three parts with one owner each.

What it sends is in its `Inbox`, why it is not read now in its `ReadGate`, what it will receive in its
`Outbox`.
"""

from typing import Any, Final, Literal

from mypy_extensions import mypyc_attr

from hub.close_reasons import CloseReason
from hub.net.listeners import show_address
from hub.protocol.line_transport import LineTransport
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.session.inbox import Inbox
from hub.session.read_gate import ReadGate
from hub.session.timed import Timed

Transport = Literal["line", "websocket", "read-only", "write-only"]
Time = float | None
"""Seconds on the loop's clock, or None where nothing has such a time."""


Phase = Literal["opening", "open", "flushing", "lingering", "closed"]
"""The life of a client; it counts as closed from "flushing" on.

opening    a WebSocket until its handshake is done; in chat a line client until it is known to speak lines
flushing   the close reason is settled; what is still owed and the farewell are on their way
lingering  our side is shut down; input is discarded until the peer closes or two seconds have passed
"""


@mypyc_attr(acyclic=True)
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


NOT_CLOSING: Final = CloseRecord()
"""The record of every client about whose end nothing is known yet; nobody writes into it."""


class Client(Timed):
    """An accepted connection. Times are seconds on the loop's clock."""

    __slots__ = (
        "accepted_at", "address", "close", "fd", "gate", "host", "inbox", "mode_state", "outbox", "phase",
        "port", "room", "transport",
    )  # fmt: skip

    def __init__(
        self, id: int, fd: int, host: str, port: int, address: str, transport: Transport, inbox: Inbox,
        now: float,
    ) -> None:  # fmt: skip
        super().__init__(id, now)
        self.fd = fd
        """-1 once it is closed."""
        self.host, self.port = host, port
        self.address = address
        """What the limit per address counts: an IPv4 address or an IPv6 /64."""
        self.transport: Transport = transport
        self.phase: Phase = "opening"
        self.accepted_at = now
        self.inbox = inbox
        self.gate: ReadGate = inbox
        """Why it is not read. The inbox is its own gate: an object apart takes 32 B."""
        self.close: CloseRecord = NOT_CLOSING
        """For reading; see `ending`."""
        self.room: Room | None = None
        self.mode_state: Any = None
        """What the mode keeps of this client: only the mode opens it. None while it keeps nothing."""
        self.outbox: Outbox

    @property
    def peer(self) -> str:
        """Where it came from, as people read it: put together when somebody asks, which takes 64 B less."""
        return show_address((self.host, self.port))

    @property
    def ending(self) -> CloseRecord:
        """The close record for writing: a client gets one of its own when its end begins."""
        if self.close is NOT_CLOSING:
            self.close = CloseRecord()
        return self.close

    @property
    def is_reading(self) -> bool:
        """The hub wants to read this client: it is open, not at its end, and not paused."""
        return self.gate.reasons == 0 and (self.phase == "open" or self.phase == "opening")

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
        lost = outbox.losses.unsent_bytes + outbox.losses.unsent_own_bytes + outbox.losses.skipped_bytes
        begun = outbox.partial.owed if outbox.partial else 0
        return max(0, outbox.offset - outbox.entered_at - lost - begun - self.inbox.lines_in)

    @property
    def is_alive(self) -> bool:
        """No close of this client is settled yet."""
        return self.phase == "open" or self.phase == "opening"
