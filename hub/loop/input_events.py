"""What a client's transport has to tell besides lines: answers to send, an opening, an encoding, an offence.

Most clients never get here: plain lines of an open client are no event.
"""

from typing import Final

from hub.close_reasons import CloseReason
from hub.loop.admission import Admission
from hub.loop.core import Core, Step
from hub.protocol.line_transport import LineTransport
from hub.protocol.telnet import MAX_SUBNEGOTIATION_BYTES, TelnetFilter
from hub.protocol.ws_connection import WebSocket
from hub.session.client import Client
from hub.session.inbox import Transport
from hub.session.read_gate import ENDED

DENSE_READ_BYTES: Final = 4096
"""The size of a read of a client whose frames are small, or that sends telnet commands: 64 KiB of empty
pings would be 60 ms."""

DENSE_READ_MOST_BYTES: Final = 16 * 1024
"""The read-size cap while frames are large. If the peer switches to minimal 6-byte frames, one read holds
at most 2,730."""


class InputEvents(Step):
    """Handles the events of one feed. Work beyond the bytes is charged to the turn's budget."""

    def __init__(self, core: Core, admission: Admission) -> None:
        super().__init__(core)
        self._admission = admission
        budgets = core.budgets
        self._start_bytes = budgets.start_bytes + core.history * budgets.history_line_bytes

    def handle(self, client: Client, transport: Transport, lines: list[bytes], size: int, now: float) -> None:
        """What one feed of `size` bytes, which completed these lines, has to tell besides them."""
        if isinstance(transport, LineTransport):
            self._handle_line(client, transport, size)
        else:
            self._handle_websocket(client, transport, lines, size, now)

    def end_of_stream(self, client: Client) -> None:
        """The input ended in order, and its unfinished last line is taken next."""
        transport = client.inbox.transport
        if isinstance(transport, LineTransport):
            if transport.foreign is not None:
                self._end_foreign(client, transport.foreign)
            elif client.phase == "opening" and not transport.is_undecided:
                self._open(client)

    # Line clients.

    def _end_foreign(self, client: Client, protocol: str) -> None:
        """The client speaks another protocol; the closer answers it in that, behind its lines."""
        self._end_behind_lines(client, CloseReason.WRONG_PROTOCOL, f"protocol={protocol}")

    def _handle_line(self, client: Client, transport: LineTransport, size: int) -> None:
        # In one piece with a request there may be a body, whose bytes are no telnet.
        telnet = transport.telnet if transport.foreign is None else None
        if telnet is not None and self._settings.eol != "lf":
            client.outbox.speak("telnet")
        if client.phase == "opening" and (telnet is not None or not transport.is_undecided):
            self._open(client)
        if telnet is not None:
            self._answer_telnet(client, telnet, size)
        elif self._settings.eol == "auto" and transport.decoder.crlf_seen:
            client.outbox.speak("crlf")
        if transport.said_text:
            self._ready.received.append(client)
        if transport.foreign is not None:
            self._end_foreign(client, transport.foreign)
        elif transport.decoder.too_long:
            limit = f"limit={self._settings.max_line_bytes}"
            self._end_behind_lines(client, CloseReason.LINE_TOO_LONG, limit)

    def _answer_telnet(self, client: Client, telnet: TelnetFilter, size: int) -> None:
        """What the telnet layer owes."""
        self._charge(client, size, telnet.commands * self._budgets.telnet_bytes)
        replies = telnet.take_replies()
        if replies:
            self._ready.put(client, replies, raw=True)
        if telnet.are_you_there:
            # RFC 854 wants some visible evidence; a NOP is the quietest that there is.
            visible = self._settings.notices
            self._ready.put(client, b"* yes, hubbub is here\n" if visible else b"\xff\xf1", raw=not visible)
        if telnet.violation:
            detail = f"telnet=subnegotiation limit={MAX_SUBNEGOTIATION_BYTES}"
            self._end_behind_lines(client, CloseReason.PROTOCOL_ERROR, detail)

    # WebSocket clients.

    def _handle_websocket(
        self, client: Client, websocket: WebSocket, lines: list[bytes], size: int, now: float
    ) -> None:
        client.inbox.pinged = False
        if client.phase == "open":
            self._timers.ping.touch(client.id, now)
        replies = websocket.take_replies()
        if replies:
            self._ready.put(client, replies, raw=True)
        if websocket.opened and client.phase == "opening":
            self._timers.ping.touch(client.id, now)
            self._open(client)
        if lines or websocket.said_data:  # Pings are no activity.
            self._ready.received.append(client)
        if websocket.end is not None:
            self._end_behind_lines(client, *websocket.end)
        self._charge(client, size, websocket.frames * self._budgets.frame_bytes)

    # Both.

    def _open(self, client: Client) -> None:
        self._turn_budget.left -= self._start_bytes
        self._admission.open(client)

    def _charge(self, client: Client, size: int, cost: int) -> None:
        """Charge work beyond the bytes. Read more the next time, or little where this was more work than
        bytes."""
        self._turn_budget.left -= max(0, cost - size)
        more = min(2 * client.inbox.read_bytes, DENSE_READ_MOST_BYTES)
        client.inbox.read_bytes = more if cost < size else DENSE_READ_BYTES

    def _end_behind_lines(self, client: Client, reason: CloseReason, detail: str) -> None:
        """Lines before the offence are still taken; then the client ends."""
        if client.close.pending is None and client.close.reason is None:
            client.ending.pending = (reason, detail)
            self._connections.pause(client, ENDED)
