"""What a client's transport has to tell besides lines: answers to send, an opening, an encoding, an offence.

Most clients never get here: plain lines of an open client are no event.
"""

from typing import Final

from hub.close_reasons import CloseReason
from hub.loop.core import Core, Step
from hub.loop.opener import Opener
from hub.protocol.encoding import Encoding
from hub.protocol.line_transport import LineTransport
from hub.protocol.sniff import reply_to
from hub.protocol.ws_connection import WebSocket
from hub.session.client import Client, Phase
from hub.session.inbox import Transport
from hub.session.read_gate import ENDED
from hub.session.turn_budget import TurnBudget

DENSE_READ_BYTES: Final = 4096
"""The size of a read of a client whose frames are small, or that sends telnet commands: 64 KiB of empty
pings would be 60 ms."""

DENSE_READ_MOST_BYTES: Final = 16 * 1024
"""The read-size cap while frames are large. If the peer switches to minimal 6-byte frames, one read holds
at most 2,730."""


class InputEvents(Step):
    """Handles the events of one feed. Work beyond the bytes is charged to the turn's budget."""

    def __init__(self, core: Core, budget: TurnBudget, opener: Opener) -> None:
        super().__init__(core)
        self._budget = budget
        self._opener = opener
        self._start_bytes = core.budgets.turn_bytes // core.budgets.starts

    def handle(self, client: Client, transport: Transport, lines: list[bytes], size: int, now: float) -> None:
        """What one feed of `size` bytes, which completed these lines, has to tell besides them."""
        if isinstance(transport, LineTransport):
            self._handle_line(client, transport, lines, size)
        else:
            self._handle_websocket(client, transport, lines, size, now)

    def end_of_stream(self, client: Client, lines: list[bytes]) -> None:
        """The input ended in order; `lines` is its unfinished last one."""
        transport = client.inbox.transport
        if isinstance(transport, LineTransport):
            if transport.foreign is not None:
                self._answer_foreign(client, transport.foreign)
            elif lines and client.phase is Phase.OPENING:
                self._open(client)

    # Line clients.

    def _handle_line(self, client: Client, transport: LineTransport, lines: list[bytes], size: int) -> None:
        if transport.foreign is not None:
            self._answer_foreign(client, transport.foreign)
            return
        has_spoken_telnet = transport.telnet is not None and transport.telnet.seen
        if has_spoken_telnet and self._settings.eol != "lf":
            client.outbox.speak(Encoding.TELNET)
        if client.phase is Phase.OPENING and (lines or has_spoken_telnet):
            self._open(client)
        if has_spoken_telnet:
            self._answer_telnet(client, transport, size)
        elif self._settings.eol == "auto" and client.outbox.encoding is Encoding.LF:
            client.outbox.speak(transport.encoding)
        if transport.said_text:
            self._ready.received.append(client)
        if transport.decoder.too_long:
            self._end_behind_lines(
                client, CloseReason.LINE_TOO_LONG, f"limit={self._settings.max_line_bytes}"
            )

    def _answer_foreign(self, client: Client, protocol: str) -> None:
        """A short reply in the peer's own language, and the end."""
        if client.close.reason is None:
            self._ready.put(client, reply_to(protocol, self._status.hint), raw=True)
            self._ready.end(client, CloseReason.WRONG_PROTOCOL, f"protocol={protocol}")

    def _answer_telnet(self, client: Client, transport: LineTransport, size: int) -> None:
        """What the telnet layer owes."""
        telnet = transport.telnet
        assert telnet is not None
        cost = telnet.take_work() * self._budgets.telnet_bytes
        self._charge(client, size, cost)
        replies, was_asked = telnet.take_replies(), telnet.take_are_you_there()
        if replies:
            self._ready.put(client, replies, raw=True)
        if was_asked:
            # RFC 854 wants some visible evidence; a NOP is the quietest that there is.
            visible = self._settings.notices
            self._ready.put(client, b"* yes, hubbub is here\n" if visible else b"\xff\xf1", raw=not visible)
        if telnet.violation:
            self._end_behind_lines(client, CloseReason.PROTOCOL_ERROR, "telnet=subnegotiation")

    # WebSocket clients.

    def _handle_websocket(
        self, client: Client, websocket: WebSocket, lines: list[bytes], size: int, now: float
    ) -> None:
        client.inbox.pinged = False
        if client.phase is Phase.OPEN:
            self._timers.ping.touch(client.id, now)
        replies = websocket.take_replies()
        if replies:
            self._ready.put(client, replies, raw=True)
        if websocket.opened and client.phase is Phase.OPENING:
            self._timers.ping.touch(client.id, now)
            self._open(client)
        if lines or websocket.take_has_data():  # Pings are no activity.
            self._ready.received.append(client)
        if websocket.offence is not None:
            self._end_behind_lines(client, *websocket.offence)
        elif websocket.peer_closed is not None:
            self._end_behind_lines(client, CloseReason.PEER_CLOSED, websocket.peer_closed)
        self._charge(client, size, websocket.take_work() * self._budgets.frame_bytes)

    # Both.

    def _open(self, client: Client) -> None:
        self._budget.charge(self._start_bytes)
        self._opener.open(client)

    def _charge(self, client: Client, size: int, cost: int) -> None:
        """Charge work beyond the bytes. Read more the next time, or little where this was more work than
        bytes."""
        self._budget.charge(max(0, cost - size))
        inbox = client.inbox
        inbox.read_bytes = (
            min(2 * inbox.read_bytes, DENSE_READ_MOST_BYTES) if cost < size else DENSE_READ_BYTES
        )

    def _end_behind_lines(self, client: Client, reason: CloseReason, detail: str) -> None:
        """Lines before the offence are still taken; then the client ends."""
        if client.close.pending is None and client.close.reason is None:
            client.close.pending = (reason, detail)
            self._connections.pause(client, ENDED)
