"""The passive server side of the telnet protocol: bytes in, the same bytes without the telnet layer out.

The filter never speaks first and refuses every option (RFC 854, RFC 855), so a client that knows no telnet
sees nothing of it. An option is answered once in each direction and a refusal never: that is what keeps two
sides from answering each other for ever, the loop that RFC 1143 is about. All it remembers between two feeds
is where in a sequence it stands; of a sub-negotiation it keeps only the length.

TIMING-MARK (RFC 860) is the exception: after Ctrl-C Linux telnet sends IAC IP IAC DO TIMING-MARK and throws
away all output until the answer, so every such question is answered.
"""

from typing import Final

_IAC: Final = b"\xff"
_SE: Final = 0xF0
_ARE_YOU_THERE: Final = 0xF6
_SB: Final = 0xFA
_WILL: Final = 0xFB
_WONT: Final = 0xFC
_DO: Final = 0xFD
_DONT: Final = 0xFE
_ESCAPED: Final = 0xFF

_TIMING_MARK: Final = 6
_MAX_SUBNEGOTIATION_BYTES: Final = 256

# Where the filter stands. While it waits for an option, the state is the verb itself: WILL, WONT, DO or DONT.
_TEXT: Final = 0
_COMMAND: Final = 1
_SUBNEGOTIATION: Final = 2
_SUBNEGOTIATION_IAC: Final = 3
_VIOLATED: Final = 4


class TelnetFilter:
    """The telnet layer of one client. No input raises; the result never depends on how the input was cut."""

    __slots__ = ("_answered", "_replies", "_state", "_sub_bytes", "are_you_there", "commands", "seen")

    def __init__(self) -> None:
        self.seen = False
        """The client has sent an IAC, so it speaks telnet."""
        self.are_you_there = 0
        """How many ARE YOU THERE came since the last `take_are_you_there`."""
        self.commands = 0
        """IACs read since the last `take_work`."""
        self._state = _TEXT
        self._sub_bytes = 0
        # A bit set of 512: one bit for each option that was asked of us (DO) and offered to us (WILL).
        self._answered = 0
        self._replies: bytearray | None = None

    @property
    def violation(self) -> bool:
        """A sub-negotiation went over 256 bytes, doubled IACs counted as they came; the rest is dropped."""
        return self._state == _VIOLATED

    def feed(self, data: bytes) -> bytes:
        """The text in `data`; `data` itself when there is nothing to take out of it."""
        if self._state == _TEXT and _IAC not in data:
            return data
        text = bytearray()
        at = 0
        while at < len(data) and self._state != _VIOLATED:
            if self._state == _TEXT:
                at = self._take_text(data, at, text)
            elif self._state == _SUBNEGOTIATION:
                at = self._skip_subnegotiation(data, at)
            else:
                self._take_byte(data[at], text)
                at += 1
        return bytes(text)

    def take_replies(self) -> bytes:
        """What has to be sent back, in order; each reply is given out once. The replies are not to be
        escaped."""
        if self._replies is None:
            return b""
        replies = bytes(self._replies)
        self._replies = None
        return replies

    def take_work(self) -> int:
        """How many commands came since the last call: each costs work, so the caller charges them."""
        count, self.commands = self.commands, 0
        return count

    def take_are_you_there(self) -> int:
        """How many ARE YOU THERE wait for an answer. RFC 854 wants it visible to a person."""
        count = self.are_you_there
        self.are_you_there = 0
        return count

    def _take_text(self, data: bytes, at: int, text: bytearray) -> int:
        """Copy up to the next IAC; the index to go on from."""
        iac = data.find(_IAC, at)
        if iac < 0:
            text += data[at:]
            return len(data)
        text += data[at:iac]
        self.seen = True
        self.commands += 1
        self._state = _COMMAND
        return iac + 1

    def _skip_subnegotiation(self, data: bytes, at: int) -> int:
        """Count up to the next IAC; the index to go on from."""
        iac = data.find(_IAC, at)
        if iac < 0:
            self._count_subnegotiation(len(data) - at)
            return len(data)
        self.commands += 1
        # First the state, then the count: a violation has the last word.
        self._state = _SUBNEGOTIATION_IAC
        self._count_subnegotiation(iac - at)
        return iac + 1

    def _count_subnegotiation(self, count: int) -> None:
        self._sub_bytes += count
        if self._sub_bytes > _MAX_SUBNEGOTIATION_BYTES:
            self._state = _VIOLATED

    def _take_byte(self, byte: int, text: bytearray) -> None:
        """A byte where bytes have meanings: after an IAC, or after a verb."""
        if self._state == _COMMAND:
            self._take_command(byte, text)
        elif self._state == _SUBNEGOTIATION_IAC:
            self._take_subnegotiation_command(byte, text)
        else:
            verb, self._state = self._state, _TEXT
            self._answer(verb, byte)

    def _take_command(self, byte: int, text: bytearray) -> None:
        self._state = _TEXT
        if byte == _ESCAPED:
            text += _IAC
        elif byte == _SB:
            self._state = _SUBNEGOTIATION
            self._sub_bytes = 0
        elif _WILL <= byte <= _DONT:
            self._state = byte
        elif byte == _ARE_YOU_THERE:
            self.are_you_there += 1
        # The others (NOP, DM, BRK, IP, AO, EC, EL, GA, a stray SE, unknown ones) ask for nothing a hub has.

    def _take_subnegotiation_command(self, byte: int, text: bytearray) -> None:
        if byte == _ESCAPED:
            self._state = _SUBNEGOTIATION
            self._count_subnegotiation(2)
        elif byte == _SE:
            self._state = _TEXT
        else:
            # The peer forgot IAC SE, or to double an IAC. To end here and take the command, as BSD's telnetd
            # does, loses the least: waiting on for an IAC SE would swallow what the person types.
            self._take_command(byte, text)

    def _answer(self, verb: int, option: int) -> None:
        if verb == _DO:
            self._refuse(_WONT, option, asked=option, always=option == _TIMING_MARK)
        elif verb == _WILL:
            self._refuse(_DONT, option, asked=256 + option)
        # WONT and DONT only confirm what already is: answering them is how endless loops begin.

    def _refuse(self, refusal: int, option: int, asked: int, always: bool = False) -> None:
        bit = 1 << asked
        if self._answered & bit and not always:
            return
        self._answered |= bit
        if self._replies is None:
            self._replies = bytearray()
        self._replies += bytes((_IAC[0], refusal, option))
