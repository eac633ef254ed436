"""The expire step: what it means that a client's time is over.

A timer of each kind (hub/loop/timer_set.py) says which clients did nothing for how long; here it is decided
what follows. A slice takes a few of each kind, so a mass expiry takes many slices.
"""

from collections.abc import Callable

from hub.close_reasons import CloseReason
from hub.loop.admission import Admission
from hub.loop.core import Core, Step
from hub.loop.flow_control import FlowControl
from hub.loop.limit_timers import BackdatedLimit, Limit
from hub.loop.timers import Expiry
from hub.net.sockets import PeerGone
from hub.protocol.ws_connection import WebSocket
from hub.session.client import Client
from hub.session.read_gate import RATE

Decide = Callable[[Client, float, float], None]
"""What it means that the time of an open client is over; given when that was due, and now."""


class Expirer(Step):
    """Gives a reason to every client whose time is over."""

    def __init__(self, core: Core, flow: FlowControl, admission: Admission) -> None:
        super().__init__(core)
        self._flow, self._admission = flow, admission
        most = core.budgets.expiries
        self._decisions: tuple[tuple[Expiry | Limit | BackdatedLimit, Decide, int], ...] = (
            (core.timers.idle, self._end_idle, most),
            (core.timers.opening, self._open, core.budgets.starts),
            (core.timers.handshake, self._end_handshake, most),
            (core.timers.ping, self._ping, most),
            (core.timers.rate, self._resume_rate, most),
        )

    def timeout(self, now: float) -> float:
        """Seconds until the earliest timer ends; infinite while none runs."""
        return min(self._flow.timeout(now), self._timers.timeout(now))

    def slice(self, until: float, now: float) -> bool:
        """Ask every timer for a few whose time was over at `until`; whether there are more."""
        clients, budget = self._connections.clients, self._budgets.expiries
        for timer, decide, most in self._decisions:
            for client_id, due in timer.expired(until, most):
                client = clients.get(client_id)
                if client is not None and client.close.reason is None:
                    decide(client, due, now)
        for client_id in self._timers.idle.warned(until, budget):
            self._warn(clients[client_id])
        for client_id, due in self._timers.progress.expired(until, budget):
            self._end_stuck(client_id, due, now)
        for client_id, _ in self._timers.closing.expired(until, budget):
            self._ready.abort.append(self._connections.closing[client_id])
        self._flow.expire(until, now)
        return self._timers.timeout(until) == 0

    def _end_idle(self, client: Client, due: float, now: float) -> None:
        """Idle, unless something the client sent is waiting to be read: that counts."""
        outbox = client.outbox
        if self._is_unread(client):
            self._timers.idle.touch(client, now)
            return
        is_slow = outbox.blocked and not outbox.is_empty
        reason = CloseReason.SLOW_CONSUMER if is_slow else CloseReason.IDLE
        self._ready.end(client, reason, _over("after", self._settings.idle_timeout_s), due=due, decided=now)

    def _is_unread(self, client: Client) -> bool:
        """Whether something the client sent waits, in the kernel or here, because the hub has not come to it.

        Then the hub looks at the client again; its time is to start again.
        """
        inbox, is_marked = client.inbox, client in self._ready.readable
        if not (is_marked or inbox.has_lines or (not inbox.eof and self._has_input(client))):
            return False
        self._connections.look_again(client)
        return True

    def _has_input(self, client: Client) -> bool:
        """Whether something the client sent, or the end of its connection, is waiting to be read."""
        try:
            return self._sockets.has_input(client.fd)
        except PeerGone as gone:
            self._connections.peer_is_gone(client, gone.reason)
            return True

    def _warn(self, client: Client) -> None:
        if client.close.reason is None and not client.inbox.eof:  # A viewer may have said its end.
            left = self._settings.idle_warning_s
            self._ready.put(client, f"* idle: say something within {left:g} s, or be gone\n".encode())

    def _open(self, client: Client, due: float, now: float) -> None:
        """A line client that has said nothing is taken for a person, unless what it sent waits to be read."""
        if self._is_unread(client):
            self._timers.opening.touch(client.id, now)
        else:
            self._admission.open(client)

    def _end_handshake(self, client: Client, due: float, now: float) -> None:
        """The client's request is late, unless it waits to be read: then the hub is."""
        if self._is_unread(client):
            self._timers.handshake.touch(client.id, now)
        else:
            late = _over("after", self._limits.handshake_s)
            self._ready.end(client, CloseReason.HANDSHAKE_TIMEOUT, late, due=due, decided=now)

    def _resume_rate(self, client: Client, due: float, now: float) -> None:
        """The client's bucket holds a line again."""
        self._connections.resume(client, RATE)

    def _ping(self, client: Client, due: float, now: float) -> None:
        """Ask a silent WebSocket client whether it is there; close it when it did not answer the last time.

        The hub does not ask while the kernel refuses bytes, as the question would stand behind them and TCP
        has a timer for that; nor when the client's end is known, as behind its Close it may not answer.
        """
        websocket, inbox = client.inbox.transport, client.inbox
        assert isinstance(websocket, WebSocket)
        if client.close.pending is not None or client.close.peer_error is not None:
            return
        asks = not client.outbox.blocked
        if inbox.pinged and asks and not self._has_input(client):
            late = _over("ping", self._limits.ping_s)
            self._ready.end(client, CloseReason.PEER_TIMEOUT, late, due=due, decided=now)
            return
        self._timers.ping.touch(client.id, now)
        inbox.pinged = asks
        if asks:
            self._ready.put(client, websocket.ping(b""), raw=True)

    def _end_stuck(self, client_id: int, due: float, now: float) -> None:
        """The client took nothing in time, whether it is open or closing already."""
        client = self._connections.clients.get(client_id) or self._connections.closing[client_id]
        if not client.outbox.blocked:  # Not blocked: the kernel never refused a byte, so the delay is ours.
            self._timers.progress.touch(client_id, now)
        elif client.is_alive:
            self._flow.stuck(client, due, now)
        else:
            self._ready.abort.append(client)


def _over(name: str, limit_s: float) -> str:
    """The detail of an end by a timer, which is decided when the limit is reached; lateness is told apart."""
    return f"{name}={limit_s:g}s limit={limit_s:g}s"
