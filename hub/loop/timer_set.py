"""The timers of a hub: one timer of each kind says which clients did nothing for how long."""

from math import inf
from typing import Final

from hub.config.settings import Settings
from hub.config.values import Rate
from hub.loop.limit_timers import BackdatedLimit, Limit
from hub.loop.limits import Limits
from hub.loop.timers import make_expiry
from hub.session.timed import Timed

CHAT_RATE: Final = Rate(50, "s", 200)
"""Faster than anybody types, and a pasted page passes at once."""

STEP_S: Final = 0.05
"""A client that waits for its rate is looked at so often, where its rate and burst allow: not once for each
line."""


class TimerSet:
    """The idle timer takes clients, the others their ids."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        timeout_s, warn_after_s, rate = settings.idle_timeout_s, _warn_after_s(settings), line_rate(settings)
        self.idle = make_expiry(settings.idle_strategy, timeout_s, settings.sweep_interval_s, warn_after_s)
        self.closing = Limit(limits.linger_s)
        """Closing clients: flush, farewell and lingering together."""
        self.progress = Limit(limits.progress_s)
        """Clients that have to take something: their own outbox pauses them, or they have sent their end."""
        self.opening = Limit(limits.opening_s)
        """Line clients in chat that have said nothing yet."""
        self.handshake = Limit(limits.handshake_s)
        """WebSocket clients that have not finished their handshake."""
        self.ping = Limit(limits.ping_s)
        """The other WebSocket clients: one that sends nothing for so long is asked whether it is there."""
        self.rate = BackdatedLimit(refill_s(rate) if rate else inf)
        """Clients that have said their share: from when on they may say more."""
        self.by_id: tuple[Limit | BackdatedLimit, ...] = (
            self.closing, self.progress, self.opening, self.handshake, self.ping, self.rate
        )  # fmt: skip
        """All but the first."""

    def timeout(self, now: float) -> float:
        """Seconds until the earliest timer ends; infinite while none runs."""
        soonest_s = self.idle.timeout(now)
        for timer in self.by_id:
            if timer.last_s:  # Most have nobody, and every turn asks.
                soonest_s = min(soonest_s, timer.timeout(now))
        return soonest_s

    def forget(self, client: Timed) -> None:
        """No timer runs for this client any more."""
        self.idle.forget(client)
        for timer in self.by_id:
            timer.forget(client.id)


def line_rate(settings: Settings) -> Rate | None:
    """The rate of lines that the settings mean, None for none. A rate that was asked for holds always."""
    wanted = settings.line_rate
    if wanted == "auto":
        return CHAT_RATE if settings.mode == "chat" else None
    return wanted if wanted.count else None


def refill_s(rate: Rate) -> float:
    """How long an empty bucket fills before its client is looked at again: at least for one line."""
    return max(1 / rate.per_s, min(STEP_S, rate.burst / rate.per_s))


def _warn_after_s(settings: Settings) -> float:
    """Infinite where nobody is warned: without notices, and in relay modes."""
    tells = settings.mode == "chat" and settings.notices
    warns = tells and 0 < settings.idle_warning_s < settings.idle_timeout_s
    return settings.idle_timeout_s - settings.idle_warning_s if warns else inf
