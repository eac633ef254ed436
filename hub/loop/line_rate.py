"""The rate of lines that the settings mean, and how often a client that waits for it is looked at."""

from typing import Final

from hub.config.settings import Settings
from hub.config.values import Rate

CHAT_RATE: Final = Rate(50, "s", 200)
"""Faster than anybody types, and a pasted page passes at once."""

STEP_S: Final = 0.05
"""A client that waits for its rate is looked at so often, where its rate and burst allow: not once for each
line."""


def line_rate(settings: Settings) -> Rate | None:
    """The rate that these settings mean, None for none. A rate that was asked for holds in any mode."""
    wanted = settings.line_rate
    if wanted == "auto":
        return CHAT_RATE if settings.mode == "chat" else None
    return wanted if wanted.count else None


def refill_s(rate: Rate) -> float:
    """How long an empty bucket fills before its client is looked at again: at least for one line."""
    return max(1 / rate.per_s, min(STEP_S, rate.burst / rate.per_s))
