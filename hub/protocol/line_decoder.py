"""Bytes in, lines out: what one client has sent is cut at its line ends.

LF, CRLF and CR NUL (a bare return of the network virtual terminal, RFC 854) end a line; the content between
them is verbatim, so a CR anywhere else is content. The result never depends on how the network cut the input:
whole, byte by byte or anywhere else gives the same lines, because nothing is decided before the bytes that
decide it are there. A byte is searched once, in the piece it came with: the unfinished tail is only appended
to, so a client that sends a megabyte one byte at a time costs a megabyte of work, not its square.
"""

import re
import sys
from itertools import islice, takewhile

_LINE_END = re.compile(rb"\r\n|\r\0|\n")


class LineDecoder:
    """The unfinished input of one client.

    `max_line_bytes` limits a line's content, without its end; 0 means no limit. Between two feeds the buffer
    holds at most that many bytes, and one CR that is still undecided.
    """

    __slots__ = ("_held_cr", "_limit_bytes", "_tail", "crlf_seen", "too_long")

    def __init__(self, max_line_bytes: int) -> None:
        self.too_long = False
        """A line, finished or not, went over the limit: it and everything after it is dropped."""
        self.crlf_seen = False
        """At least one line ended in CRLF or CR NUL, so this client is likely to want CRLF back."""
        self._limit_bytes = max_line_bytes or sys.maxsize
        self._tail: bytearray | None = None
        self._held_cr = False

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes wait here for the rest of their line."""
        return len(self._tail or b"") + self._held_cr

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends. After `too_long` there are none."""
        if self.too_long:
            return []
        if self._held_cr or b"\r" in data:
            return self._feed_with_cr(data)
        return self._split(data)

    def finish(self) -> bytes | None:
        """At EOF: the unfinished last line, or None when the input ended at a line end.

        A CR at the very end counts as a line end, half of a CRLF that was cut off: `b"a\\r"` leaves `b"a"`.
        """
        if not self.unfinished_bytes:
            return None
        last = bytes(self._tail or b"")
        self._tail, self._held_cr = None, False
        return last

    def _feed_with_cr(self, data: bytes) -> list[bytes]:
        if self._held_cr:
            data = b"\r" + data
        # Only the next byte tells whether a final CR is content or half of a line end.
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        # In this order: the LF that replaces a CRLF never makes a new CR NUL, but the LF that replaces a CR
        # NUL may follow a CR that is content (b"\r\r\0"), and the two would then be taken for a CRLF.
        text = data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n")
        lines = self._split(text)
        if len(text) < len(data) and not self.crlf_seen:
            # Only the ends of the lines that count: what follows an over-long line is dropped.
            ends = islice(_LINE_END.finditer(data), len(lines))
            self.crlf_seen = any(end.group() != b"\n" for end in ends)
        return lines

    def _split(self, text: bytes) -> list[bytes]:
        """Lines of `text`, in which every line end is a LF, and the rest put away for the next time."""
        lines = text.split(b"\n")
        rest = lines.pop()
        longest_possible = len(text)
        if self._tail is not None:
            longest_possible += len(self._tail)
            if lines:
                self._tail += lines[0]
                lines[0] = bytes(self._tail)
                self._tail = None
        if rest:
            if self._tail is None:
                self._tail = bytearray()
            self._tail += rest
        return lines if longest_possible <= self._limit_bytes else self._within_limit(lines)

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        """`lines` up to the first that is too long; there the input ends, with all that came after."""
        good = list(takewhile(lambda line: len(line) <= self._limit_bytes, lines))
        if len(good) < len(lines) or len(self._tail or b"") > self._limit_bytes:
            self.too_long = True
            self._tail, self._held_cr = None, False
        return good
