"""The history of a room: the last lines that clients said, for those who come later.

Only talk is kept. Notices of who came and went are no talk: in a quiet room they would push it out, and
whoever reads them later reads of people who are long gone. So history is no part of the log, which has
everything that subscribers are still owed and nothing else.

A line costs one append. What is too old is cut off when about twice as much is kept as is ever shown, so the
cost of a cut is shared by as many lines as stay.
"""

from collections.abc import Iterable
from typing import Final

Said = tuple[bytes, int, int, float]
"""A line that a client said: its content, its sender, where it begins in the room's log, and when that
was, on a clock that does not stand still."""


_SOME: Final = 100
"""So many more are kept, so that a history of few lines is not cut all the time."""


class History:
    """The last lines that were said. `lines` and `size`, in bytes, are what may be shown: always the same."""

    __slots__ = ("_cut_at", "_said")

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._cut_at = 0
        """How long the log was when the history was cut."""

    def add(self, new: list[bytes], sender: int, start: int, now: float, lines: int, size: int) -> None:
        """Keep these lines of one sender behind all others; the first begins at `start` of the log."""
        kept = self._said
        for line in new:
            kept.append((line, sender, start, now))
            start += len(line) + 1
        if len(kept) > 2 * lines + _SOME or start - self._cut_at > size:
            self._said, self._cut_at = self.last(lines, size), start

    def last(self, lines: int, size: int) -> list[Said]:
        """The last lines, at most so many and so many bytes."""
        start = stop = len(self._said)
        while start and stop - start < lines:
            size -= len(self._said[start - 1][0]) + 1
            if size < 0:
                break
            start -= 1
        return self._said[start:]


def wire(said: Iterable[Said]) -> list[bytes]:
    """These lines with their ends."""
    return [line + b"\n" for line, *_ in said]
