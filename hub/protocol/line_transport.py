"""The transport of plain TCP: bytes in; lines and events out. Sniffing, telnet and line decoding, in this
order.

The first bytes tell whether a line client speaks at all: TLS is looked for in the raw bytes, which have
0xFF and line feeds anywhere, other protocols in the first line. Nothing here raises, and the result never
depends on how the input was cut.
"""

from typing import Final

from hub.protocol.line_decoder import LineDecoder
from hub.protocol.sniff import foreign_protocol, is_tls_hello
from hub.protocol.telnet import TelnetFilter

_IAC: Final = b"\xff"
_TLS_BYTES: Final = 3


class LineTransport:
    """The layers of one line client. With `telnet` the telnet commands are taken out of the lines."""

    __slots__ = ("_first", "_strips", "_undecided", "decoder", "foreign", "has_events", "said_text", "telnet")

    def __init__(self, max_line_bytes: int, *, telnet: bool) -> None:
        self.decoder = LineDecoder(max_line_bytes)
        self.telnet: TelnetFilter | None = None
        """Made with the first telnet command."""
        self._undecided = True
        """No whole line of ours has come yet, so another protocol may still begin, or has begun."""
        self.foreign: str | None = None
        """The other protocol that the client turned out to speak."""
        self.has_events = False
        """Something besides lines is to be looked at; from the first telnet command or CRLF on, always."""
        self.said_text = False
        """The last feed had text in it, and not telnet commands alone."""
        self._strips = telnet
        self._first = b""

    @property
    def unfinished_bytes(self) -> int:
        """Input that waits here for the end of its line."""
        return self.decoder.unfinished_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes. After an over-long line, or a foreign protocol, there are none."""
        if self._undecided and self._is_foreign_from_the_start(data):
            return []
        if self._strips and (self.telnet is not None or _IAC in data):
            if self.telnet is None:
                self.telnet, self.has_events = TelnetFilter(), True
            data = self.telnet.feed(data)
        self.said_text = bool(data)
        lines = self.decoder.feed(data)
        if self.decoder.crlf_seen or self.decoder.too_long:
            self.has_events = True
        return self._decided(lines) if self._undecided and lines else lines

    def finish(self) -> list[bytes]:
        """At the end of the stream: the unfinished last line, if there is one."""
        last = self.decoder.finish()
        if last is None or self.foreign is not None:
            return []
        return self._decided([last]) if self._undecided else [last]

    def _is_foreign_from_the_start(self, data: bytes) -> bool:
        if self.foreign is None and len(self._first) < _TLS_BYTES:
            self._first += data[: _TLS_BYTES - len(self._first)]
            if is_tls_hello(self._first):
                self.foreign, self.has_events = "tls", True
        return self.foreign is not None

    def _decided(self, lines: list[bytes]) -> list[bytes]:
        """The first line has come: is it another protocol's?"""
        self.foreign = foreign_protocol(lines[0])
        if self.foreign is not None:
            self.has_events = True
            return []
        self._undecided = False
        return lines
