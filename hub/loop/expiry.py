"""What every timer does, whatever its strategy: the four methods, and the timer that never runs."""

from typing import ClassVar, Final, Protocol

EVENT: Final = 0
"""Not a client: "some client or the listener had an event". Only Poll counts it, the others ignore it."""


class Expiry(Protocol):
    """Which ids had no activity for a whole timeout."""

    counts_events: ClassVar[bool]
    """Whether `touch(EVENT, now)` does anything, so that the loop may leave the call out."""

    def touch(self, id: int, now: float) -> None:
        """`id` was active at `now`. An id that is not known, or no longer, is known from here on."""

    def forget(self, id: int) -> None:
        """`id` is gone; nothing happens if it was not known."""

    def timeout(self, now: float) -> float | None:
        """Seconds until `expired` should be called: 0.0 if work is waiting, None if nobody can expire.

        Not capped: epoll_wait(2) takes less than 25 days, so its caller takes the minimum.
        """

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """At most `budget` (>= 1) ids whose time is up, each with the moment it was due; forgets them."""


class Never:
    """No timeout: nobody expires, and nothing is kept."""

    counts_events: ClassVar[bool] = False

    def touch(self, id: int, now: float) -> None:
        """Nothing to note."""

    def forget(self, id: int) -> None:
        """Nothing to forget."""

    def timeout(self, now: float) -> float | None:
        """Never."""
        return None

    def expired(self, now: float, budget: int) -> list[tuple[int, float]]:
        """Nobody."""
        return []
