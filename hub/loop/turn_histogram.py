"""How long turns take: the time from the return of one wait to the next wait, which is when the hub is busy.

Every turn pays for this, so it is a list of counts that exists already, and whole numbers for the place in
it: no call of a clock, no object that the garbage collector tracks, 0.4 us in all. Places are
those of an HDR histogram: one for each microsecond up to 15, then eight for each doubling, so what is told
of a turn is at most an eighth more than it was.
"""

from typing import Final

_STEPS: Final = 8
_STEP_BITS: Final = 3
_PLACES: Final = 2 * _STEPS + _STEPS * (50 - _STEP_BITS - 1)
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
        us = int(turn_s * 1e6)
        if us < 2 * _STEPS:
            self._counts[us] += 1
        else:
            shift = us.bit_length() - _STEP_BITS - 1
            self._counts[(shift << _STEP_BITS) + (us >> shift)] += 1

    def close_interval(self) -> None:
        """What was added since the last call becomes the figures that are shown."""
        self.p99_s = min(self._quantile_s(0.01), self._longest_s)
        self.max_s = self._longest_s
        self._counts = [0] * _PLACES
        self._longest_s = 0.0

    def _quantile_s(self, share_above: float) -> float:
        """The time that at most this share of the turns went beyond."""
        allowed = int(sum(self._counts) * share_above)
        for place in range(_PLACES - 1, -1, -1):
            allowed -= self._counts[place]
            if allowed < 0:
                return end_of(place) / 1e6
        return 0.0


def end_of(place: int) -> int:
    """The first number of microseconds that is beyond this place."""
    if place < 2 * _STEPS:
        return place + 1
    shift = (place >> _STEP_BITS) - 1
    return ((place & (_STEPS - 1)) + _STEPS + 1) << shift
