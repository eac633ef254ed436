"""A WebSocket without its socket: bytes in; lines, replies and one end out (RFC 6455).

Framing is the Sans-I/O layer of `websockets`. What that leaves to its caller is here: joining fragments and
limiting the message, not only the frame; checking that text is UTF-8; and the end. The library echoes a
Close, and fails a connection with one, the moment it reads the cause. Here the Close frame goes out only
through `close_frame`, because the lines that a client is still owed go before it.

Only the pongs that one feed made the library answer up to the frame that ended the connection count. That
is what makes the result the same however the bytes were cut.

No extension is accepted: compression costs 56 KiB a connection, and without it one frame serves every
subscriber.
"""

import struct
from http import HTTPStatus
from itertools import takewhile
from typing import Final

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol

from hub.close_reasons import CloseReason, told, told_to_people
from hub.protocol.sniff import http_answer
from hub.protocol.ws_frames import frame
from hub.protocol.ws_handshake import Handshake, Refused, Terms, let_go
from hub.protocol.ws_message import Message

MAX_FRAGMENTS: Final = 1024
"""Frames that one message may come in."""

_MAX_CONTROL_BYTES: Final = 125  # RFC 6455 section 5.5.
_MAX_CLOSE_TEXT_BYTES: Final = _MAX_CONTROL_BYTES - 2

# RFC 6455 section 7.4.1, and 1013 (try again later) of the registry at IANA.
_CODES: Final = {
    CloseReason.PEER_CLOSED: 1000,
    CloseReason.QUIT: 1000,
    CloseReason.IDLE: 1000,
    CloseReason.SERVER_SHUTDOWN: 1001,
    CloseReason.PROTOCOL_ERROR: 1002,
    CloseReason.WRONG_PROTOCOL: 1002,
    CloseReason.INVALID_UTF8: 1007,
    CloseReason.ORIGIN_REFUSED: 1008,
    CloseReason.HANDSHAKE_TIMEOUT: 1008,
    CloseReason.LINE_TOO_LONG: 1009,
    CloseReason.SLOW_CONSUMER: 1013,
    CloseReason.SERVER_FULL: 1013,
    CloseReason.PER_IP_LIMIT: 1013,
}


