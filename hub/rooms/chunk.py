"""What a room got in one turn: canonical bytes, and each form of them that somebody needed.

A chunk is what everybody who is in step is handed, so each form is made at most once, by whoever needs it
first, and is the same object for all.
"""

from __future__ import annotations

from hub.protocol.encoding import Form, cut, encode
from hub.protocol.ws_frames import Cut, Framed
from hub.rooms.sender_runs import Runs


class Chunk:
    """What a room got in one turn, in each form that somebody needed."""

    __slots__ = ("_crlf", "_framed", "_telnet", "count", "first", "lf", "own", "start", "talk")

    def __init__(
        self, lf: bytes, first: int, start: int, count: int, talk: bool, own: Runs | None = None
    ) -> None:
        self.lf = lf
        self.first = first
        self.start = start
        self.count = count
        self.talk = talk
        self.own = own or None
        """Who said what, where those who said it do not get it back."""
        self._crlf: bytes | None = None
        self._telnet: bytes | None = None
        self._framed: Framed | None = None

    @property
    def end(self) -> int:
        """The room offset just behind this chunk."""
        return self.start + len(self.lf)

    def lines(self, start: int, end: int) -> int:
        """How many lines stand between two offsets of the room."""
        return self.lf.count(b"\n", start - self.start, end - self.start)

    def wire(self, form: Form) -> bytes:
        """The whole chunk in this form: made at most once, the same object for everyone."""
        if form is Form.LF:
            return self.lf
        if form is Form.FRAMES:
            return self._frames().wire
        if self._crlf is None:
            self._crlf = encode(self.lf, Form.CRLF)
        if form is Form.CRLF or b"\xff" not in self.lf:
            return self._crlf
        if self._telnet is None:
            self._telnet = encode(self.lf, Form.TELNET)
        return self._telnet

    def part(self, form: Form, start: int, stop: int) -> bytes:
        """The lines between two borders, counted from the chunk's first byte, in this form."""
        if form is Form.FRAMES:
            return self._frames().part(start, stop)
        return encode(self.lf[start:stop], form)

    def cut(self, form: Form, start: int, wire: bytes, taken: int) -> Cut:
        """Where the kernel stopped in the part that begins at the border `start`, `taken` bytes into it."""
        if form is Form.FRAMES:
            return self._frames().cut(start, taken)
        return cut(wire, taken, form)

    def _frames(self) -> Framed:
        if self._framed is None:
            self._framed = Framed(self.lf)
        return self._framed
