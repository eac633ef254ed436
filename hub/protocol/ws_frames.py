"""Canonical lines as WebSocket messages: one line, one message, one frame (RFC 6455, section 5).

A server's frames are unmasked and, without extensions, the same for everybody, so they are made once per
chunk and shared like any other form; that is why compression stays off. A line is a text message where it
is UTF-8, as text messages must be; relay modes pass content verbatim, so a line that is not becomes a
binary message. Borders in the wire cannot be searched as a LF can: `Framed` finds them from a table that
is made when the first subscriber needs it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import accumulate
from typing import Final, NamedTuple

TEXT: Final = 0x1
BINARY: Final = 0x2
_FIN: Final = 0x80
_SHORT_TEXT: Final = tuple(bytes((_FIN | TEXT, size)) for size in range(126))


class Cut(NamedTuple):
    """Where the kernel stopped in a piece of wire, in terms of lines."""

    border: int
    """Where in the wire the line ends that was cut, or the last one that was taken whole."""
    lines: int
    """Lines up to there."""
    size: int
    """Canonical bytes up to there."""
    left: int
    """Those of them that were not taken: at most the canonical size of one line."""


def header(size: int, opcode: int = TEXT) -> bytes:
    """The header of an unmasked frame that is a whole message of `size` bytes."""
    if size < 126:
        return bytes((_FIN | opcode, size))
    if size < 1 << 16:
        return bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big")
    return bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A whole message as one unmasked frame."""
    return header(len(payload), opcode) + payload


def frames(lines: bytes) -> bytes:
    """Whole canonical lines, each as one message."""
    contents = lines.split(b"\n")
    contents.pop()
    parts: list[bytes] = []
    if is_utf8(lines):
        for content in contents:
            size = len(content)
            parts += _SHORT_TEXT[size] if size < 126 else header(size), content
    else:
        for content in contents:
            parts += header(len(content), TEXT if is_utf8(content) else BINARY), content
    return b"".join(parts)


def is_utf8(content: bytes) -> bool:
    """Whether these bytes may stand in a text message."""
    if content.isascii():
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def cut_frames(wire: bytes, taken: int) -> Cut:
    """Where a cut after `taken` (> 0) bytes of whole frames stands, by walking from the first."""
    border = lines = size = length = 0
    while border < taken:
        length, start = wire[border + 1], border + 2
        if length >= 126:
            start += 2 if length == 126 else 8
            length = int.from_bytes(wire[border + 2 : start])
        border = start + length
        lines += 1
        size += length + 1
    return Cut(border, lines, size, min(border - taken, length + 1))


class Framed:
    """A chunk's lines as frames, with the borders of both when somebody needs them.

    A subscriber in the middle of a chunk gets a part of the same wire, not frames made anew: a crowd of
    browsers that fell behind must not cost lines x clients.
    """

    __slots__ = ("_lines", "_tables", "wire")

    def __init__(self, lines: bytes, wire: bytes | None = None) -> None:
        self.wire = frames(lines) if wire is None else wire
        self._lines = lines
        self._tables: tuple[array[int], array[int]] | None = None

    def part(self, start: int, stop: int) -> bytes:
        """The frames of the lines between two canonical borders."""
        return self.wire[self._wire_at(start) : self._wire_at(stop)]

    def cut(self, start: int, taken: int) -> Cut:
        """Where a cut stands after `taken` (> 0) bytes of the part that begins at the border `start`."""
        ends, wire_ends = self._borders()
        base = self._wire_at(start)
        index = bisect_left(wire_ends, base + taken)
        border = wire_ends[index] - base
        before = ends[index - 1] if index else 0
        lines = index + 1 - (bisect_left(ends, start) + 1 if start else 0)
        return Cut(border, lines, ends[index] - start, min(border - taken, ends[index] - before))

    def _wire_at(self, border: int) -> int:
        if border == 0:
            return 0
        ends, wire_ends = self._borders()
        return wire_ends[bisect_left(ends, border)]

    def _borders(self) -> tuple[array[int], array[int]]:
        """Where each line ends, in canonical bytes and in the wire."""
        if self._tables is None:
            sizes = [len(content) + 1 for content in self._lines.split(b"\n")[:-1]]
            ends = array("Q", accumulate(sizes))
            wire_sizes = (size + (1 if size <= 126 else 3 if size <= 1 << 16 else 9) for size in sizes)
            self._tables = ends, array("Q", accumulate(wire_sizes))
        return self._tables
