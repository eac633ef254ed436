"""The expire step: whose time is over?

One clock of each kind (`Timers` in hub/loop/context.py) says who did nothing for how long; here it is decided
what that means. Each kind is asked within a budget, so a mass expiry takes several turns.
"""

from __future__ import annotations

from collections.abc import Callable

from hub.close_reasons import CloseReason
from hub.loop.context import Hub
from hub.loop.flow_control import Pacing
from hub.loop.rate_limiter import resume
from hub.loop.timers import Expiry
from hub.net.sockets import PeerGone
from hub.session.client import Client

Decide = Callable[[Client, float, float], None]
"""What it means that the time of an open client is over; given when that was due, and now."""


class Expirer:
    """Gives a reason to whoever's time is over."""

    def __init__(self, hub: Hub, pacing: Pacing) -> None:
        self._hub = hub
        self._pacing = pacing
        self._starts_left = 0
        timers = hub.timers
        self._clocks: tuple[tuple[Expiry, Decide], ...] = (
            (timers.idle, self._end_idle),
            (timers.warning, self._warn),
            (timers.pause, self._end_pause),
            (timers.handshake, self._end_handshake),
            (timers.ping, self._ping),
            (timers.stall, self._end_stall),
            (timers.rate, self._end_throttling),
            (timers.skip, pacing.end_skipping),
        )

    def timeout(self, now: float) -> float:
        """Seconds until the earliest clock ends; infinite while none runs."""
        timers, earliest = self._hub.timers, float("inf")
        for timer in timers.all:
            wanted = timer.timeout(now)
            if wanted is not None and wanted < earliest:
                earliest = wanted
        return earliest

    def step(self, until: float, now: float) -> None:
        """Ask every clock which of its times were over at `until`."""
        hub, budget = self._hub, self._hub.budgets.expiries
        self._starts_left = hub.budgets.starts
        for timer, decide in self._clocks:
            for client_id, due in timer.expired(until, budget):
                client = hub.clients.get(client_id)
                if client is not None:
                    decide(client, due, now)
        for client_id, due in hub.timers.progress.expired(until, budget):
            self._end_stuck(client_id, due, now)
        for client_id, _ in hub.timers.closing.expired(until, budget):
            hub.marks.given_up.append(hub.ended[client_id])

    def _end_idle(self, client: Client, due: float, now: float) -> None:
        """Its time is over, unless something it sent is waiting to be read: that counts."""
        hub = self._hub
        if client.reason is not None:
            return
        if self._is_unread(client):
            hub.timers.idle.touch(client.id, now)
            hub.resume(client)
        elif client.owes_nothing or not client.blocked:
            after = f"after={hub.settings.idle_timeout_s:g}s"
            hub.marks.end(client, CloseReason.IDLE, after, due=due, decided=now)
        else:
            lag = f"lag={client.lag_bytes}"
            hub.marks.end(client, CloseReason.SLOW_CONSUMER, lag, due=due, decided=now)

    def _is_unread(self, client: Client) -> bool:
        """Whether something it sent waits, in the kernel or here, because the hub has not come to it yet."""
        waits = client.id in self._hub.marks.readable or client.has_backlog
        return waits or (not client.eof and self._has_input(client))

    def _has_input(self, client: Client) -> bool:
        """Whether something it sent, or the end of its connection, is waiting to be read."""
        try:
            return self._hub.sockets.has_input(client.sock)
        except PeerGone as gone:
            self._pacing.gone(client, gone.reason)
            return True

    def _warn(self, client: Client, due: float, now: float) -> None:
        at_handshake = client.websocket is not None and not client.websocket.opened
        if not at_handshake:
            left = self._hub.settings.idle_warning_s
            self._hub.marks.put(client, f"* idle: say something within {left:g} s, or be gone\n".encode())

    def _end_pause(self, client: Client, due: float, now: float) -> None:
        """It has paused, unless something it sent is waiting to be read: now it gets what waited for it."""
        hub = self._hub
        waits = client.kept_waiting or client.id in hub.marks.readable
        if waits or (client.reading and self._has_input(client)):
            hub.timers.pause.touch(client.id, now)
        elif client.fresh and not self._starts_left:
            hub.timers.pause.touch(client.id, due - hub.limits.pause_s)  # Its turn comes.
        else:
            self._starts_left -= client.fresh
            hub.start_output(client)

    def _end_handshake(self, client: Client, due: float, now: float) -> None:
        """Its request is late, unless it waits to be read: then the hub is."""
        hub = self._hub
        if self._is_unread(client):
            hub.timers.handshake.touch(client.id, now)
            hub.resume(client)
            return
        after = f"after={hub.limits.handshake_s:g}s"
        hub.marks.end(client, CloseReason.HANDSHAKE_TIMEOUT, after, due=due, decided=now)

    def _end_stall(self, client: Client, due: float, now: float) -> None:
        if client.room is not None:
            self._pacing.stall(client, client.room, now)

    def _end_throttling(self, client: Client, due: float, now: float) -> None:
        resume(self._hub, client)

    def _ping(self, client: Client, due: float, now: float) -> None:
        """Ask who said nothing whether it is there; who did not answer the last time is not.

        Not while its kernel refuses bytes: the question would stand behind them. TCP has a clock for that.
        And not whose end is known: behind its Close it may not answer, and lines of its may still wait.
        """
        hub = self._hub
        assert client.websocket is not None
        if client.last is not None or client.gone is not None:
            return
        if client.pinged and not client.blocked and not self._has_input(client):
            after = f"ping={hub.limits.ping_s:g}s"
            hub.marks.end(client, CloseReason.PEER_TIMEOUT, after, due=due, decided=now)
            return
        hub.timers.ping.touch(client.id, now)
        client.pinged = not client.blocked
        if client.pinged:
            hub.marks.put(client, client.websocket.ping(b""), raw=True)

    def _end_stuck(self, client_id: int, due: float, now: float) -> None:
        """It took nothing in time, whether it is open or has ended already."""
        hub = self._hub
        client = hub.clients.get(client_id) or hub.ended[client_id]
        if client.deaf and client_id in hub.clients and self._is_unread(client):
            hub.timers.progress.touch(client_id, now)
            hub.resume(client)
        elif not client.blocked and not client.deaf:  # It refused nothing: the hub has not come to it.
            hub.timers.progress.touch(client_id, now)
        elif client_id in hub.clients:
            self._pacing.end_stuck(client, due, now)
        else:
            hub.marks.given_up.append(client)
