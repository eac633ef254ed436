"""The read step: bytes from the kernel, through the client's transport, into lines that the mode takes.

Level and edge triggering differ here in one thing, which is when a client leaves the readable set. A
`once` leaves after one read: in level mode the kernel reports what is left again; in edge mode it does
not, and the client starves, which is why serve refuses that pair. A `drain` leaves when the kernel has
no more, and a short read says so, unless the peer hung up: then data and end of stream may have come as
one event, and only reading on finds the end (epoll(7), question 9).
"""

from itertools import islice

from hub.close_reasons import CloseReason
from hub.loop.core import Core, Step
from hub.loop.flow_control import FlowControl
from hub.loop.input_events import InputEvents
from hub.loop.rate_limiter import RateLimiter
from hub.loop.writer import Writer
from hub.net.sockets import PeerGone
from hub.protocol.line_transport import LineTransport
from hub.session.client import Client
from hub.session.read_gate import ENDED


class Reader(Step):
    """Reads every readable client once a turn, within the turn's budget."""

    def __init__(
        self, core: Core, flow: FlowControl, writer: Writer, rate_limiter: RateLimiter, events: InputEvents
    ) -> None:
        super().__init__(core)
        self._flow, self._writer, self._rate_limiter, self._events = flow, writer, rate_limiter, events
        self._once, self._text = core.settings.read == "once", rate_limiter.text
        self._sends_back = rate_limiter.sends_back
        self._takes_uncut = self._sends_back or self._text is not None
        self._most_bytes = min(core.budgets.read_bytes, core.budgets.client_bytes)

    def step(self, now: float) -> None:
        """Look once at each client that has something, until the turn has brought its share."""
        budget, look = self._turn_budget, self._budgets.look_bytes
        budget.left = self._budgets.turn_bytes
        marked, self._ready.readable = self._ready.readable, {}
        for place, client in enumerate(marked):
            before = budget.left
            if before <= 0:
                left = dict.fromkeys(islice(marked, place, None))
                left.update(self._ready.readable)
                self._ready.readable = left
                return
            if client.phase == "open" or client.is_alive:
                self._serve(client, now)
            else:
                self._discard(client)
            if before - budget.left < look:
                budget.left = before - look

    def _serve(self, client: Client, now: float) -> None:
        """Read and take lines. A fault of ours costs this client only."""
        if client.close.reason is not None or self._flow.must_wait(client, now):
            return
        inbox, drained = client.inbox, client.gate.reasons != 0
        try:
            if not drained and inbox.lines is None:
                drained = self._receive(client, now)
            if inbox.lines is not None:
                self._rate_limiter.lines(client, now)
        except Exception:
            self.caught(client)
        # Nearly always nothing is left; asking here saves two calls.
        if not drained or inbox.lines is not None or client.close.pending is not None:
            self._look_again(client, drained)

    def _look_again(self, client: Client, drained: bool) -> None:
        """Parsed lines mark a client anew, in level mode too; so does a budget that ran out."""
        if client.close.reason is not None or client.gate.is_held:
            return
        if client.inbox.lines is not None or not drained:
            self._ready.readable[client] = None  # At the end of the line: the others come first.
        elif client.close.pending is not None and not self._flow.waits_at_end(client):
            self._ready.end(client, *client.close.pending)

    def _receive(self, client: Client, now: float) -> bool:
        """Read until nothing is left or the client has had its share; whether the kernel has no more."""
        inbox, budget = client.inbox, self._turn_budget
        most, share = self._most_bytes, self._budgets.client_bytes
        while client.close.pending is None:
            size = inbox.read_bytes if inbox.read_bytes < most else most  # min() would take 90 ns.
            try:
                data = self._sockets.receive(client.fd, size)
            except PeerGone as gone:
                self._end_of_input(client, gone.reason, gone.detail)
                break
            if data is None:
                error = client.close.peer_error
                if error is not None:  # Only one call failed: its end would never come by itself.
                    self._end_of_input(client, error)
                break
            if not data:  # Perhaps an echo of this loop has met the error that ended it.
                self._end_of_input(client, client.close.peer_error or CloseReason.PEER_CLOSED)
                break
            if len(data) == size:
                inbox.was_filled()
            left = budget.left
            self._input(client, data, now)
            if len(data) < size and not inbox.read_until_eagain:
                break
            if self._once and client.close.peer_error is None:
                break
            share -= left - budget.left  # Frames, telnet commands and echoes cost more than their bytes.
            if share <= 0:
                return False
            most = min(most, share)
        return True

    def _input(self, client: Client, data: bytes, now: float) -> None:
        """Bytes of one read, through the client's transport."""
        size = len(data)
        client.inbox.bytes_in += size
        self._counters.bytes_in += size
        self._turn_budget.left -= size
        transport = client.inbox.transport
        # In echo and broadcast nobody cuts lines apart that come whole. That saves a fifth of an echo.
        if self._takes_uncut and isinstance(transport, LineTransport) and self._is_plain(client):
            count = transport.whole_lines(data)
            if count and self._took_uncut(client, data, count, now):
                self._ready.received.append(client)
                self._counters.lines_in += count
                client.inbox.lines_in += count
                return
        lines = transport.feed(data)
        if transport.has_events or client.phase == "opening":
            self._events.handle(client, transport, lines, size, now)
        else:
            self._ready.received.append(client)
        if lines:
            self._take(client, lines)

    def _took_uncut(self, client: Client, text: bytes, count: int, now: float) -> bool:
        """Lines that end in LF and nothing else go on as they came: back to the client, or to the mode."""
        if self._sends_back:
            return self._writer.send_back(client, text, count, now)
        return self._text is not None and self._text(client, text, count)

    def _is_plain(self, client: Client) -> bool:
        """Its lines go to the mode as they come: none waits before them, and none is thrown away."""
        is_open = client.phase == "open" and client.close.reason is None
        return is_open and client.inbox.lines is None and client.transport != "read-only"

    def _take(self, client: Client, lines: list[bytes]) -> None:
        """Lines of a viewer are thrown away; those of anybody else wait for the mode."""
        if client.close.reason is not None:
            return
        if client.transport == "read-only":
            self._counters.lines_discarded += len(lines)
            return
        if client.phase == "opening":
            return  # Nothing but blank lines, which say nothing: any other opens the client.
        self._counters.lines_in += len(lines)
        client.inbox.receive(lines)

    def _end_of_input(self, client: Client, reason: CloseReason, detail: str = "") -> None:
        """No more will come. In an orderly end the unfinished last line counts; a reset cuts it off.

        The end of a viewer's stream closes nothing: it goes on receiving until its connection fails.
        """
        client.inbox.eof = True
        if reason is CloseReason.PEER_CLOSED:
            lines = client.inbox.transport.finish()
            self._events.end_of_stream(client)
            self._take(client, lines)
        is_watching = client.transport == "read-only" and client.close.peer_error is None
        if client.close.pending is None and not (is_watching and reason is CloseReason.PEER_CLOSED):
            client.ending.pending = (reason, detail)
        self._connections.pause(client, ENDED)

    def _discard(self, client: Client) -> None:
        """A lingering client's input is thrown away, a little each turn, until its end of stream."""
        inbox = client.inbox
        if client.phase != "lingering" or inbox.eof:
            return
        size = self._budgets.discard_bytes
        try:
            data = self._sockets.receive(client.fd, size)
        except PeerGone:
            data = b""
        if data == b"":
            inbox.eof = True
            self._ready.finished[client.id] = client
        if data and (len(data) == size or inbox.read_until_eagain):
            self._ready.readable[client] = None
        self._turn_budget.left -= len(data or b"")
