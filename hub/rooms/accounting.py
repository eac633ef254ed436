"""The account of owed lines: two sides that are counted in different places, so that a fault shows."""


class Account:
    """Canonical bytes of lines that were owed, and what became of them.

    owed (at append, over the subscribers of that moment; an echo: its sender) + replayed (history at a join)
    = delivered (taken by the kernel) + skipped + unsent (at a close) + queued (worked out from the outboxes).
    `unsent_own` is the part of `unsent` that are lines which clients had said themselves.
    """

    __slots__ = ("delivered", "owed", "replayed", "skipped", "unsent", "unsent_own")

    def __init__(self) -> None:
        self.owed = self.replayed = self.delivered = self.skipped = self.unsent = self.unsent_own = 0
