"""A browser's side of a WebSocket on a plain blocking socket; the protocol is the `websockets` library's."""

import socket
from collections import deque
from typing import Self

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Origin
from websockets.uri import parse_uri

from tests.support import PATIENCE_S


class Refused(Exception):
    """The handshake was answered with something else than 101; `response` is what came."""

    def __init__(self, response: Response | None) -> None:
        super().__init__(response)
        self.response = response


class WsPeer:
    """One WebSocket client. Fragments are joined; pings are answered while it reads."""

    def __init__(
        self,
        port: int,
        target: str = "/",
        *,
        origin: str | None = None,
        host: str = "127.0.0.1",
        receive_buffer: int = 0,
    ) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(("127.0.0.1", port))
        self.protocol = ClientProtocol(
            parse_uri(f"ws://{host}:{port}{target}"),
            origin=None if origin is None else Origin(origin),
            max_size=None,
        )
        self._messages: deque[str | bytes] = deque()
        self._parts: list[Frame] = []
        self.pings = 0
        try:
            self._shake_hands()
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def say(self, message: str | bytes) -> None:
        """One message: text, or binary."""
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self._send()

    def message(self) -> str | bytes:
        """The next message, waited for."""
        while not self._messages:
            assert self._receive(), f"the hub closed: {self.protocol.close_code} {self.protocol.close_reason}"
        return self._messages.popleft()

    def read_until(self, end: str) -> list[str | bytes]:
        """All messages up to and with the first that holds `end`."""
        got = [self.message()]
        while end not in str(got[-1]):
            got.append(self.message())
        return got

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Our Close frame; `rest` reads on."""
        self.protocol.send_close(code, reason)
        self._send()

    def rest(self) -> list[str | bytes]:
        """All messages up to the hub's end of stream."""
        while self._receive():
            pass
        got, self._messages = list(self._messages), deque()
        return got

    @property
    def close_code(self) -> int | None:
        """The code of the hub's Close frame, or what RFC 6455 says where there was none."""
        return self.protocol.close_code

    @property
    def close_reason(self) -> str | None:
        """The text in the hub's Close frame."""
        return self.protocol.close_reason

    def _shake_hands(self) -> None:
        self.protocol.send_request(self.protocol.connect())
        self._send()
        while self.protocol.state is State.CONNECTING and self._receive():
            pass
        fault = self.protocol.handshake_exc
        if isinstance(fault, InvalidHandshake):
            raise Refused(getattr(fault, "response", None))
        if fault is not None:
            raise fault

    def _send(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.sock.sendall(data)

    def _receive(self) -> bool:
        """Read once; False at the hub's end of stream."""
        data = self.sock.recv(1 << 16)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        if data:
            self._send()
        return bool(data)

    def _take(self, frame: Frame) -> None:
        self.pings += frame.opcode is Opcode.PING
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._parts.append(frame)
        if frame.fin:
            whole = b"".join(bytes(part.data) for part in self._parts)
            self._messages.append(whole.decode() if self._parts[0].opcode is Opcode.TEXT else whole)
            self._parts = []
