"""The log of a room: chunks in order, each line at an offset that only rises.

The lines that a room receives in one turn are joined once into one chunk of canonical LF bytes, and all who
stand where it begins are handed the same bytes object; so Python's work per turn is lines + clients, never
lines x clients. A subscriber that fell behind stays at its offset and gets all that it misses in its next
send. Offsets are canonical bytes since the room began. (Prior art: the replication backlog of redis, with a
node and an offset per replica.)
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from mypy_extensions import mypyc_attr

from hub.rooms.chunk import Chunk
from hub.rooms.sender_runs import SenderRuns, spans

PIECE_BYTES: Final = 64 * 1024
"""Lines that leave the log for an outbox are joined into pieces of about this size."""
SMALL_BYTES: Final = 16 * 1024
"""Chunks below this size are joined while somebody holds them in the log: a lag of 1 MiB is few of them."""

_END: Final = attrgetter("end")


@mypyc_attr(allow_interpreted_subclasses=True)
class Log:
    """What a room received and still keeps. `number` is never used again, unlike the room's name."""

    __slots__ = (
        "_compacted",
        "_pending",
        "_pending_lines",
        "_pending_talk",
        "chunks",
        "head",
        "intake",
        "next_line",
        "number",
        "runs",
        "sealed",
    )

    def __init__(self, number: int, *, self_echo: bool) -> None:
        self.number = number
        self.chunks: list[Chunk] = []
        self.head = 0
        """The offset of the next line: the end of the log."""
        self.next_line = 0
        """The number of the next line."""
        self.intake = 0
        """Bytes appended since the writer's pass under way began."""
        self.sealed = 0
        """Where the last chunk ends: what can be handed out ends here."""
        self.runs: SenderRuns | None = None if self_echo else {}
        """Which lines since the last chunk are whose; None where a sender gets its own lines back."""
        self._compacted = 0
        """Up to here small chunks are joined."""
        self._pending: list[bytes] = []
        self._pending_lines = 0
        self._pending_talk = False

    def extend(self, text: bytes, count: int, sender: int) -> None:
        """Append so many canonical lines of one sender (0: the hub itself), which are this text."""
        self._pending.append(text)
        self._pending_lines += count
        size = len(text)
        self.next_line += count
        self.head += size
        self.intake += size
        self._pending_talk |= sender != 0

    def seal(self) -> None:
        """Make the lines appended since the last time into one chunk."""
        if not self._pending:
            return
        lf, count = b"".join(self._pending), self._pending_lines
        first = self.next_line - count
        self.chunks.append(Chunk(lf, first, self.head - len(lf), count, self._pending_talk, self.runs))
        if self.runs:
            self.runs = {}
        self._pending, self._pending_lines, self._pending_talk = [], 0, False
        self.sealed = self.head

    def begin_pass(self) -> int:
        """Have all lines of now in chunks, and take as many again; returns where they end."""
        self.seal()
        self.intake = 0
        return self.head

    def index(self, offset: int) -> int:
        """The index of the chunk in which `offset` stands; len(chunks) when it is the head."""
        chunks = self.chunks
        if chunks and chunks[-1].start == offset:  # In step but for the newest chunk: the common case.
            return len(chunks) - 1
        return bisect_right(chunks, offset, key=_END)

    def chunks_from(self, offset: int, size: int) -> list[Chunk]:
        """Whole chunks from `offset` on, one at least and more up to this size; none from inside a chunk."""
        chunks, first = self.chunks, self.index(offset)
        if first == len(chunks) or chunks[first].start != offset:
            return []
        if chunks[-1].end - offset <= size:
            return chunks[first:]
        return chunks[first : max(first + 1, bisect_right(chunks, offset + size, key=_END))]

    def lines_between(self, offset: int, stop: int, but: int = 0) -> Iterator[bytes]:
        """The sealed lines from `offset` up to `stop`, without a client's own, chunk by chunk."""
        for index in range(self.index(offset), len(self.chunks)):
            chunk = self.chunks[index]
            if chunk.start >= stop:
                break
            if chunk.runs is None and chunk.start >= offset and chunk.end <= stop:
                yield chunk.lf
                continue
            for start, end, own in spans(chunk.runs, but, max(offset, chunk.start), min(stop, chunk.end)):
                if not own:
                    yield chunk.lf[start - chunk.start : end - chunk.start]

    def trim(self, needed: int) -> None:
        """Drop the chunks before offset `needed`."""
        if needed == self.sealed:
            self.chunks.clear()
            return
        del self.chunks[: bisect_right(self.chunks, needed, key=_END)]

    def compact(self, stop: int) -> None:
        """Join small chunks up to offset `stop`, so that a room of one-line turns does not keep thousands.

        What came since the last time first, in groups; then the last group with those before it, as long as
        they are not twice as large. So sizes fall by halves at least, and a byte is copied a few times.
        """
        chunks = self.chunks
        first, at = (bisect_right(chunks, offset, key=_END) for offset in (self._compacted, stop))
        groups, size = list[list[Chunk]](), SMALL_BYTES
        for chunk in chunks[first:at]:
            if size >= SMALL_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(chunk)
            size += len(chunk.lf)
        chunks[first:at] = [group[0] if len(group) == 1 else Chunk.joined(group) for group in groups]
        self._compacted, at = stop, first + len(groups)
        while at > 1:
            before, last = len(chunks[at - 2].lf), len(chunks[at - 1].lf)
            if max(before, last) >= SMALL_BYTES or before > 2 * last:
                return
            chunks[at - 2 : at] = [Chunk.joined(chunks[at - 2 : at])]
            at -= 1


def pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines joined into pieces of some size: there may be thousands, one for each turn of a room."""
    found: list[bytes] = []
    size = 0
    for part in parts:
        if size >= PIECE_BYTES:
            yield b"".join(found)
            found, size = [], 0
        found.append(part)
        size += len(part)
    if found:
        yield b"".join(found)
