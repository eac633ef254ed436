"""Is the stream the one that we knew? Asked at every connect, before anything of it is applied.

A store that lost what it had acknowledged, or that was restored from an older copy, looks like one in which
nothing is new: its numbers were all applied before, and stand for other lines. So the message at our place is
compared with the one that we applied there. Where they differ, the place up to which both agree is found by
galloping back, in steps that double, and then by halving.
"""

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from cluster.fold import Name


class Seen(NamedTuple):
    """The stream as a connect finds it."""

    created: str
    """When it was made: another one is another stream."""
    first: int
    last: int


class ForkCheck:
    """Questions and answers until `common` is known: the last message that the stream and we agree on.

    `known` are the last messages that we applied, in order, with their sequences; `head` is the last that
    the stream was known to have.
    """

    def __init__(
        self, known: Sequence[tuple[int, Name]], applied: int, head: int, seen: Seen, same_stream: bool
    ) -> None:
        self.common: int | None = None
        self.has_forked = same_stream and seen.last < head
        """Something that was applied, or is known to have been stored, is not in this record."""
        self._known = known
        kept = bisect_left(known, seen.first, key=itemgetter(0))
        self._low, self._high = kept - 1, len(known)
        """Places in `known`: up to the one they agree, and from the other one on they do not. What is too
        old to be kept cannot be compared, and is taken for agreed."""
        self._place, self._step, self._gallops = len(known) - 1, 1, True
        if not same_stream:
            self.common, self.has_forked = 0, max(applied, head) > 0
        elif kept == len(known):
            self.common = min(applied, seen.last)

    @property
    def question(self) -> int:
        """The sequence at which the stream is to be looked at, while `common` is not known."""
        return self._known[self._place][0]

    def answer(self, found: Name | None) -> None:
        """What the stream has there; None for nothing."""
        if found == self._known[self._place][1]:
            self._low, self._gallops = self._place, False
        else:
            self._high, self.has_forked = self._place, True
            self._step *= 2
        if self._low + 1 == self._high:
            self.common = self._known[self._low][0] if self._low >= 0 else 0
        elif self._gallops:
            self._place = max(self._low + 1, self._high - self._step)
        else:
            self._place = (self._low + self._high) // 2
