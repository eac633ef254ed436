"""The timers of a hub: one timer of each kind says which clients did nothing for how long."""

from hub.config.settings import Settings
from hub.loop.expiry import Expiry, Never
from hub.loop.limits import Limits
from hub.loop.line_rate import line_rate, refill_s
from hub.loop.timers import Deadline, make_expiry


class TimerSet:
    """Ids are clients'."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        strategy, timeout_s = settings.idle_strategy, settings.idle_timeout_s
        interval_s, rate = settings.sweep_interval_s, line_rate(settings)
        self.idle = make_expiry(strategy, timeout_s, interval_s)
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
        self.rate: Expiry = Deadline(refill_s(rate)) if rate else Never()
        """Clients that have said their share: from when on they may say more."""

    @property
    def all(self) -> tuple[Expiry, ...]:
        """Every one of them."""
        return (
            self.idle, self.warning, self.closing, self.progress, self.opening, self.handshake, self.ping,
            self.rate
        )  # fmt: skip

    def forget(self, client_id: int) -> None:
        """No timer runs for this client any more."""
        for timer in self.all:
            timer.forget(client_id)


def _warn_after_s(settings: Settings) -> float:
    """Poll cannot warn: it knows of nobody in particular. Without notices, and in relay modes, none does."""
    tells = settings.mode == "chat" and settings.notices and settings.idle_strategy != "poll"
    warns = tells and 0 < settings.idle_warning_s < settings.idle_timeout_s
    return settings.idle_timeout_s - settings.idle_warning_s if warns else 0.0
