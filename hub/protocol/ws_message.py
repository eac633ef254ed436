"""A WebSocket message that comes in fragments (RFC 6455 section 5.4), with the check that text is UTF-8."""

from codecs import IncrementalDecoder, getincrementaldecoder
from typing import Final

from websockets.frames import Opcode

from hub.protocol.ws_frames import is_utf8

_UTF8: Final = getincrementaldecoder("utf-8")


class Message:
    """The fragments of one message so far."""

    __slots__ = ("_decoder", "opcode", "parts", "size")

    def __init__(self, opcode: Opcode) -> None:
        self.opcode = opcode
        self.parts: list[bytes] = []
        self.size = 0
        self._decoder: IncrementalDecoder | None = None

    def add(self, data: bytes, fin: bool) -> bool:
        """Append one frame's data; False where text cannot become UTF-8 any more."""
        self.parts.append(data)
        self.size += len(data)
        if self.opcode is not Opcode.TEXT:
            return True
        if fin and len(self.parts) == 1:
            return is_utf8(data)
        if self._decoder is None:
            self._decoder = _UTF8()
        try:
            self._decoder.decode(data, fin)
        except UnicodeDecodeError:
            return False
        return True
