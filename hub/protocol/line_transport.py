"""The transport of plain TCP: bytes in; lines and events out. Sniffing, telnet and line decoding, in this
order.

The first bytes tell whether a line client speaks at all: TLS is looked for in the raw bytes, which have
0xFF and line feeds anywhere, other protocols in the first line that is not blank. The blank lines before it
count as lines, because a client may wait for their echo. Nothing here raises, and the result never depends on
how the input was cut.
"""

from typing import Final

from hub.protocol.line_decoder import CrLineDecoder, LineDecoder
from hub.protocol.sniff import FIRST_BYTES, foreign_protocol, is_blank, is_proxy_header, is_tls_hello
from hub.protocol.telnet import TelnetFilter

_IAC: Final = b"\xff"


class LineTransport:
    """The layers of one line client. With `telnet` the telnet commands are taken out of the lines, with
    `cr_ends` a bare CR ends a line."""

    __slots__ = (
        "_filter", "_first", "_strips", "decoder", "foreign", "has_events", "is_undecided", "said_text",
        "telnet",
    )  # fmt: skip

    def __init__(self, max_line_bytes: int, *, telnet: bool, cr_ends: bool = False) -> None:
        self.decoder = (CrLineDecoder if cr_ends else LineDecoder)(max_line_bytes)
        self.telnet: TelnetFilter | None = None
        """The filter, from the first telnet sequence on."""
        self.is_undecided = True
        """No line with content has come yet, so another protocol may still begin, or has begun."""
        self.foreign: str | None = None
        """The other protocol that the client turned out to speak."""
        self.has_events = False
        """Something besides lines is to be looked at; from the first telnet sequence or CRLF on, always."""
        self.said_text = False
        """The last feed had text in it, and not telnet commands alone."""
        self._strips = telnet
        self._filter: TelnetFilter | None = None
        """Made with the first byte 255."""
        self._first = b""

    @property
    def unfinished_bytes(self) -> int:
        """Input that waits here for the end of its line."""
        return self.decoder.unfinished_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes. After an over-long line, or a foreign protocol, there are none."""
        if self.is_undecided and self._is_foreign_from_the_start(data):
            return []
        if self._strips and (self._filter is not None or _IAC in data):
            data = self._without_telnet(data)
        self.said_text = bool(data)
        lines = self.decoder.feed(data)
        if self.decoder.crlf_seen or self.decoder.too_long:
            self.has_events = True
        return self._decided(lines) if self.is_undecided and lines else lines

    def finish(self) -> list[bytes]:
        """At the end of the stream: the unfinished last line, if there is one."""
        if self._filter is not None:
            self.decoder.feed(self._filter.finish())
        last = self.decoder.finish()
        if last is None or self.foreign is not None:
            return []
        return self._decided([last]) if self.is_undecided else [last]

    def _without_telnet(self, data: bytes) -> bytes:
        if self._filter is None:
            self._filter = TelnetFilter()
        data = self._filter.feed(data)
        if self._filter.spoken and self.telnet is None:
            self.telnet, self.has_events = self._filter, True
        return data

    def _is_foreign_from_the_start(self, data: bytes) -> bool:
        if self.foreign is None and len(self._first) < FIRST_BYTES:
            self._first += data[: FIRST_BYTES - len(self._first)]
            if is_tls_hello(self._first):
                self.foreign, self.has_events = "tls", True
        return self.foreign is not None

    def _decided(self, lines: list[bytes]) -> list[bytes]:
        """Is the first line with content another protocol's? Then only the blank lines before it are left."""
        place = next((place for place, line in enumerate(lines) if not is_blank(line)), None)
        if place is None:
            return lines
        first = lines[place]
        # The header of version 2 begins with two empty lines and a NUL.
        is_proxy = first == b"\0" and is_proxy_header(self._first)
        self.foreign = "proxy" if is_proxy else foreign_protocol(first)
        if self.foreign is not None:
            self.has_events = True
            return lines[:place]
        self.is_undecided = False
        return lines
