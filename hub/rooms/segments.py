"""What one client receives next, in order, as bytes for the wire with the place that each part comes from.

The order on one wire: the partial line, then items and room lines by the offset that each item precedes. All
here only reads; the outbox (hub/rooms/outbox.py) moves past what the kernel took.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hub.protocol.encoding import Encoding, encode
from hub.rooms.chunk import Chunk
from hub.rooms.log import Log
from hub.rooms.sender_runs import spans

BATCH_BYTES: Final = 256 * 1024
"""About the most that is offered to the kernel at once; with a send buffer of 64 KiB it takes less."""
BATCH_SEGMENTS: Final = 256
"""IOV_MAX is 1024; a client that misses more chunks than this gets the others in its next send."""


class Item(NamedTuple):
    """What one client alone will receive: whole canonical lines, or raw bytes such as telnet's answers."""

    at: int
    """The offset in the log that this precedes; -1 is before anything."""
    data: bytes
    owed: bool = False
    """Counted in the account of owed lines: an echo, history, a whisper, or lines of a room that was left."""
    raw: bool = False
    farewell: bool = False
    encoding: Encoding | None = None
    """The encoding of its lines where that is fixed; the client's own otherwise."""
    messages: int = 0
    """Whole messages, in raw bytes, that are echoed as they came."""
    skipped: int = 0
    """How many skipped lines this item reports."""
    own: bool = False
    """Owed lines that the client said itself."""

    @property
    def lines(self) -> int:
        """How many lines this is; of raw bytes, the messages."""
        return self.messages if self.raw else self.data.count(b"\n")


class Partial(NamedTuple):
    """The unsent rest of the one line, frame or raw item that was already begun."""

    wire: bytes
    owed: int
    """Canonical bytes of the account that it still stands for."""
    lines: int
    """How many lines are out once this is."""
    encoding: Encoding
    """FRAMES for raw bytes too: every byte of them counts as one."""
    farewell: bool
    own: bool
    """As of an item."""


class Segment(NamedTuple):
    """Bytes for the wire, and where they come from. A client's own lines of a chunk have no bytes."""

    wire: bytes
    source: Partial | Item | Chunk
    size: int
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
    """Everything that a client will receive, in order."""
    if partial is not None:
        yield Segment(partial.wire, partial, partial.owed)
    for item in items:
        if log is not None and item.at > offset:
            yield from _from_log(client_id, encoding, log, offset, item.at)
            offset = item.at
        wire = item.data if item.raw else encode(item.data, item.encoding or encoding)
        yield Segment(wire, item, len(item.data))
    if log is not None:
        yield from _from_log(client_id, encoding, log, offset, log.head)


def _from_log(client_id: int, encoding: Encoding, log: Log, at: int, stop: int) -> Iterator[Segment]:
    """The chunks between two offsets; the whole ones as the object that everyone shares."""
    for index in range(log.index(at), len(log.chunks)):
        chunk = log.chunks[index]
        if chunk.start >= stop:
            return
        if chunk.start >= at and chunk.end <= stop and (chunk.runs is None or client_id not in chunk.runs):
            yield Segment(chunk.encoded(encoding), chunk, len(chunk.lf))
            continue
        for start, end, own in spans(chunk.runs, client_id, max(at, chunk.start), min(stop, chunk.end)):
            wire = b"" if own else chunk.part(encoding, start - chunk.start, end - chunk.start)
            yield Segment(wire, chunk, end - start)
