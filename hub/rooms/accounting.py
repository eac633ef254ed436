"""The account of owed lines: two sides that are counted in different places, so that a fault shows."""

from dataclasses import dataclass


@dataclass(slots=True)
class Account:
    """Canonical bytes of lines that were owed, and what became of them.

    owed (at append, over the hearers of that moment) + replayed (history at a join)
    = delivered (taken by the kernel) + skipped + unsent (at an end) + queued (from the positions).
    """

    owed: int = 0
    replayed: int = 0
    delivered: int = 0
    skipped: int = 0
    unsent: int = 0
