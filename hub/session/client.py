"""One connection as data: who it is, where it stands in its room, and what only it is owed.

A client is a *position* (the canonical offset of the next line it is owed, with its line number), plus
the unsent rest of the one line already begun. Everything else that it gets enters at a line border:
private output waits in `private` together with the offset that it precedes, so the reply to `/who`
typed between two lines appears between those two lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hub.protocol.encoding import Form

if TYPE_CHECKING:
    import socket

    from hub.close_reasons import CloseReason
    from hub.protocol.line_decoder import LineBuffer
    from hub.protocol.telnet import TelnetFilter
    from hub.protocol.ws_connection import WebSocket
    from hub.rooms.room import Room


ROOMS_REMEMBERED: Final = 64
Transport = Literal["line", "websocket", "read-only"]


class Phase(Enum):
    """The life of a connection; an ended client counts as closed from FLUSHING on."""

    OPEN = "open"
    FLUSHING = "flushing"
    """A reason is settled; what is still owed and the farewell are on their way."""
    LINGERING = "lingering"
    """Our side is shut down; input is discarded until the peer closes or two seconds have passed."""
    CLOSED = "closed"


class Piece(NamedTuple):
    """Private output: whole canonical lines, or raw bytes of the telnet layer or a foreign protocol."""

    at: int
    """The room offset that this precedes; -1 is before anything."""
    data: bytes
    owed: bool = False
    """Counted in the account of owed lines: an echo, or the remainder of a room that was left."""
    raw: bool = False
    farewell: bool = False
    form: Form | None = None
    """The form of its lines where that is fixed; the client's own otherwise."""
    messages: int = 0
    """Of raw bytes: whole messages that are echoed as they came."""
    skipped: int = 0
    """It is the notice of so many skipped lines."""

    @property
    def lines(self) -> int:
        """How many lines this is; of raw bytes, the messages."""
        return self.messages if self.raw else self.data.count(b"\n")


