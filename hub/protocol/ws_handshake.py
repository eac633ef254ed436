"""The opening handshake of a WebSocket (RFC 6455 section 4): bytes in, an open protocol or one refusal out.

`websockets` judges the request as such. Before and around it stands what its Sans-I/O layer leaves to its
caller: how many bytes a request may have, what bytes that are no HTTP get (from the library: nothing at
all), under which name we may be asked for (Host) and whose page may ask (Origin). A browser lets any page in
the world open a WebSocket to localhost; the Origin check is all that stands between such a page and the chat.

The first bytes that settle the matter settle it, so the result never depends on how the input was cut.
"""

import logging
import re
from http import HTTPStatus
from typing import Final, NamedTuple

from websockets.exceptions import HeaderLineTooLong, InvalidMessage, RequestLineTooLong, TooManyHeaders
from websockets.http11 import Request
from websockets.protocol import Protocol, Side
from websockets.server import ServerProtocol

from hub.close_reasons import CloseReason
from hub.config.allowed_hosts import Hosts
from hub.protocol.sniff import (
    FIRST_BYTES,
    LEADING_BYTES,
    foreign_protocol,
    http_answer,
    protocol_by_bytes,
    reply_to,
)

MAX_REQUEST_BYTES: Final = 16_384

# RFC 9112 section 2.1: the head ends at an empty line. A bare LF ends a line here only so that a request
# typed by hand gets its refusal instead of a time-out; the library takes nothing but CRLF.
_HEAD_END = re.compile(rb"\n\r?\n")
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*websocket", re.IGNORECASE)
_TAG = re.compile(r"(?:^|&)tag=([0-9A-Za-z_-]{1,32})(?:&|\Z)")

_MAX_SHOWN_CHARS: Final = 100

# A logger that is in no tree and logs nothing: the library would write a line for every connection.
_QUIET: Final = logging.Logger("hub.protocol.ws_handshake", logging.CRITICAL + 1)


class Opened(NamedTuple):
    """The handshake is done: `response` goes out, `rest` is what came behind the request."""

    protocol: Protocol
    response: bytes
    tag: str
    rest: bytes


class Refused(NamedTuple):
    """There is no WebSocket: `response` goes out, then the end for this reason."""

    response: bytes
    reason: CloseReason
    detail: str


class Terms(NamedTuple):
    """Under which names and for whose pages a WebSocket opens: one for all connections of a port.

    A page is let in when `page_hosts` knows its Origin as served on `page_port`; with 0 there is no page, and
    only the names that the user added count. A peer that sends no Origin is no browser and is let in.
    `hint` is one line that says where to go instead.
    """

    hosts: Hosts
    port: int
    page_hosts: Hosts
    page_port: int
    hint: str


