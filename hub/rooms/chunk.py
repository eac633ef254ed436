"""A chunk: what a room received in one turn, as canonical bytes and in each encoding that somebody needed.

All subscribers get the same chunk, so each encoding is made at most once, by the first one that needs it.
"""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr

from hub.protocol.encoding import Encoding, cut, encode
from hub.protocol.ws_frames import Cut, Framed
from hub.rooms.sender_runs import SenderRuns


@mypyc_attr(acyclic=True)
class Chunk:
    """The lines that a room received in one turn, or a few of them."""

    __slots__ = ("_crlf", "_framed", "_telnet", "count", "end", "first_line", "lf", "runs", "start", "talk")

    def __init__(
        self, lf: bytes, first_line: int, start: int, count: int, talk: bool, runs: SenderRuns | None = None
    ) -> None:
        self.lf = lf
        self.first_line = first_line
        self.start = start
        self.end = start + len(lf)
        """The offset in the log just behind this chunk."""
        self.count = count
        self.talk = talk
        """Whether a client said any of it: the hub's own notices are no activity."""
        self.runs = runs or None
        """Which lines are whose, where a sender does not get its own lines back."""
        self._crlf: bytes | None = None
        self._telnet: bytes | None = None
        self._framed: Framed | None = None

    @classmethod
    def joined(cls, chunks: Sequence["Chunk"]) -> "Chunk":
        """Make one chunk of several in a row."""
        first, runs = chunks[0], SenderRuns()
        for chunk in chunks:
            for sender, its in (chunk.runs or {}).items():
                runs.setdefault(sender, []).extend(its)
        count, talk = sum(chunk.count for chunk in chunks), any(chunk.talk for chunk in chunks)
        lf = b"".join([chunk.lf for chunk in chunks])
        return cls(lf, first.first_line, first.start, count, talk, runs)

    def encoded(self, encoding: Encoding) -> bytes:
        """The whole chunk in this encoding: made at most once, the same object for every subscriber."""
        if encoding is Encoding.LF:
            return self.lf
        if encoding is Encoding.FRAMES:
            return self._frames().wire
        if self._crlf is None:
            self._crlf = encode(self.lf, Encoding.CRLF)
        if encoding is Encoding.CRLF or 0xFF not in self.lf:
            return self._crlf
        if self._telnet is None:
            self._telnet = encode(self.lf, Encoding.TELNET)
        return self._telnet

    def part(self, encoding: Encoding, start: int, stop: int) -> bytes:
        """The lines between two borders, counted from the chunk's first byte, in this encoding."""
        if encoding is Encoding.FRAMES:
            return self._frames().part(start, stop)
        return encode(self.lf[start:stop], encoding)

    def cut(self, encoding: Encoding, start: int, wire: bytes, taken: int) -> Cut:
        """Where the kernel stopped in the part that begins at the border `start`, `taken` bytes into it."""
        if encoding is Encoding.FRAMES:
            return self._frames().cut(start, taken)
        return cut(wire, taken, encoding)

    def _frames(self) -> Framed:
        if self._framed is None:
            self._framed = Framed(self.lf)
        return self._framed
