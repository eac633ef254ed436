"""A stretch: chunks in a row as one piece of wire, for all the subscribers that stand where it begins.

A pass takes several turns in a large room, and each subscriber gets all that there is when its turn comes,
so those of one turn stand at one offset and those of the next at another. They come round in the same order,
and then as many of them stand together again. A stretch joins for them what the chunks are in an encoding,
which is a copy and no work on lines.
"""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr

from hub.protocol.encoding import Encoding
from hub.rooms.chunk import Chunk
from hub.rooms.segments import Segment, of_chunk


@mypyc_attr(acyclic=True)
class Stretch:
    """All from one offset of a log up to another, both of them borders of chunks."""

    __slots__ = ("_chunks", "_wires", "count", "end", "senders", "start", "talk")

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.start = chunks[0].start
        self.end = chunks[-1].end
        self.count = sum([chunk.count for chunk in chunks])
        """How many lines it is."""
        self.talk = any([chunk.talk for chunk in chunks])
        """Whether a client said any of it."""
        self.senders = {sender for chunk in chunks if chunk.runs for sender in chunk.runs}
        """Clients that do not get all of it, because they said some."""
        self._chunks = chunks
        self._wires: list[tuple[Encoding, bytes]] = []
        """A table would ask each encoding for its hash, which takes as long as a look at all four."""

    @property
    def size(self) -> int:
        """Canonical bytes."""
        return self.end - self.start

    def encoded(self, encoding: Encoding) -> bytes:
        """The whole stretch in this encoding, the same object for every subscriber."""
        for made, wire in self._wires:
            if made is encoding:
                return wire
        joined = b"".join([chunk.encoded(encoding) for chunk in self._chunks])
        self._wires.append((encoding, joined))
        return joined

    def segments(self, client_id: int, encoding: Encoding) -> list[Segment]:
        """What this client gets of it, chunk by chunk; its own lines have no bytes."""
        return [
            segment
            for chunk in self._chunks
            for segment in of_chunk(chunk, client_id, encoding, chunk.start, chunk.end)
        ]

    def share_of(self, sender: int) -> tuple[int, int]:
        """How many of its lines are this sender's, and their size."""
        runs = [run for chunk in self._chunks if chunk.runs for run in chunk.runs.get(sender, ())]
        return sum(run[2] for run in runs), sum(run[1] - run[0] for run in runs)
