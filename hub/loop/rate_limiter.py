"""How many lines a client may say in a while (--line-rate). A client that says more waits; nothing is
dropped.

A token bucket: it holds at most `burst` lines and fills at the rate. Its whole state is one time, `spent_at`:
when it would have been empty, so that what is in it now is the time since then times the rate (the generic
cell rate algorithm of ATM is the same, turned round). Nothing has to be done while a client is silent.

A client that has parsed lines and an empty bucket is paused: it is not read, it is in no set that the loop
looks at, and a timer brings it back. So it costs nothing while it waits, what it sent waits in its inbox
and then in its kernel, and the window of TCP tells its sender. An end of stream behind the lines is found
when they have been taken.
"""

from typing import Final

from hub.loop.core import Core, Step
from hub.loop.timer_set import line_rate
from hub.session.client import Client
from hub.session.mode import Mode
from hub.session.read_gate import RATE

# A clock of some days has 53 bits for whole microseconds and less: so much of a line may be missing.
_ROUNDING: Final = 1e-3


class RateLimiter(Step):
    """Lets the mode take as many lines of a client as its bucket holds."""

    def __init__(self, core: Core, mode: Mode) -> None:
        super().__init__(core)
        self._mode, rate = mode, line_rate(core.settings)
        self._per_s = rate.per_s if rate else 0.0
        self._full_s = rate.burst / rate.per_s if rate else 0.0
        self.text = None if rate else mode.text
        """Where lines need not be counted before the mode takes them, it may take them uncut."""
        self.sends_back = mode.sends_back and rate is None
        """The same where they need not come to the mode."""

    def lines(self, client: Client, now: float) -> None:
        """Have parsed lines taken by the mode. May pause the client."""
        if not self._per_s:
            self._mode.lines(client)
            return
        inbox = client.inbox
        inbox.spent_at = max(inbox.spent_at, now - self._full_s)
        before, allowed = inbox.waiting, self._held(client, now)
        if allowed:
            self._mode.lines(client, allowed)
            inbox.spent_at += (before - inbox.waiting) / self._per_s
        if inbox.has_lines and not self._held(client, now):
            self._timers.rate.touch(client.id, inbox.spent_at)
            self._connections.pause(client, RATE)

    def _held(self, client: Client, now: float) -> int:
        """Whole lines in the bucket."""
        return int((now - client.inbox.spent_at) * self._per_s + _ROUNDING)
