"""Forms: canonical lines as bytes on one kind of wire.

Inside the hub a line is its content and one LF, the *canonical* form, and everything is counted in
canonical bytes. On the wire a client gets LF until it sends CRLF or a telnet command; then CRLF, and
with 0xFF doubled where it speaks telnet (RFC 854: IAC IAC is the data byte 255). Each form of a piece
of text is made at most once, by whoever needs it first, and shared by all who need it.
"""

from enum import Enum


class Form(Enum):
    """How lines reach one client."""

    LF = "lf"
    CRLF = "crlf"
    TELNET = "telnet"


def encode(lines: bytes, form: Form) -> bytes:
    """Whole canonical lines as they go out to a client of this form."""
    if form is Form.LF:
        return lines
    if form is Form.TELNET and b"\xff" in lines:
        lines = lines.replace(b"\xff", b"\xff\xff")
    return lines.replace(b"\n", b"\r\n")


def canonical_size(wire: bytes, end: int, form: Form) -> int:
    """How many canonical bytes the first `end` bytes of `wire` stand for; `end` is a line border."""
    if form is Form.LF:
        return end
    size = end - wire.count(b"\n", 0, end)
    if form is Form.TELNET:
        size -= wire.count(b"\xff\xff", 0, end)
    return size


def canonical_left(rest: bytes, form: Form) -> int:
    """How many canonical bytes the rest of one line stands for, wherever it was cut.

    The carriage return before the LF and the second of two 0xFF do not count, so the shortest rest,
    the LF alone, is one byte in every form.
    """
    if form is Form.LF:
        return len(rest)
    if form is Form.TELNET:
        rest = rest.replace(b"\xff\xff", b"\xff")
    return len(rest) - rest.endswith(b"\r\n")


def border_after(wire: bytes, cut: int) -> int:
    """Where the line ends that byte `cut` stands in; `cut` itself when it is a border already (cut > 0)."""
    return wire.index(b"\n", cut - 1) + 1
