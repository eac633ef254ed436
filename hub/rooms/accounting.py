"""The account of owed lines: two sides that are counted in different places, so that a fault shows."""


class Account:
    """Canonical bytes of lines that were owed, and what became of them.

    owed (at append, over the subscribers of that moment) + replayed (history at a join)
    = delivered (taken by the kernel) + skipped + unsent (at a close) + queued (worked out from the outboxes).
    """

    __slots__ = ("delivered", "owed", "replayed", "skipped", "unsent")

    def __init__(self) -> None:
        self.owed = 0
        self.replayed = 0
        self.delivered = 0
        self.skipped = 0
        self.unsent = 0

    def __repr__(self) -> str:
        sides = (
            f"owed={self.owed} replayed={self.replayed}",
            f"delivered={self.delivered} skipped={self.skipped}",
        )
        return f"{sides[0]} = {sides[1]} unsent={self.unsent} + queued"