class Handshake:
    """What one connection has sent of its request. No input raises; after a verdict it is done with."""

    __slots__ = ("_first_line_seen", "_head", "_max_frame_bytes", "_searched", "_terms")

    def __init__(self, terms: Terms, max_frame_bytes: int | None) -> None:
        self._terms = terms
        self._max_frame_bytes = max_frame_bytes
        self._head = bytearray()
        self._first_line_seen = False
        self._searched = 0

    def feed(self, data: bytes) -> Opened | Refused | None:
        """The verdict, or None while more has to come. The handshake keeps at most `MAX_REQUEST_BYTES` and
        `data`."""
        self._head += data
        if not self._first_line_seen and (refused := self._look_at_first_line()):
            return refused
        end = _HEAD_END.search(self._head, self._searched, MAX_REQUEST_BYTES)
        if end and self._first_line_seen:  # A PROXY header begins with two empty lines.
            return self._judge(bytes(self._head[: end.end()]), bytes(self._head[end.end() :]))
        if len(self._head) >= MAX_REQUEST_BYTES:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            text = f"A request has at most {MAX_REQUEST_BYTES} bytes here."
            detail = f"handshake=too_large limit={MAX_REQUEST_BYTES}"
            return _refused(status, text, CloseReason.PROTOCOL_ERROR, detail)
        self._searched = max(0, len(self._head) - 2)
        return None

    def _look_at_first_line(self) -> Refused | None:
        """A refusal as soon as this cannot become an HTTP request any more."""
        first = bytes(self._head[:FIRST_BYTES])
        protocol, _ = protocol_by_bytes(first) or (None, 0)
        if protocol == "tls":
            return Refused(reply_to("tls", ""), CloseReason.WRONG_PROTOCOL, "protocol=tls")
        if protocol is None and len(first) < FIRST_BYTES and first[:1] in LEADING_BYTES:
            return None
        if not first[:1].isupper():
            return self._wrong_protocol(protocol or "unknown")
        end = self._head.find(b"\n", 0, MAX_REQUEST_BYTES)
        if end < 0:
            return None
        self._first_line_seen = True
        protocol = foreign_protocol(bytes(self._head[:end]).removesuffix(b"\r"))
        return None if protocol == "http" else self._wrong_protocol(protocol or "unknown")

    def _judge(self, head: bytes, rest: bytes) -> Opened | Refused:
        """What becomes of a whole request."""
        if not _UPGRADE.search(head):
            return self._wrong_protocol("http")
        protocol = ServerProtocol(logger=_QUIET)
        try:
            return self._answer(protocol, head, rest)
        finally:
            let_go(protocol)

    def _answer(self, protocol: ServerProtocol, head: bytes, rest: bytes) -> Opened | Refused:
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events or not isinstance(events[0], Request):
            return _malformed(protocol)
        request = events[0]
        if refused := self._wrong_host(request) or self._wrong_origin(request):
            return refused
        response = protocol.accept(request)
        # The time is the loop's to read, and an answer that shows none is the same at any time.
        del response.headers["Date"]
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            # RFC 6455 section 4.4: who asked for another version learns which one there is.
            response.headers["Sec-WebSocket-Version"] = "13"
            return Refused(response.serialize(), CloseReason.PROTOCOL_ERROR, _fault(protocol))
        protocol.send_response(response)
        answer = b"".join(protocol.data_to_send())
        tag = _TAG.search(request.path.partition("?")[2])
        # Frames get a protocol of their own: the one that parsed a request keeps it, 3 KiB, to the end.
        frames = Protocol(Side.SERVER, max_size=(None, self._max_frame_bytes), logger=_QUIET)
        return Opened(frames, answer, tag[1] if tag else "", rest)

    def _wrong_host(self, request: Request) -> Refused | None:
        """A page that asked under a name that is not ours may be a page whose name was made to point here."""
        names = request.headers.get_all("Host")
        if len(names) != 1:
            text, detail = "A request names one Host (RFC 9112, 3.2).", f"hosts={len(names)}"
            return _refused(HTTPStatus.BAD_REQUEST, text, CloseReason.ORIGIN_REFUSED, detail)
        if self._terms.hosts.allow(names[0], self._terms.port):
            return None
        text = "This hub does not go by that name. --allowed-host adds one."
        detail = f"host={_shown(names[0])}"
        return _refused(HTTPStatus.MISDIRECTED_REQUEST, text, CloseReason.ORIGIN_REFUSED, detail)

    def _wrong_origin(self, request: Request) -> Refused | None:
        """Only a page of ours may come in with a browser; programs send no Origin (RFC 6455 section 10.2)."""
        origins = request.headers.get_all("Origin")
        # No Origin has port -1, so that without a page only the names count that go with any port.
        page_port = self._terms.page_port or -1
        if not origins or (len(origins) == 1 and self._terms.page_hosts.allow_origin(origins[0], page_port)):
            return None
        detail = f"origin={_shown(origins[0])}" if len(origins) == 1 else f"origins={len(origins)}"
        text = "Pages of this origin may not come in. --allowed-host adds a name."
        return _refused(HTTPStatus.FORBIDDEN, text, CloseReason.ORIGIN_REFUSED, detail)

    def _wrong_protocol(self, protocol: str) -> Refused:
        status, other, header = HTTPStatus.BAD_REQUEST, "lines", ""
        if protocol == "proxy":
            other = "a PROXY header"
        if protocol == "http":
            status, other, header = HTTPStatus.UPGRADE_REQUIRED, "plain HTTP", "Upgrade: websocket\r\n"
        text = f"This is the WebSocket port of a line hub: it takes ws:// connections, not {other}."
        response = http_answer(status, text, self._terms.hint, header=header)
        return Refused(response, CloseReason.WRONG_PROTOCOL, f"protocol={protocol}")


def let_go(protocol: Protocol) -> None:
    """Nothing more will be asked of it: its memory is free as soon as nobody holds it.

    The protocol refers to itself, by the generator that parses and by the traces of what went wrong. The
    collector would find it, but not for hours: while a connection is open its objects grow old
    (hub/cli/main.py).
    """
    protocol.parser.close()
    for first in (protocol.parser_exc, protocol.handshake_exc):
        fault: BaseException | None = first
        while fault is not None:
            fault.__traceback__ = None
            fault = fault.__cause__ or fault.__context__


def _refused(status: HTTPStatus, text: str, reason: CloseReason, detail: str) -> Refused:
    return Refused(http_answer(status, text), reason, detail)


def _malformed(protocol: ServerProtocol) -> Refused:
    """The library could not read the request; it may have no answer to that."""
    fault, status = protocol.handshake_exc, HTTPStatus.BAD_REQUEST
    if isinstance(fault, RequestLineTooLong):
        status = HTTPStatus.REQUEST_URI_TOO_LONG
    elif isinstance(fault, HeaderLineTooLong | TooManyHeaders):
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    text = "This is no WebSocket request that can be read here (RFC 6455, 4.1)."
    return _refused(status, text, CloseReason.PROTOCOL_ERROR, _fault(protocol))


def _fault(protocol: ServerProtocol) -> str:
    """What the library has against a request; the text may quote the client."""
    fault: BaseException | None = protocol.handshake_exc
    if isinstance(fault, InvalidMessage):  # The request could not be parsed; the cause says why.
        fault = fault.__cause__
    return f"handshake={_shown(str(fault))}"


def _shown(text: str) -> str:
    """Something a client sent as printable ASCII without blanks, cut."""
    escaped = text[:_MAX_SHOWN_CHARS].encode("unicode_escape").decode("ascii")
    return escaped.replace(" ", "_")[:_MAX_SHOWN_CHARS]
