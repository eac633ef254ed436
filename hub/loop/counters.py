"""What happened since start: counters on the loop's thread that only rise. The page derives rates."""

from collections import Counter


class Counters:
    """Totals of the hub."""

    __slots__ = (
        "accepted", "bytes_in", "bytes_out", "closed", "events_accept", "events_err", "events_hup",
        "events_in", "events_out", "events_rdhup", "lines_discarded", "lines_in", "lines_out", "peak",
        "refused", "turns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.accepted = self.peak = self.refused = 0
        self.turns = 0
        self.lines_in = self.lines_out = 0
        self.lines_discarded = 0
        """Lines that nobody got: what viewers sent, and what a client could not say before its end."""
        self.bytes_in = self.bytes_out = 0
        self.events_in = self.events_out = self.events_rdhup = self.events_hup = self.events_err = 0
        self.events_accept = 0
        self.closed: Counter[str] = Counter()
