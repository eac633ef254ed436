"""What one client did not get. Most lose nothing, so the counters are made with the first loss."""

from typing import Final

from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True)
class Losses:
    """Sizes are bytes; of owed lines they are canonical."""

    __slots__ = (
        "skipped_bytes", "skipped_lines", "unreported_lines", "unsent_bytes", "unsent_item_bytes",
        "unsent_own_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.unsent_bytes = self.unsent_own_bytes = 0
        """Owed lines that will never be sent: those of others, and the client's own."""
        self.unsent_item_bytes = 0
        """The same of answers, notices and the farewell."""
        self.skipped_lines = self.skipped_bytes = 0
        """What gaps of the stream had, under --slow skip."""
        self.unreported_lines = 0
        """Those of a gap that the client has not been told of."""


NO_LOSSES: Final = Losses()
"""Those of every client that lost nothing; nobody writes into them."""
