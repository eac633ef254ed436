"""The log of a room: chunks in order, each line at an offset that only rises.

The lines that a room receives in one turn are joined once into one chunk of canonical LF bytes, and everyone
who is in step is handed the same bytes object; so Python's work per turn is lines + clients, never
lines x clients. A subscriber that fell behind stays at its offset and gets all that it misses in its next
send. Offsets are canonical bytes since the room began. (Prior art: the replication backlog of redis, with a
node and an offset per replica.)
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from hub.rooms.chunk import Chunk
from hub.rooms.sender_runs import SenderRuns, spans

PIECE_BYTES: Final = 64 * 1024
"""Lines that leave the log for an outbox are joined into pieces of about this size."""


class Log:
    """What a room received and still keeps. `number` is never used again, unlike the room's name."""

    __slots__ = ("_pending", "_pending_talk", "chunks", "head", "intake", "next_line", "number", "runs")

    def __init__(self, number: int, *, self_echo: bool) -> None:
        self.number = number
        self.chunks: list[Chunk] = []
        self.head = 0
        """The offset of the next line: the end of the log."""
        self.next_line = 0
        """The number of the next line."""
        self.intake = 0
        """Bytes appended since the writer's pass under way began."""
        self.runs: SenderRuns | None = None if self_echo else {}
        """Which lines since the last chunk are whose; None where a sender gets its own lines back."""
        self._pending: list[bytes] = []
        self._pending_talk = False

    def extend(self, lines: Iterable[bytes], size: int, sender: int) -> int:
        """Append lines of one sender (0: the hub itself), `size` canonical bytes in all; returns how many."""
        before = len(self._pending)
        self._pending.extend(lines)
        count = len(self._pending) - before
        self.next_line += count
        self.head += size
        self.intake += size
        self._pending_talk |= sender != 0
        return count

    def seal(self) -> None:
        """Make the lines appended since the last time into one chunk."""
        if not self._pending:
            return
        count = len(self._pending)
        self._pending.append(b"")
        lf = b"\n".join(self._pending)
        first = self.next_line - count
        self.chunks.append(Chunk(lf, first, self.head - len(lf), count, self._pending_talk, self.runs))
        if self.runs:
            self.runs = {}
        self._pending = []
        self._pending_talk = False

    def index(self, offset: int) -> int:
        """The index of the chunk in which `offset` stands; len(chunks) when it is the head."""
        chunks = self.chunks
        if chunks and chunks[-1].start == offset:  # In step but for the newest chunk: the common case.
            return len(chunks) - 1
        return bisect_right(chunks, offset, key=attrgetter("end"))

    def lines_between(self, offset: int, stop: int, but: int = 0) -> Iterator[bytes]:
        """The sealed lines from `offset` up to `stop`, without a client's own, joined into pieces of some
        size: a room where each turn had one line has thousands of chunks."""
        found: list[bytes] = []
        size = 0
        for index in range(self.index(offset), len(self.chunks)):
            chunk = self.chunks[index]
            if chunk.start >= stop:
                break
            if size >= PIECE_BYTES:
                yield b"".join(found)
                found, size = [], 0
            if chunk.runs is None and chunk.start >= offset and chunk.end <= stop:
                found.append(chunk.lf)
                size += len(chunk.lf)
                continue
            for start, end, own in spans(chunk.runs, but, max(offset, chunk.start), min(stop, chunk.end)):
                if not own:
                    found.append(chunk.lf[start - chunk.start : end - chunk.start])
                    size += end - start
        if found:
            yield b"".join(found)

    def tail(self, lines: int, most_bytes: int) -> bytes:
        """The last lines that the log has: at most `lines` of them, whole, and at most so many bytes."""
        self.seal()
        return b"".join(self.lines_between(self.back(lines, most_bytes), self.head))

    def back(self, lines: int, most_bytes: int) -> int:
        """The offset of the line so many before the head, or of the first one that is kept and fits."""
        offset, border = self.head, self.head - most_bytes
        for chunk in reversed(self.chunks):
            if chunk.count <= lines and chunk.start >= border:
                offset = chunk.start
                lines -= chunk.count
                continue
            while lines:
                start = chunk.start + chunk.lf.rfind(b"\n", 0, offset - chunk.start - 1) + 1
                if start < border:
                    break
                offset = start
                lines -= 1
            break
        return offset

    def trim(self, needed: int, history: int, history_bytes: int) -> None:
        """Drop the chunks before offset `needed` that are not part of the history either."""
        kept, drop = self.next_line - history, 0
        for chunk in self.chunks:
            in_history = chunk.first_line + chunk.count > kept and self.head - chunk.end < history_bytes
            if chunk.end > needed or in_history:
                break
            drop += 1
        del self.chunks[:drop]