class WebSocket:
    """The WebSocket layer of one client. No input raises; the result never depends on how it was cut.

    `max_message_bytes` limits a message over all its fragments, 0 is no limit; up to twice that is held while
    one comes in. With `whole` (echo mode) every message comes out as a frame that is ready to be sent back;
    without, text comes out as lines of at most `max_line_bytes` each, and binary is an offence.
    """

    has_events = True
    """Its frames are always looked at besides the lines."""

    __slots__ = (
        "_code", "_handshake", "_limit_bytes", "_line_bytes", "_message", "_protocol", "_whole", "end",
        "frames", "opened", "replies", "said_data", "tag",
    )  # fmt: skip

    def __init__(self, terms: Terms, *, max_message_bytes: int, max_line_bytes: int = 0, whole: bool) -> None:
        self.opened = False
        """The handshake is done. The flag stays so to the end."""
        self.tag = ""
        """What the client called itself in the target, `/?tag=...`: 1 to 32 of [0-9A-Za-z_-], or nothing."""
        self.frames = 0
        """How many frames the last feed had, control frames included: each costs work, so the caller charges
        them."""
        self.said_data = False
        """The last feed had data frames with a payload: unlike control frames they are activity."""
        self.replies = b""
        """What has to go out, in order: the answer to the handshake, then pongs. See `take_replies`."""
        self.end: tuple[CloseReason, str] | None = None
        """Why the connection must end, with a detail; the lines that came before still count. The detail of a
        peer's Close frame is such as `code=1001`, and code=1005 when it gave none."""
        self._limit_bytes = max_message_bytes
        self._line_bytes = max_line_bytes
        self._whole = whole
        # A limit below a control frame's size is kept by `_join` alone.
        max_frame_bytes = max(max_message_bytes, _MAX_CONTROL_BYTES) if max_message_bytes else None
        self._handshake: Handshake | None = Handshake(terms, max_frame_bytes)
        self._protocol: Protocol | None = None
        """None before the handshake is done, and again once nothing more is to be read."""
        self._message: Message | None = None
        self._code = 0
        """The code that `end` has; 0 is that of its reason."""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines, or with `whole` the frames, of the messages that `data` completes. At the end: none."""
        self.frames, self.said_data = 0, False
        if self._handshake is not None:
            data = self._shake_hands(self._handshake, data)
        if self._protocol is None or not data:
            return []
        return self._read_frames(self._protocol, data)

    def take_replies(self) -> bytes:
        """What has to be sent back, in order; each reply is given out once."""
        replies, self.replies = self.replies, b""
        return replies

    def finish(self) -> list[bytes]:
        """At the end of the stream: an unfinished message is no line."""
        return []

    @property
    def unfinished_bytes(self) -> int:
        """Input that waits here for the end of its message."""
        return 0 if self._message is None else self._message.size

    def ping(self, payload: bytes) -> bytes:
        """A Ping frame (at most 125 bytes of payload); nothing where none may be sent."""
        return b"" if self._protocol is None else frame(payload, Opcode.PING)

    def close_frame(self, reason: CloseReason, detail: str) -> bytes:
        """The Close frame: the last thing that goes out, to be asked for once.

        An offence has the code that suits it, a peer's Close is echoed (RFC 6455 section 5.5.1). A client
        still at its handshake gets an answer to that, if it is there to get one.
        """
        is_unanswered, self._handshake = self._handshake is not None, None
        self.stop()
        if is_unanswered and not reason.by_peer:
            timed_out = reason is CloseReason.HANDSHAKE_TIMEOUT
            status = HTTPStatus.REQUEST_TIMEOUT if timed_out else HTTPStatus.SERVICE_UNAVAILABLE
            return http_answer(status, told_to_people(reason, detail))
        if not self.opened:
            return b""
        code = _CODES.get(reason, CloseCode.INTERNAL_ERROR)
        if self.end is not None and self.end[0] is reason:
            code = self._code or code
        if code == CloseCode.NO_STATUS_RCVD:
            return frame(b"", Opcode.CLOSE)
        return frame(struct.pack("!H", code) + _close_text(reason, detail), Opcode.CLOSE)

    def _shake_hands(self, handshake: Handshake, data: bytes) -> bytes:
        """Feed the handshake; what came behind it is for the frames."""
        verdict = handshake.feed(data)
        if verdict is None:
            return b""
        self._handshake = None
        self.replies += verdict.response
        if isinstance(verdict, Refused):
            self.end = (verdict.reason, verdict.detail)
            return b""
        self.opened = True
        self.tag = verdict.tag
        self._protocol = verdict.protocol
        return verdict.rest

    def _read_frames(self, protocol: Protocol, data: bytes) -> list[bytes]:
        protocol.receive_data(data)
        lines: list[bytes] = []
        pings = 0
        for event in protocol.events_received():
            assert isinstance(event, Frame)  # The handshake is not this protocol's.
            self.frames += 1
            if event.opcode is Opcode.CLOSE:
                self._close_by_peer(int.from_bytes(event.data[:2]) or CloseCode.NO_STATUS_RCVD)
            elif event.opcode is Opcode.PING:
                pings += 1
            elif event.opcode is not Opcode.PONG:
                self._join(event, lines)
            if self._protocol is None:
                break
        # The library answers each Ping as it reads it, and writes nothing else before the end.
        answers = protocol.data_to_send()
        if pings:
            self.replies += b"".join(answers[:pings])
        if self._protocol is not None and protocol.parser_exc is not None:
            self._violated(protocol, protocol.parser_exc)
        return lines

    def _join(self, event: Frame, lines: list[bytes]) -> None:
        """Put a data frame to its message, and the message to `lines` when it is complete."""
        message = self._message
        if message is None:
            if event.opcode is Opcode.BINARY and not self._whole:
                self._stop_for(CloseReason.PROTOCOL_ERROR, "binary=not_here", CloseCode.UNSUPPORTED_DATA)
                return
            message = self._message = Message(event.opcode)
        data = bytes(event.data)
        self.said_data |= bool(data)
        if self._limit_bytes and message.size + len(data) > self._limit_bytes:
            self._stop_for(CloseReason.LINE_TOO_LONG, f"limit={self._limit_bytes}")
        elif len(message.parts) == MAX_FRAGMENTS:
            self._stop_for(CloseReason.PROTOCOL_ERROR, f"fragments={MAX_FRAGMENTS} limit={MAX_FRAGMENTS}")
        elif not message.add(data, event.fin):
            self._stop_for(CloseReason.INVALID_UTF8, "text=not_utf8")
        elif event.fin:
            self._message = None
            self._finish(message, lines)

    def _finish(self, message: Message, lines: list[bytes]) -> None:
        payload = b"".join(message.parts)
        if self._whole:
            lines.append(frame(payload, message.opcode))
            return
        # For bytes, splitlines knows CRLF, CR and LF only. An empty message is an empty line.
        found, limit = payload.splitlines() or [b""], self._line_bytes or len(payload)
        good = found if len(payload) <= limit else list(takewhile(lambda line: len(line) <= limit, found))
        if len(good) < len(found):
            self._stop_for(CloseReason.LINE_TOO_LONG, f"limit={limit}")
        lines += good

    def _violated(self, protocol: Protocol, fault: Exception) -> None:
        """The library has found a frame that breaks the protocol. Its texts quote nothing of the client."""
        if protocol.close_rcvd is not None:
            # A Close between two fragments. The library objects; RFC 6455 section 5.4 allows it.
            self._close_by_peer(protocol.close_rcvd.code)
        elif isinstance(fault, PayloadTooBig):
            self._stop_for(CloseReason.LINE_TOO_LONG, f"limit={self._limit_bytes}")
        elif isinstance(fault, UnicodeDecodeError):
            self._stop_for(CloseReason.INVALID_UTF8, "close=not_utf8")
        elif isinstance(fault, ProtocolError):
            self._stop_for(CloseReason.PROTOCOL_ERROR, f"frame={str(fault).replace(' ', '_')}")
        else:
            self._stop_for(CloseReason.INTERNAL_ERROR, f"frame={type(fault).__name__}")

    def _close_by_peer(self, code: int) -> None:
        self._stop_for(CloseReason.PEER_CLOSED, f"code={code:d}", code)

    def _stop_for(self, reason: CloseReason, detail: str, code: int = 0) -> None:
        """Record why this must end; 0 is the code of the reason."""
        self.end, self._code = (reason, detail), code
        self.stop()

    def stop(self) -> None:
        """Nothing more is read."""
        if self._protocol is not None:
            let_go(self._protocol)
        self._protocol = None
        self._message = None


def _close_text(reason: CloseReason, detail: str) -> bytes:
    """Why, with the sentence if all of it fits; else cut between two characters."""
    whole = told_to_people(reason, detail).encode(errors="replace")
    if len(whole) <= _MAX_CLOSE_TEXT_BYTES:
        return whole
    cut = told(reason, detail).encode(errors="replace")[:_MAX_CLOSE_TEXT_BYTES]
    return cut.decode(errors="ignore").encode()