@dataclass(slots=True, eq=False, kw_only=True)
class Client:
    """One accepted connection. Times are seconds on the loop's clock, sizes are bytes."""

    id: int
    sock: socket.socket
    fd: int
    peer: str
    address: str
    joined_at: float
    lines: LineBuffer
    telnet: TelnetFilter | None
    form: Form = Form.LF
    transport: Transport = "line"
    websocket: WebSocket | None = None
    read_only: bool = False
    """It came in by the port for viewers: what it sends is thrown away."""
    tag: str = ""
    """What a browser calls itself, so that its page finds its own row."""
    nick: str = ""
    prefix: bytes = b""
    """`<nick> `, made when the nick is set, so that a line costs one concatenation."""
    room: Room | None = None

    seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    """How far it got in the rooms that it left, by room number: history never shows a line twice."""

    # Input.
    opening: bytes | None = b""
    """The very first bytes, until it is clear that no foreign protocol is spoken."""
    backlog: list[bytes] = field(default_factory=list)
    """Complete lines that no turn has taken yet, from `backlog_at` on."""
    backlog_at: int = 0
    read_on: bool = False
    """epoll said RDHUP, HUP, ERR or PRI: a short read is not the end of what can be read."""
    eof: bool = False
    choked: bool = False
    """Not read until half of its private output is gone."""
    held: bool = False
    """Not read until its room has caught up."""
    throttled: bool = False
    """Not read until it may say the next line of its backlog (--line-rate)."""
    spent_at: float = -inf
    """When its bucket of lines would have been empty, had it filled since without a limit."""
    fresh: bool = False
    """In chat, nothing goes to it before its first line or a short pause: it may be no person at all."""
    bulk: bool = False
    """It sends in bulk and has not paused: its own lines wait."""
    patience_s: float = 0.0
    """How long its room may still wait for it alone, as it stood at `patience_at`."""
    patience_at: float = 0.0
    timed: bool = False
    """It holds others up, so it has to take something before its progress timer ends."""
    last: tuple[CloseReason, str] | None = None
    """How it ends once the backlog is empty, and the detail."""
    read_bytes: int = 4096
    """How much is read at once of a WebSocket or a telnet: little while it is many frames or commands."""
    pinged: bool = False
    """A ping is out, and nothing has come since."""

    # Output.
    position: int = 0
    offset: int = 0
    own_lines: int = 0
    own_bytes: int = 0
    """Under --no-self-echo: what stands of its own before the head, and it will pass without getting it."""
    entered: int = 0
    """The head of its room when it came in; what stands before that is history."""
    rest: bytes = b""
    rest_owed: int = 0
    rest_farewell: bool = False
    rest_lines: int = 0
    """How many lines are out when the rest is; of raw bytes, the messages that are echoed."""
    rest_is_raw: bool = False
    """Every byte of it counts as one."""
    untold_lines: int = 0
    """Lines that it did not get and has not been told of."""
    skipping: bool = False
    """Under --slow skip: it missed lines, and has taken nothing since."""
    private: list[Piece] = field(default_factory=list)
    private_bytes: int = 0
    blocked: bool = False
    """The kernel refused bytes: write interest is armed."""
    deaf: bool = False
    """Owed nothing any more: it takes nothing, or is gone, but what it sent is still read."""
    gone: CloseReason | None = None
    """What a failed send said; reading finds the end."""

    # The end.
    phase: Phase = Phase.OPEN
    reason: CloseReason | None = None
    detail: str = ""
    due: float | None = None
    decided: float | None = None
    ended_at: float = 0.0
    last_room: str = ""
    farewell_sent: bool = False
    unsent_bytes: int = 0
    unsent_private_bytes: int = 0
    skipped_lines: int = 0
    skipped_bytes: int = 0
    """What it missed, in canonical bytes."""

    # Counters, and when it last did something.
    active_at: float = 0.0
    heard_at: float = 0.0
    lines_in: int = 0
    lines_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def lag_bytes(self) -> int:
        """Canonical bytes between its position and the head of its room."""
        return 0 if self.room is None or self.deaf else self.room.end - self.offset

    @property
    def owed_bytes(self) -> int:
        """How much of that it is owed: all but its own lines, where nobody gets those back."""
        return self.lag_bytes - self.own_bytes

    def go_to_head(self) -> None:
        """Past everything that its room has."""
        if self.room is not None:
            self.position, self.offset = self.room.head, self.room.end
            self.own_lines = self.own_bytes = 0

    @property
    def owes_nothing(self) -> bool:
        """Nothing is waiting for this client: no begun line, no private output, no room line."""
        return not self.rest and not self.private and self.owed_bytes == 0

    @property
    def reading(self) -> bool:
        """The hub wants to read it: open, not at its end, and not paused."""
        return self.phase is Phase.OPEN and not (self.eof or self.paused or self.last or self.reason)

    @property
    def paused(self) -> bool:
        """The hub does not read it for now, whatever it sends."""
        return self.choked or self.held or self.throttled

    @property
    def kept_waiting(self) -> bool:
        """It wants to say something, and it is the hub that does not let it yet."""
        return self.held or self.throttled

    @property
    def has_backlog(self) -> bool:
        """Complete lines are waiting to be taken."""
        return self.backlog_at < len(self.backlog)

    def remember(self, room: int, place: tuple[int, int]) -> None:
        """Where it was when it left a room; of the last few rooms only."""
        self.seen.pop(room, None)
        self.seen[room] = place
        if len(self.seen) > ROOMS_REMEMBERED:
            del self.seen[next(iter(self.seen))]

    def put(
        self, data: bytes, *, owed: bool = False, raw: bool = False, farewell: bool = False, messages: int = 0
    ) -> None:
        """Queue private output before the next line of its room. The caller marks the client."""
        at = -1 if self.room is None or self.deaf else self.room.end
        self.private.append(Piece(at, data, owed, raw, farewell, messages=messages))
        self.private_bytes += len(data)
