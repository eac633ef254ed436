"""The transport of plain TCP: bytes in; lines and events out. Sniffing, telnet and line decoding, in this
order.

The first bytes tell whether a line client speaks at all: TLS and the like are looked for in the raw bytes,
which have 0xFF and line feeds anywhere or no line end, other protocols in the first line that is not blank.
The blank lines before it count as lines, because a client may wait for their echo. Nothing here raises, and
the result never depends on how the input was cut.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from hub.protocol.line_decoder import CrLineDecoder, LineDecoder
from hub.protocol.sniff import FIRST_BYTES, foreign_protocol, is_blank, protocol_by_bytes
from hub.protocol.telnet import TelnetFilter

_IAC: Final = 0xFF


@mypyc_attr(acyclic=True)
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
        if self.is_undecided:
            if self.foreign is not None:
                return []
            if len(self._first) < FIRST_BYTES:
                data = self._without_foreign_start(data)
        if self._strips and (self._filter is not None or _IAC in data):
            data = self._without_telnet(data)
        self.said_text = bool(data)
        lines = self.decoder.feed(data)
        if self.decoder.crlf_seen or self.decoder.too_long:
            self.has_events = True
        return self._decided(lines) if self.is_undecided and lines else lines

    def whole_lines(self, data: bytes) -> int:
        """How many plain lines `data` is, of a client that sends nothing else; see LineDecoder."""
        if self.is_undecided or self.has_events or self._filter is not None:
            return 0
        return 0 if self._strips and _IAC in data else self.decoder.whole_lines(data)

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

    def _without_foreign_start(self, data: bytes) -> bytes:
        """`data`, or only the empty lines in it that stand before what another protocol begins with."""
        before = len(self._first)
        self._first += data[: FIRST_BYTES - before]
        found = protocol_by_bytes(self._first)
        if found is None:
            return data
        self.foreign, blank_bytes = found
        self.has_events = True
        return data[: max(0, blank_bytes - before)]

    def _decided(self, lines: list[bytes]) -> list[bytes]:
        """Is the first line with content another protocol's? Then only the blank lines before it are left."""
        for place, line in enumerate(lines):
            if is_blank(line):
                continue
            self.foreign = foreign_protocol(line)
            if self.foreign is not None:
                self.has_events = True
                return lines[:place]
            self.is_undecided = False
            break
        return lines
