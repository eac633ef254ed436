"""The read step: bytes from the kernel, through telnet and framing, into lines that the mode takes.

Level and edge triggering differ here in one thing, which is when a client leaves the readable set. A
`once` leaves after one read: in level mode the kernel reports what is left again; in edge mode it does
not, and the client starves, which is why serve refuses that pair. A `drain` leaves when the kernel has
no more, and a short read says so, unless the peer hung up: then data and end of stream may have come as
one event, and only reading on finds the end (epoll(7), question 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hub.close_reasons import CloseReason
from hub.loop.context import Hub
from hub.loop.flow_control import Pacing
from hub.loop.rate_limiter import Throttle
from hub.net.sockets import PeerGone
from hub.protocol.encoding import Form
from hub.protocol.sniff import foreign_protocol, is_tls_hello, reply_to
from hub.session.client import Client, Phase

if TYPE_CHECKING:
    from hub.protocol.ws_connection import WebSocket

DENSE_READ_BYTES: Final = 4096
"""Of whose frames are small, or who sends telnet commands: 64 KiB of empty pings would be 60 ms."""

DENSE_READ_MOST_BYTES: Final = 16 * 1024
"""Of them while their frames are large: small ones may come next, and would be so many in one turn, 2,730."""


class Reader:
    """Reads every readable client once a turn, within budgets."""

    def __init__(self, hub: Hub, pacing: Pacing) -> None:
        self._hub = hub
        self._pacing = pacing
        self._throttle = Throttle(hub)
        self._once = hub.settings.read == "once"
        self._start_bytes = hub.budgets.turn_bytes // hub.budgets.starts
        self._now = 0.0

    def step(self, now: float) -> None:
        """One look at each client that has something, until the turn has brought its share of bytes."""
        budgets, self._now = self._hub.budgets, now
        budget = budgets.turn_bytes
        for client in list(self._hub.marks.readable.values()):
            if budget <= 0:
                return
            cost = self._serve(client, now) if client.phase is Phase.OPEN else self._discard(client)
            budget -= max(cost, budgets.look_bytes)

    def _serve(self, client: Client, now: float) -> int:
        """Read and take lines; returns what it cost. A fault of ours costs this client only."""
        if client.reason is not None or self._pacing.must_wait(client, now):
            self._hub.marks.readable.pop(client.id, None)
            return 0
        read, drained = 0, self._once or not client.reading
        room, was_fresh = client.room, client.fresh
        try:
            if client.reading and not client.has_backlog:
                read, drained = self._receive(client)
            if client.has_backlog:
                read += self._throttle.lines(client, now)
        except Exception:
            self._hub.fault(client)
        if was_fresh and not client.fresh:
            read += self._start_bytes
        if room is not None and client.room is not room:
            self._pacing.left_room(client, room)
        self._leave_set(client, drained)
        return read

    def _leave_set(self, client: Client, drained: bool) -> None:
        """Lines in the backlog keep a client marked, in level mode too; so does a budget that ran out."""
        readable = self._hub.marks.readable
        readable.pop(client.id, None)
        if client.reason is not None or client.throttled:
            return
        if not client.has_backlog:
            client.backlog, client.backlog_at = [], 0
        if client.has_backlog or not drained:
            readable[client.id] = client  # At the end of the line: the others come first.
            return
        if client.last is not None:
            self._hub.marks.end(client, *client.last)

    def _receive(self, client: Client) -> tuple[int, bool]:
        """Bytes read, and whether the kernel is known to have no more."""
        budgets, total = self._hub.budgets, 0
        while client.last is None:
            careful = client.websocket or (client.telnet and client.telnet.seen)
            size = min(client.read_bytes, budgets.read_bytes) if careful else budgets.read_bytes
            try:
                data = self._hub.sockets.receive(client.sock, size)
            except PeerGone as gone:
                self._end_of_input(client, gone.reason, gone.detail)
                break
            if data is None:
                if client.gone is not None:  # Only one call failed: its end would never come by itself.
                    self._end_of_input(client, client.gone)
                break
            if not data:
                self._end_of_input(client, client.gone or CloseReason.PEER_CLOSED)
                break
            total += max(len(data), self._input(client, data))
            if (self._once and client.gone is None) or (len(data) < size and not client.read_on):
                break
            if total >= budgets.client_bytes:
                return total, False
        return total, True

    def _end_of_input(self, client: Client, reason: CloseReason, detail: str = "") -> None:
        """No more will come. In an orderly end the unfinished last line counts; a reset cuts it off."""
        client.eof = True
        if reason is CloseReason.PEER_CLOSED:
            last_line = client.lines.finish()
            if last_line is not None:
                self._take_lines(client, [last_line])
            if client.deaf and client.gone is None:
                reason, detail = CloseReason.SLOW_CONSUMER, "feed=yes"
        if client.reason is None:
            client.last = (reason, detail)
            self._hub.interest(client)

    def _input(self, client: Client, data: bytes) -> int:
        """Bytes of one read, through the layers; returns what it cost where that is more than the bytes."""
        client.bytes_in += len(data)
        self._hub.counters.bytes_in += len(data)
        if client.websocket is not None:
            return self._messages(client, client.websocket, data)
        if client.opening is None or not self._is_tls(client, data):
            return self._lines(client, data)
        return 0

    def _lines(self, client: Client, data: bytes) -> int:
        cost = 0
        if client.telnet is not None:
            size, commands = len(data), client.telnet.commands
            data = client.telnet.feed(data)
            if client.telnet.seen:
                cost = (client.telnet.commands - commands) * self._hub.budgets.telnet_bytes
                self._read_as_dense(client, size, cost)
                self._answer_telnet(client)
        if data:
            self._text(client, data)
        return cost

    def _text(self, client: Client, data: bytes) -> None:
        self._hub.marks.heard.append(client)
        client.bulk |= len(data) >= self._hub.limits.bulk_bytes
        self._take_lines(client, client.lines.feed(data))
        if client.lines.crlf_seen and client.form is Form.LF and self._hub.settings.eol == "auto":
            client.form = Form.CRLF
        if client.lines.too_long:
            self._refuse_more(client, CloseReason.LINE_TOO_LONG, f"limit={self._hub.settings.max_line_bytes}")

    def _messages(self, client: Client, websocket: WebSocket, data: bytes) -> int:
        """Frames cost work of their own, so they are read a little at a time while they are small."""
        hub, frames, heard, was_open = self._hub, websocket.frames, websocket.data_bytes, websocket.opened
        client.pinged = False
        if was_open:
            hub.timers.ping.touch(client.id, self._now)
        lines = websocket.feed(data)
        replies = websocket.take_replies()
        if replies:
            hub.marks.put(client, replies, raw=True)
        if websocket.opened and not was_open:
            self._open(client, websocket)
        if lines or websocket.data_bytes > heard:  # Pings are no activity.
            hub.marks.heard.append(client)
            client.bulk |= len(data) >= hub.limits.bulk_bytes
        self._take_lines(client, lines)
        if websocket.offence is not None:
            self._refuse_more(client, *websocket.offence)
        elif websocket.peer_closed is not None:
            self._refuse_more(client, CloseReason.PEER_CLOSED, websocket.peer_closed)
        cost = (websocket.frames - frames) * hub.budgets.frame_bytes
        self._read_as_dense(client, len(data), cost)
        return cost + self._start_bytes if websocket.opened and not was_open else cost

    def _read_as_dense(self, client: Client, size: int, cost: int) -> None:
        """Read more the next time, up to the budget, or little where this was more work than bytes."""
        most = min(self._hub.budgets.read_bytes, DENSE_READ_MOST_BYTES)
        client.read_bytes = min(2 * client.read_bytes, most) if cost < size else DENSE_READ_BYTES

    def _open(self, client: Client, websocket: WebSocket) -> None:
        """The handshake is done: from here on it is a client like any other."""
        timers = self._hub.timers
        client.tag = websocket.tag
        self._hub.marks.heard.append(client)  # Its idle time starts here, however long the handshake took.
        timers.handshake.forget(client.id)
        timers.ping.touch(client.id, self._now)
        self._hub.guarded(client, self._hub.mode.joined)

    def _take_lines(self, client: Client, lines: list[bytes]) -> None:
        if not lines or client.reason is not None:
            return
        if client.opening is not None:
            client.opening = None
            protocol = foreign_protocol(lines[0])
            if protocol is not None:
                self._foreign(client, protocol)
                return
            if client.fresh and not client.bulk:
                self._hub.start_output(client)
        if client.read_only:
            self._hub.counters.lines_discarded += len(lines)
            return
        client.lines_in += len(lines)
        self._hub.counters.lines_in += len(lines)
        if client.has_backlog:
            client.backlog += lines
        else:
            client.backlog, client.backlog_at = lines, 0

    def _is_tls(self, client: Client, data: bytes) -> bool:
        """A TLS hello is looked for in the raw bytes: it has 0xFF and line feeds anywhere."""
        assert client.opening is not None
        if len(client.opening) < 3:
            client.opening += data[: 3 - len(client.opening)]
            if is_tls_hello(client.opening):
                self._foreign(client, "tls")
                return True
        return False

    def _foreign(self, client: Client, protocol: str) -> None:
        """One short reply in the peer's own language, instead of the greeting, and the end."""
        if client.fresh:
            self._hub.drop_output(client)
        self._hub.marks.put(client, reply_to(protocol, self._hub.hint), raw=True)
        self._hub.marks.end(client, CloseReason.WRONG_PROTOCOL, f"protocol={protocol}")

    def _answer_telnet(self, client: Client) -> None:
        """What the telnet layer owes, and CRLF from now on."""
        telnet = client.telnet
        assert telnet is not None
        if client.form is not Form.TELNET and self._hub.settings.eol != "lf":
            client.form = Form.TELNET
        replies, asked = telnet.take_replies(), telnet.take_are_you_there()
        if client.fresh and (replies or asked):
            self._hub.start_output(client)
        if replies:
            self._hub.marks.put(client, replies, raw=True)
        if asked:
            # RFC 854 wants some visible evidence; a NOP is the quietest that there is.
            visible = self._hub.settings.notices
            self._hub.marks.put(
                client, b"* yes, hubbub is here\n" if visible else b"\xff\xf1", raw=not visible
            )
        if telnet.violation:
            self._refuse_more(client, CloseReason.PROTOCOL_ERROR, "telnet=subnegotiation")

    def _refuse_more(self, client: Client, reason: CloseReason, detail: str) -> None:
        """Lines before the offence are still taken; then the client ends."""
        if client.last is None and client.reason is None:
            client.last = (reason, detail)
            self._hub.interest(client)

    def _discard(self, client: Client) -> int:
        """A lingering client's input is thrown away, a little each turn, until its end of stream."""
        if client.phase is not Phase.LINGERING or client.eof:
            self._hub.marks.readable.pop(client.id, None)
            return 0
        size = self._hub.budgets.discard_bytes
        try:
            data = self._hub.sockets.receive(client.sock, size)
        except PeerGone:
            data = b""
        if data == b"":
            client.eof = True
            self._hub.marks.finished[client.id] = client
        if not data or (len(data) < size and not client.read_on):
            self._hub.marks.readable.pop(client.id, None)
        return len(data or b"")
