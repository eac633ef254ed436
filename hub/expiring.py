"""The expire step: whose time is over?

One clock of each kind (`Timers` in hub/state.py) says who did nothing for how long; here it is decided what
that means. Each kind is asked within a budget, so a mass expiry takes several turns.
"""

from __future__ import annotations

from hub.client import Client
from hub.pacing import Pacing
from hub.rate import resume
from hub.reasons import CloseReason
from hub.state import Hub


class Expirer:
    """Gives a reason to whoever's time is over."""

    def __init__(self, hub: Hub, pacing: Pacing) -> None:
        self._hub = hub
        self._pacing = pacing

    def timeout(self, now: float) -> float:
        """Seconds until the earliest clock ends; infinite while none runs."""
        timers, earliest = self._hub.timers, float("inf")
        for timer in timers.all:
            wanted = timer.timeout(now)
            if wanted is not None and wanted < earliest:
                earliest = wanted
        return earliest

    def step(self, now: float) -> None:
        """Ask every clock."""
        hub, timers, budget = self._hub, self._hub.timers, self._hub.budgets.expiries
        for client_id, due in timers.idle.expired(now, budget):
            self._end_idle(hub.clients.get(client_id), due, now)
        for client_id, _ in timers.warning.expired(now, budget):
            self._warn(hub.clients.get(client_id))
        for client_id, due in timers.progress.expired(now, budget):
            self._end_stuck(client_id, due, now)
        for client_id, _ in timers.pause.expired(now, budget):
            self._end_pause(hub.clients.get(client_id), now)
        for client_id, _ in timers.stall.expired(now, budget):
            client = hub.clients.get(client_id)
            if client is not None and client.room is not None:
                self._pacing.stall(client, client.room, now)
        for client_id, _ in timers.rate.expired(now, budget):
            resume(hub, hub.clients[client_id])
        for client_id, _ in timers.closing.expired(now, budget):
            hub.marks.given_up.append(hub.ended[client_id])

    def _end_idle(self, client: Client | None, due: float, now: float) -> None:
        """Its time is over, unless something it sent is waiting to be read: that counts."""
        hub = self._hub
        if client is None or client.reason is not None:
            return
        unread = client.id in hub.marks.readable or client.has_backlog
        if unread or (not client.eof and hub.sockets.has_input(client.sock)):
            hub.timers.idle.touch(client.id, now)
            hub.resume(client)
        elif client.owes_nothing or not client.blocked:
            after = f"after={hub.settings.idle_timeout_s:g}s"
            hub.marks.end(client, CloseReason.IDLE, after, due=due, decided=now)
        else:
            lag = f"lag={client.lag_bytes}"
            hub.marks.end(client, CloseReason.SLOW_CONSUMER, lag, due=due, decided=now)

    def _warn(self, client: Client | None) -> None:
        if client is not None and self._hub.settings.notices:
            left = self._hub.settings.idle_warning_s
            self._hub.marks.put(client, f"* idle: say something within {left:g} s, or be gone\n".encode())

    def _end_pause(self, client: Client | None, now: float) -> None:
        """It has paused, unless something it sent is waiting to be read: now it gets what waited for it."""
        hub = self._hub
        if client is None:
            return
        waits = client.kept_waiting or client.id in hub.marks.readable
        if waits or (client.reading and hub.sockets.has_input(client.sock)):
            hub.timers.pause.touch(client.id, now)
        else:
            hub.start_output(client)

    def _end_stuck(self, client_id: int, due: float, now: float) -> None:
        """It took nothing in time, whether it is open or has ended already."""
        client = self._hub.clients.get(client_id)
        if client is not None:
            self._pacing.end_stuck(client, due, now)
        else:
            self._hub.marks.given_up.append(self._hub.ended[client_id])
