"""The timers of a hub: one timer of each kind says which clients did nothing for how long."""

from math import inf
from typing import Final

from hub.config.settings import Settings
from hub.config.values import Rate
from hub.loop.limits import Limits
from hub.loop.timers import Deadline, Expiry, make_expiry

CHAT_RATE: Final = Rate(50, "s", 200)
"""Faster than anybody types, and a pasted page passes at once."""

STEP_S: Final = 0.05
"""A client that waits for its rate is looked at so often, where its rate and burst allow: not once for each
line."""


class TimerSet:
    """Ids are clients'."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        strategy, interval_s, rate = settings.idle_strategy, settings.sweep_interval_s, line_rate(settings)
        self.idle = make_expiry(strategy, settings.idle_timeout_s, interval_s)
        self.warning = make_expiry(strategy, _warn_after_s(settings), interval_s)
        self.closing = Deadline(limits.linger_s)
        """Closing clients: flush, farewell and lingering together."""
        self.progress = Deadline(limits.progress_s)
        """Clients that have to take something: their own outbox pauses them, or they have sent their end."""
        self.opening = Deadline(limits.opening_s)
        """Line clients in chat that have said nothing yet."""
        self.handshake = Deadline(limits.handshake_s)
        """WebSocket clients that have not finished their handshake."""
        self.ping = Deadline(limits.ping_s)
        """The other WebSocket clients: one that sends nothing for so long is asked whether it is there."""
        self.rate = Deadline(refill_s(rate) if rate else inf)
        """Clients that have said their share: from when on they may say more."""
        self.all: tuple[Expiry, ...] = (
            self.idle, self.warning, self.closing, self.progress, self.opening, self.handshake, self.ping,
            self.rate
        )  # fmt: skip
        """Every one of them."""

    def forget(self, client_id: int) -> None:
        """No timer runs for this client any more."""
        for timer in self.all:
            timer.forget(client_id)


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
    """Poll cannot warn: it knows of nobody in particular. Without notices, and in relay modes, none does."""
    tells = settings.mode == "chat" and settings.notices and settings.idle_strategy != "poll"
    warns = tells and 0 < settings.idle_warning_s < settings.idle_timeout_s
    return settings.idle_timeout_s - settings.idle_warning_s if warns else 0.0
