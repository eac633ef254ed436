"""The passive server side of the telnet protocol: bytes in, the same bytes without the telnet layer out.

The filter never speaks first and refuses every option (RFC 854, RFC 855), so a client that knows no telnet
sees nothing of it. An option is answered once in each direction and a refusal never: that is what keeps two
sides from answering each other for ever, the loop that RFC 1143 is about. All it keeps between two feeds is
the beginning of a sequence that was cut, at most as long as a sub-negotiation may be.

TIMING-MARK (RFC 860) is the exception: after Ctrl-C Linux telnet sends IAC IP IAC DO TIMING-MARK and throws
away all output until the answer, so every such question is answered.

IAC before a byte that is no command passes as these two bytes, in a sub-negotiation as well: the text of a
client that knows no telnet may have the byte 255 (a letter of Windows-1251, for one). Commands are 240 to
254 (RFC 854), 239 (RFC 885, END OF RECORD) and 236 to 238 (RFC 1184, LINEMODE).
"""

import re
from typing import Final

_IAC: Final = b"\xff"
_ESCAPED: Final = b"\xff\xff"
_ARE_YOU_THERE: Final = b"\xff\xf6"
_WILL: Final = 0xFB
_WONT: Final = 0xFC
_DO: Final = 0xFD
_DONT: Final = 0xFE

# What asks for an option or offers one, and its refusal. WONT and DONT only confirm what already is:
# answering them is how endless loops begin.
_REFUSALS: Final = {_DO: _WONT, _WILL: _DONT}
_TIMING_MARK: Final = 6
MAX_SUBNEGOTIATION_BYTES: Final = 256

# A sequence, whole or cut off at the end of what has come; its kind is the name of its last group. In a
# sub-negotiation IAC is doubled. Where the peer forgot IAC SE, another command ends it and counts, as BSD's
# telnetd has it: waiting on for an IAC SE would swallow what the person types.
_SEQUENCE: Final = re.compile(
    rb"\xff(?:[\xfb-\xfe](?P<option>.)"
    rb"|\xfa(?P<sub>[^\xff]*+(?:\xff[\0-\xeb\xff][^\xff]*+)*+)"
    rb"(?:\xff\xf0|(?=\xff[\xec-\xfe])|(?P<sub_cut>\xff?\Z))"
    rb"|(?P<command>[\xec-\xf9\xff])"
    rb"|(?P<cut>[\xfb-\xfe]?\Z))",
    re.DOTALL,
)


class TelnetFilter:
    """The telnet layer of one client. No input raises; the result never depends on how the input was cut."""

    __slots__ = ("_answered", "_begun", "_replies", "are_you_there", "commands", "spoken", "violation")

    def __init__(self) -> None:
        self.are_you_there = 0
        """How many ARE YOU THERE the last feed brought. RFC 854 wants the answer visible to a person."""
        self.commands = 0
        """How many sequences the last feed brought: each costs work, so the caller charges them."""
        self.spoken = False
        """IAC and a command have come, so the client speaks telnet; a doubled IAC is one."""
        self.violation = False
        """A sub-negotiation went over 256 bytes, doubled IACs counted as they came; the rest is dropped."""
        self._begun = b""
        # A bit set of 512: one bit for each option that was asked of us (DO) and offered to us (WILL).
        self._answered = 0
        self._replies = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The text in `data`; `data` itself when there is nothing to take out of it."""
        self.commands = self.are_you_there = 0
        if self.violation:
            return b""
        if self._begun:
            data, self._begun = self._begun + data, b""
        if _IAC not in data:
            return data
        text = bytearray()
        at = 0
        for found in _SEQUENCE.finditer(data):
            text += data[at : found.start()]
            at, kind = found.end(), found.lastgroup
            if kind == "option":
                self._refuse(*found[0][1:])
            elif found[0] == _ESCAPED:
                text += _IAC
            elif kind == "command":  # All but these two ask for nothing that a hub has.
                self.are_you_there += found[0] == _ARE_YOU_THERE
            elif len(found["sub"] or b"") > MAX_SUBNEGOTIATION_BYTES:
                self.violation = self.spoken = True
                return bytes(text)
            elif kind != "sub":
                self._begun = found[0]
                break
            self.commands += 1
        self.spoken = self.spoken or self.commands > 0 or len(self._begun) > 1
        return bytes(text + data[at:])

    def finish(self) -> bytes:
        """At the end of the stream: the text in what was cut, which is one IAC; commands are none."""
        begun, self._begun = self._begun, b""
        return begun if begun == _IAC else b""

    def take_replies(self) -> bytes:
        """What has to be sent back, in order; each reply is given out once. The replies are not to be
        escaped."""
        replies, self._replies = bytes(self._replies), bytearray()
        return replies

    def _refuse(self, verb: int, option: int) -> None:
        bit = 1 << (option + 256 * (verb == _WILL))
        if verb in _REFUSALS and (not self._answered & bit or (verb, option) == (_DO, _TIMING_MARK)):
            self._answered |= bit
            self._replies += bytes((_IAC[0], _REFUSALS[verb], option))
