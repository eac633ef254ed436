"""Bytes in, lines out: what one client has sent is cut at its line ends.

LF, CRLF and CR NUL (a bare return of the network virtual terminal, RFC 854) end a line. A single CR directly
before a line end and any directly behind it belong to it, so that CR CR LF (a CRLF whose LF was made CRLF
once more) and LF CR end a line as well. The content between is verbatim: a CR anywhere else is content.

The result never depends on how the network cut the input: whole, byte by byte or anywhere else gives the same
lines, because nothing is decided before the bytes that decide it are there. A byte is searched once, in the
piece it came with: the unfinished tail is only appended to, so a client that sends a megabyte one byte at a
time costs a megabyte of work, not its square.
"""

import re
import sys
from itertools import islice, takewhile
from typing import Final

from mypy_extensions import mypyc_attr

_LF: Final = 0x0A
_CR: Final = 0x0D
"""A byte is looked for by its number: CPython tries b"\r" in data as a number first, and 0.7 us are gone."""
_LINE_END: Final = re.compile(rb"(\r\n|\r\0|\n)(?:\r+(?!\0))?")
"""With the CRs behind it, but for that of a CR NUL."""
_LINE_END_OR_CR: Final = re.compile(rb"(\r[\n\0]?|\n)")
_CRS_AT_LF: Final = re.compile(rb"\r?\n\r*")


@mypyc_attr(acyclic=True)
class LineDecoder:
    """The unfinished input of one client.

    `max_line_bytes` limits a line's content, without its end; 0 means no limit. Between two feeds the buffer
    holds at most that many bytes, and two CRs that are still undecided.
    """

    __slots__ = (
        "_behind_end", "_held", "_limit_bytes", "_tail", "crlf_seen", "too_long",
    )  # fmt: skip

    def __init__(self, max_line_bytes: int) -> None:
        self.too_long = False
        """A line, finished or not, went over the limit: it and everything after it is dropped."""
        self.crlf_seen = False
        """At least one line ended in CRLF or CR NUL, so this client is likely to want CRLF back. LF CR does
        not count, nor that CR with a LF behind it: its line is complete, and may be answered, before the CR
        has come."""
        self._behind_end = False
        """The last that came was the end of a line."""
        self._limit_bytes = max_line_bytes or sys.maxsize
        self._tail: bytearray | None = None
        """What has come of the line that is not complete; None while that is nothing."""
        self._held = b""

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes wait here for the rest of their line."""
        return len(self._tail or b"") + len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends. After `too_long` there are none."""
        if self.too_long:
            return []
        if self._held or _CR in data:
            return self._feed_with_cr(data)
        return self._split(data)

    def whole_lines(self, data: bytes) -> int:
        """How many lines `data` is, where it is whole lines that end in LF and nothing else. Then they may be
        taken as they stand, unsplit, in place of being fed; 0 is every other case."""
        if self._tail is not None or self._held or len(data) > self._limit_bytes or self.too_long:
            return 0
        if data[-1] != _LF or _CR in data:
            return 0
        self._behind_end = True
        return data.count(b"\n")

    def finish(self) -> bytes | None:
        """At EOF: the unfinished last line, or None when the input ended at a line end.

        CRs at the very end are the beginning of a line end that was cut off: `b"a\\r"` leaves `b"a"`.
        """
        last = self._tail
        self._tail, self._held = None, b""
        return bytes(last) if last else None

    def _feed_with_cr(self, data: bytes) -> list[bytes]:
        if self._held:
            data, self._held = self._held + data, b""
        if data.endswith(b"\r"):  # Only the next byte tells whether it is content or part of a line end.
            self._held = b"\r\r" if data.endswith(b"\r\r") else b"\r"
            data = data.removesuffix(self._held)
        behind_end = self._behind_end
        ends = text = data.replace(b"\r\n", b"\n")
        if b"\r" in text:
            ends = text.replace(b"\r\0", b"\n")
            text = _CRS_AT_LF.sub(b"\n", ends.lstrip(b"\r") if behind_end else ends)
        lines = self._split(text)
        if len(ends) < len(data) and not self.crlf_seen:
            self.crlf_seen = _has_cr(_LINE_END, b"\n" * behind_end + data, behind_end + len(lines))
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
        if rest and self._tail is not None:
            self._tail += rest
        elif rest:
            self._tail = bytearray(rest)
        if text:
            self._behind_end = not rest
        return lines if longest_possible <= self._limit_bytes else self._within_limit(lines)

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        """`lines` up to the first that is too long; there the input ends, with all that came after."""
        good = list(takewhile(lambda line: len(line) <= self._limit_bytes, lines))
        if len(good) < len(lines) or len(self._tail or b"") > self._limit_bytes:
            self.too_long = True
            self._tail, self._held = None, b""
        return good


@mypyc_attr(acyclic=True)
class CrLineDecoder(LineDecoder):
    """The same for devices that end a line with a bare CR (--line-end cr).

    The CR completes its line at once: to wait for the next byte would hold a sensor's sentence back until the
    next one. A LF or NUL directly behind belongs to it, so CRLF and CR NUL still end one line.
    """

    __slots__ = ()

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes wait here for the rest of their line."""
        return len(self._tail or b"")

    def _feed_with_cr(self, data: bytes) -> list[bytes]:
        if self._held and data:
            self._held = b""
            if data.startswith((b"\n", b"\0")):
                data = data[1:]
        if data.endswith(b"\r"):
            self._held = b"\r"
        text = data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n").replace(b"\r", b"\n")
        lines = self._split(text)
        if lines and not self.crlf_seen:
            self.crlf_seen = _has_cr(_LINE_END_OR_CR, data, len(lines))
        return lines


def _has_cr(line_end: re.Pattern[bytes], data: bytes, count: int) -> bool:
    """Whether a CR is among the first line ends: those of the lines that count, as what follows an over-long
    line is dropped."""
    return any(end[1] != b"\n" for end in islice(line_end.finditer(data), count))
