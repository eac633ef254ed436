"""Forms: canonical lines as bytes on one kind of wire.

Inside the hub a line is its content and one LF, the *canonical* encoding, and everything is counted in
canonical bytes. On the wire a client gets LF until it sends CRLF or a telnet command; then CRLF, and
with 0xFF doubled where it speaks telnet (RFC 854: IAC IAC is the data byte 255). A browser gets frames
(hub/protocol/ws_frames.py). Each encoding of a piece of text is made at most once, by whoever needs it
first, and shared by all who need it.
"""

from typing import Literal

from hub.protocol.ws_frames import Cut, cut_frames, frames

Encoding = Literal["lf", "crlf", "telnet", "frames"]
"""How lines reach one client; of "frames" each line is one WebSocket message. No Enum: to get at a member of
one takes Python 3.11 70 ns, and an echo asks for five."""


def encode(lines: bytes, encoding: Encoding) -> bytes:
    """Whole canonical lines as they go out to a client of this encoding."""
    if encoding == "lf":
        return lines
    if encoding == "frames":
        return frames(lines)
    if encoding == "telnet" and b"\xff" in lines:
        lines = lines.replace(b"\xff", b"\xff\xff")
    return lines.replace(b"\n", b"\r\n")


def cut(wire: bytes, taken: int, encoding: Encoding) -> Cut:
    """Where the kernel stopped, `taken` (> 0) bytes into whole lines of this encoding."""
    if encoding == "frames":
        return cut_frames(wire, taken)
    border = wire.index(b"\n", taken - 1) + 1
    lines = wire.count(b"\n", 0, border)
    size = border
    if encoding != "lf":
        size -= lines
    if encoding == "telnet":
        size -= wire.count(b"\xff\xff", 0, border)
    return Cut(border, lines, size, canonical_left(wire[taken:border], encoding, size))


def canonical_left(rest: bytes, encoding: Encoding, most: int) -> int:
    """How many canonical bytes the rest of one line stands for, wherever it was cut; at most `most`.

    The carriage return before the LF, the second of two 0xFF and the header of a frame do not count, so
    the shortest rest is one byte in every encoding.
    """
    if encoding == "telnet":
        rest = rest.replace(b"\xff\xff", b"\xff")
    left = len(rest)
    if encoding in ("crlf", "telnet"):
        left -= rest.endswith(b"\r\n")
    return min(left, most)
