"""A chunk: what a room received in one turn, as canonical bytes and in each encoding that somebody needed.

All subscribers get the same chunk, so each encoding is made at most once, by the first one that needs it.

A pass takes several turns in a large room, and each subscriber gets what there is when its turn comes, so
those of one turn stand at one offset and those of the next at another. They come round in the same order, and
then as many of them stand together again. They share chunks in a row as one, whose encodings are those of its
parts, joined: a copy, and no work on lines.
"""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr

from hub.protocol.encoding import Encoding, cut, encode
from hub.protocol.ws_frames import Cut, Framed
from hub.rooms.sender_runs import SenderRuns, spans


@mypyc_attr(acyclic=True)
class Chunk:
    """The lines that a room received in one turn, or in several."""

    __slots__ = (
        "_crlf", "_framed", "_telnet", "count", "end", "first_line", "lf", "parts", "runs", "start", "talk"
    )  # fmt: skip

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
        """Which lines are whose, where a sender does not get its own lines back; of parts they say it."""
        self.parts: Sequence[Chunk] | None = None
        """The chunks of the log that this one shows as one; it is not in the log itself."""
        self._crlf: bytes | None = None
        self._telnet: bytes | None = None
        self._framed: Framed | None = None

    @classmethod
    def joined(cls, chunks: Sequence["Chunk"]) -> "Chunk":
        """Make one chunk of several in a row, to stand in the log for them."""
        whole, runs = cls.of_parts(chunks), SenderRuns()
        for chunk in chunks:
            for sender, its in (chunk.runs or {}).items():
                runs.setdefault(sender, []).extend(its)
        whole.parts, whole.runs = None, runs or None
        return whole

    @classmethod
    def of_parts(cls, chunks: Sequence["Chunk"]) -> "Chunk":
        """Chunks in a row of the log as one, for all who get all of them."""
        first, lf = chunks[0], b"".join([chunk.lf for chunk in chunks])
        count, talk = sum([chunk.count for chunk in chunks]), any([chunk.talk for chunk in chunks])
        whole = cls(lf, first.first_line, first.start, count, talk)
        whole.parts = chunks
        return whole

    def encoded(self, encoding: Encoding) -> bytes:
        """The whole chunk in this encoding: made at most once, the same object for every subscriber."""
        if encoding == "lf":
            return self.lf
        if self.parts is not None:
            self._join(encoding, self.parts)
        return self._own(encoding)

    def without(self, sender: int, encoding: Encoding) -> bytes:
        """What others said of the whole chunk, in this encoding."""
        wires = list[bytes]()
        for chunk in self.parts or (self,):
            if chunk.runs is None or sender not in chunk.runs:
                wires.append(chunk.encoded(encoding))
                continue
            parts = spans(chunk.runs, sender, chunk.start, chunk.end)
            wires += [
                chunk.part(encoding, a - chunk.start, b - chunk.start) for a, b, own in parts if not own
            ]
        return b"".join(wires)

    def share_of(self, sender: int) -> tuple[int, int]:
        """How many of its lines are this sender's, and their size."""
        chunks = self.parts or (self,)
        runs = [run for chunk in chunks if chunk.runs is not None for run in chunk.runs.get(sender, ())]
        return sum([run[2] for run in runs]), sum([run[1] - run[0] for run in runs])

    def part(self, encoding: Encoding, start: int, stop: int) -> bytes:
        """The lines between two borders, counted from the chunk's first byte, in this encoding."""
        if encoding == "frames":
            return self._frames().part(start, stop)
        return encode(self.lf[start:stop], encoding)

    def cut(self, encoding: Encoding, start: int, wire: bytes, taken: int) -> Cut:
        """Where the kernel stopped in the part that begins at the border `start`, `taken` bytes into it."""
        if encoding == "frames":
            return self._frames().cut(start, taken)
        return cut(wire, taken, encoding)

    def _own(self, encoding: Encoding) -> bytes:
        if encoding == "lf":
            return self.lf
        if encoding == "frames":
            return self._frames().wire
        if encoding == "telnet" and 0xFF in self.lf:
            if self._telnet is None:
                self._telnet = encode(self.lf, "telnet")
            return self._telnet
        if self._crlf is None:
            self._crlf = encode(self.lf, "crlf")
        return self._crlf

    def _join(self, encoding: Encoding, parts: Sequence["Chunk"]) -> None:
        """Where it is not there yet, make this encoding of those of the parts. Telnet without a byte 255 is
        CRLF."""
        if encoding == "frames":
            if self._framed is None:
                self._framed = Framed(self.lf, b"".join([part._own(encoding) for part in parts]))
        elif encoding == "telnet" and 0xFF in self.lf:
            if self._telnet is None:
                self._telnet = b"".join([part._own(encoding) for part in parts])
        elif self._crlf is None:
            self._crlf = b"".join([part._own("crlf") for part in parts])

    def _frames(self) -> Framed:
        if self._framed is None:
            self._framed = Framed(self.lf)
        return self._framed
