"""Forms: canonical lines as bytes on one kind of wire.

Inside the hub a line is its content and one LF, the *canonical* form, and everything is counted in
canonical bytes. On the wire a client gets LF until it sends CRLF or a telnet command; then CRLF, and
with 0xFF doubled where it speaks telnet (RFC 854: IAC IAC is the data byte 255). A browser gets frames
(hub/protocol/ws_frames.py). Each form of a piece of text is made at most once, by whoever needs it first, and
shared by all who need it.
"""

from enum import Enum

from hub.protocol.ws_frames import Cut, cut_frames, frames


class Form(Enum):
    """How lines reach one client."""

    LF = "lf"
    CRLF = "crlf"
    TELNET = "telnet"
    FRAMES = "frames"
    """Each line is one WebSocket message."""


def encode(lines: bytes, form: Form) -> bytes:
    """Whole canonical lines as they go out to a client of this form."""
    if form is Form.LF:
        return lines
    if form is Form.FRAMES:
        return frames(lines)
    if form is Form.TELNET and b"\xff" in lines:
        lines = lines.replace(b"\xff", b"\xff\xff")
    return lines.replace(b"\n", b"\r\n")


def cut(wire: bytes, taken: int, form: Form) -> Cut:
    """Where the kernel stopped, `taken` (> 0) bytes into whole lines of this form."""
    if form is Form.FRAMES:
        return cut_frames(wire, taken)
    border = wire.index(b"\n", taken - 1) + 1
    lines = wire.count(b"\n", 0, border)
    size = border
    if form is not Form.LF:
        size -= lines
    if form is Form.TELNET:
        size -= wire.count(b"\xff\xff", 0, border)
    return Cut(border, lines, size, canonical_left(wire[taken:border], form, size))


def canonical_left(rest: bytes, form: Form, most: int) -> int:
    """How many canonical bytes the rest of one line stands for, wherever it was cut; at most `most`.

    The carriage return before the LF, the second of two 0xFF and the header of a frame do not count, so
    the shortest rest is one byte in every form.
    """
    if form is Form.TELNET:
        rest = rest.replace(b"\xff\xff", b"\xff")
    left = len(rest)
    if form in (Form.CRLF, Form.TELNET):
        left -= rest.endswith(b"\r\n")
    return min(left, most)
