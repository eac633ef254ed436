"""What one client receives next, in order, as bytes for the wire with the place that each part comes from.

The order on one wire: the partial line, then items and room lines by the offset that each item precedes. All
here only reads; the outbox (hub/rooms/outbox.py) moves past what the kernel took.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from mypy_extensions import mypyc_attr

from hub.protocol.encoding import Encoding, encode
from hub.rooms.chunk import Chunk
from hub.rooms.log import Log
from hub.rooms.sender_runs import spans

BATCH_BYTES: Final = 128 * 1024
"""About the most that is offered to the kernel at once; an empty send buffer of 64 KiB takes a bit less."""
ROW_BYTES: Final = 16 * 1024
"""Small chunks in a row are one segment up to this size; a larger one goes out as it is, without a copy."""
BATCH_SEGMENTS: Final = 256
"""IOV_MAX is 1024; a client that more segments wait for gets the others in its next send."""


@mypyc_attr(acyclic=True)
class Item:
    """What one client alone will receive: whole canonical lines, or raw bytes such as telnet's answers."""

    __slots__ = ("at", "data", "encoding", "farewell", "lines", "owed", "own", "raw", "skipped")

    def __init__(
        self, at: int, data: bytes, *, owed: bool = False, own: bool = False, raw: bool = False,
        farewell: bool = False, skipped: int = 0, lines: int = -1,
    ) -> None:  # fmt: skip
        self.at = at
        """The offset in the log that this precedes; -1 is before anything."""
        self.data = data
        self.owed = owed
        """Counted in the account: an echo, history, a whisper, lines of a room that was left."""
        self.own = own
        """Owed lines that the client said itself."""
        self.raw = raw
        self.farewell = farewell
        self.encoding: Encoding | None = None
        """The encoding of its lines where that is fixed; the client's own otherwise."""
        self.skipped = skipped
        """How many skipped lines this item reports."""
        if lines < 0:
            lines = 0 if raw else data.count(b"\n")
        self.lines = lines
        """How many lines this is; of raw bytes, how many whole messages that are echoed as they came. The
        maker says so where it knows: counting 16 lines takes a thirtieth of their echo."""

    def fix(self, encoding: Encoding) -> None:
        """Have its lines go out in this encoding, whatever the client's becomes."""
        self.encoding = encoding

    def wire(self, encoding: Encoding) -> bytes:
        """These bytes as they go out to a client of this encoding."""
        return self.data if self.raw else encode(self.data, self.encoding or encoding)


@mypyc_attr(acyclic=True)
class Partial:
    """The unsent rest of the one line, frame or raw item that was already begun."""

    __slots__ = ("encoding", "farewell", "lines", "owed", "own", "wire")

    def __init__(
        self, wire: bytes, owed: int, lines: int, encoding: Encoding, *, farewell: bool, own: bool
    ) -> None:
        self.wire = wire
        self.owed = owed
        """Canonical bytes of the account that it still stands for."""
        self.lines = lines
        """How many lines are out once this is."""
        self.encoding = encoding
        """"frames" for raw bytes too: every byte of them counts as one."""
        self.farewell = farewell
        self.own = own
        """As of an item."""


@mypyc_attr(acyclic=True)
class Segment:
    """Bytes for the wire, and where they come from. A client's own lines of a chunk have no bytes."""

    __slots__ = ("size", "source", "wire")

    def __init__(self, wire: bytes, source: Partial | Item | Chunk, size: int) -> None:
        self.wire = wire
        self.source = source
        self.size = size
        """Canonical bytes."""

    @property
    def is_talk(self) -> bool:
        """Whether a client said these bytes: only they are activity, the hub's own words are not."""
        source = self.source
        if isinstance(source, Chunk):
            return source.talk and self.wire != b""
        return source.owed > 0


def batch(segments: Iterator[Segment]) -> list[Segment]:
    """The next segments that are offered to the kernel at once; empty when there are none."""
    chosen: list[Segment] = []
    size = 0
    for segment in segments:
        chosen.append(segment)
        size += len(segment.wire)
        if size >= BATCH_BYTES or len(chosen) >= BATCH_SEGMENTS:
            break
    return chosen


def upcoming(
    client_id: int,
    encoding: Encoding,
    partial: Partial | None,
    items: Sequence[Item],
    log: Log | None,
    offset: int,
) -> Iterator[Segment]:
    """What a client will receive, in order: all items, and the lines that the log has as chunks."""
    if partial is not None:
        yield Segment(partial.wire, partial, partial.owed)
    for item in items:
        if log is not None and item.at > offset:
            yield from from_log(client_id, encoding, log, offset, item.at)
            offset = item.at
        yield Segment(item.wire(encoding), item, len(item.data))
    if log is not None:
        yield from from_log(client_id, encoding, log, offset, log.sealed)


def from_log(client_id: int, encoding: Encoding, log: Log, at: int, stop: int) -> Iterator[Segment]:
    """What the log has between two offsets: whole chunks as the object that everyone shares, or many in a row
    as one, so that who is behind does not cost clients x chunks."""
    chunks, index = log.chunks, log.index(at)
    while index < len(chunks) and chunks[index].start < stop:
        row = whole_ones(client_id, chunks, index, at, stop)
        if row:
            index += len(row)
            chunk = row[0] if len(row) == 1 else Chunk.of_parts(row)
            yield Segment(chunk.encoded(encoding), chunk, len(chunk.lf))
            continue
        chunk = chunks[index]
        index += 1
        for start, end, own in spans(chunk.runs, client_id, max(at, chunk.start), min(stop, chunk.end)):
            wire = b"" if own else chunk.part(encoding, start - chunk.start, end - chunk.start)
            yield Segment(wire, chunk, end - start)


def whole_ones(client_id: int, chunks: Sequence[Chunk], index: int, at: int, stop: int) -> list[Chunk]:
    """Chunks in a row from this index on of which the client gets all, up to some size."""
    row, size = list[Chunk](), 0
    while index < len(chunks):
        chunk = chunks[index]
        if row and size + len(chunk.lf) > ROW_BYTES:
            break
        if chunk.start < at or chunk.end > stop or (chunk.runs is not None and client_id in chunk.runs):
            break
        row.append(chunk)
        size += len(chunk.lf)
        index += 1
    return row
