"""How long turns take: the time from the return of one wait to the next wait, which is when the hub is busy.

Every turn pays for this, so it is a list of counts that exists already: no call of a clock, no object that
the garbage collector tracks, 0.3 us in all. There are eight places for each doubling, so what is told of a
turn is at most a tenth more than it was.
"""

from math import log2
from typing import Final

_STEPS: Final = 8
_PLACES: Final = _STEPS * 50
"""Up to 2^50 us, which is thirty-five years."""


class TurnHistogram:
    """Times of turns, in seconds. An interval ends when `close_interval` is called."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        """All turns since start."""
        self.p99_s = 0.0
        """99 of 100 turns of the last closed interval took no longer. 0 when there was none."""
        self.max_s = 0.0
        """The longest turn of that interval."""
        self._counts = [0] * _PLACES
        self._longest_s = 0.0

    def add(self, turn_s: float) -> None:
        """Add a turn."""
        self.busy_s += turn_s
        if turn_s > self._longest_s:
            self._longest_s = turn_s
        self._counts[int(_STEPS * log2(1 + turn_s * 1e6))] += 1

    def close_interval(self) -> None:
        """What was added since the last call becomes the figures that are shown."""
        self.p99_s = min(self._quantile_s(0.01), self._longest_s)
        self.max_s = self._longest_s
        self._counts = [0] * _PLACES
        self._longest_s = 0.0

    def _quantile_s(self, share_above: float) -> float:
        """The time that at most this share of the turns went beyond: the end of its place."""
        allowed = int(sum(self._counts) * share_above)
        for place in range(_PLACES - 1, -1, -1):
            allowed -= self._counts[place]
            if allowed < 0:
                return (2 ** ((place + 1) / _STEPS) - 1) / 1e6
        return 0.0
