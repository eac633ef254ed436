"""The inbox: what one client has sent and no turn has taken yet, and the input side's counters."""

from math import inf
from typing import Final

from mypy_extensions import mypyc_attr

from hub.protocol.line_transport import LineTransport
from hub.protocol.ws_connection import WebSocket
from hub.session.read_gate import ReadGate

Transport = LineTransport | WebSocket
"""The layer between bytes and lines: bytes in, lines and events out."""

FIRST_FRAMES_BYTES: Final = 4096
"""The first reads of a WebSocket, until it is known how large its frames are."""
FIRST_LINES_BYTES: Final = 448
"""The first reads of a line client, until one is full: Python has room for so little at hand, and for 64 KiB
malloc takes a fiftieth of an echo."""
MOST_READ_BYTES: Final = 64 * 1024


@mypyc_attr(acyclic=True)
class Inbox(ReadGate):
    """The input of one client. Times are seconds on the loop's clock, sizes are bytes."""

    __slots__ = (
        "bytes_in", "eof", "heard_at", "lines", "lines_in", "next", "pinged", "read_bytes",
        "read_until_eagain", "spent_at", "transport",
    )  # fmt: skip

    def __init__(self, transport: Transport, now: float) -> None:
        super().__init__()
        self.transport = transport
        self.lines: list[bytes] | None = None
        """Parsed lines that no turn has taken yet, from `next` on; None while there are none."""
        self.next = 0
        self.eof = False
        self.read_until_eagain = False
        """epoll said RDHUP, HUP, ERR or PRI: a short read is not the end of what can be read."""
        self.read_bytes = FIRST_LINES_BYTES if isinstance(transport, LineTransport) else FIRST_FRAMES_BYTES
        """How much is read at once: little of a WebSocket or telnet client while it is many frames or
        commands."""
        self.pinged = False
        """A ping is out, and nothing has come since."""
        self.spent_at = -inf
        """When the client's bucket of lines would have been empty, had it filled since without a limit."""
        self.heard_at = now
        """When data of the client was last read."""
        self.lines_in = self.bytes_in = 0

    @property
    def has_lines(self) -> bool:
        """Parsed lines wait to be taken."""
        return self.lines is not None

    @property
    def waiting(self) -> int:
        """How many parsed lines wait to be taken."""
        return 0 if self.lines is None else len(self.lines) - self.next

    def was_filled(self) -> None:
        """A read brought all that was asked for: the client sends more at a time."""
        self.read_bytes = min(4 * self.read_bytes, MOST_READ_BYTES)

    def receive(self, lines: list[bytes]) -> None:
        """Append parsed lines."""
        self.lines_in += len(lines)
        if self.lines is None:
            self.lines = lines or None
        else:
            self.lines += lines

    def first(self, most: int) -> list[bytes]:
        """The next lines, at most so many, which stay."""
        lines = self.lines or []
        return lines[self.next : self.next + most] if self.next or most < len(lines) else lines

    def take(self, most: int) -> list[bytes]:
        """Remove and return the next lines, at most so many."""
        lines = self.lines
        if lines is not None and self.next == 0 and len(lines) <= most:  # Nearly always; it saves two calls.
            self.lines = None
            return lines
        taken = self.first(most)
        self.drop(len(taken))
        return taken

    def drop(self, count: int) -> None:
        """Remove so many of the next lines; a list of which all are taken goes, as it may be long."""
        self.next += count
        if self.lines is not None and self.next == len(self.lines):
            self.lines, self.next = None, 0
