"""How many lines a client may say in a while (--line-rate). Who says more waits; nothing is dropped.

A token bucket: it holds at most `burst` lines and fills at the rate. Its whole state is one time, `spent_at`:
when it would have been empty, so that what is in it now is the time since then times the rate (the generic
cell rate algorithm of ATM is the same, turned round). Nothing has to be done while a client is silent.

A client that has lines in its backlog and an empty bucket is *throttled*: it is not read, it is in no set
that the loop looks at, and a timer brings it back. So it costs nothing while it waits, what it sent waits in
its backlog and then in its kernel, and the window of TCP tells its sender. An end of stream behind the
lines is found when they have been taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hub.config.values import Rate
from hub.session.client import Client

if TYPE_CHECKING:
    from hub.config.settings import Settings
    from hub.loop.context import Hub

CHAT_RATE: Final = Rate(50, "s", 200)
"""Faster than anybody types, and a pasted page passes at once."""

STEP_S: Final = 0.05
"""A throttled client is looked at so often, where its rate and burst allow: not once for each line."""

# A clock of some days has 53 bits for whole microseconds and less: so much of a line may be missing.
_ROUNDING: Final = 1e-3


def line_rate(settings: Settings) -> Rate | None:
    """The rate that these settings mean, None for none. One that was asked for holds in any mode."""
    wanted = settings.line_rate
    if wanted == "auto":
        return CHAT_RATE if settings.mode == "chat" else None
    return wanted if wanted.count else None


def refill_s(rate: Rate) -> float:
    """How long an empty bucket fills before its client is looked at again: at least for one line."""
    return max(1 / rate.per_s, min(STEP_S, rate.burst / rate.per_s))


class Throttle:
    """Lets the mode take as many lines of a client as its bucket holds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        rate = line_rate(hub.settings)
        self._per_s = rate.per_s if rate else 0.0
        self._full_s = rate.burst / rate.per_s if rate else 0.0

    def lines(self, client: Client, now: float) -> int:
        """Have lines taken from the backlog; what that cost, as the mode says. May throttle the client."""
        if not self._per_s:
            return self._hub.mode.lines(client)
        client.spent_at = max(client.spent_at, now - self._full_s)
        before, cost = client.backlog_at, 0
        allowed = self._held(client, now)
        if allowed:
            cost = self._hub.mode.lines(client, allowed)
            client.spent_at += (client.backlog_at - before) / self._per_s
        if client.has_backlog and not self._held(client, now):
            self._pause(client)
        return cost

    def _held(self, client: Client, now: float) -> int:
        """Whole lines in the bucket."""
        return int((now - client.spent_at) * self._per_s + _ROUNDING)

    def _pause(self, client: Client) -> None:
        client.throttled = True
        self._hub.timers.rate.touch(client.id, client.spent_at)
        self._hub.interest(client)


def resume(hub: Hub, client: Client) -> None:
    """Its bucket holds a line again."""
    client.throttled = False
    hub.resume(client)
