"""What is true of the hub as a whole: since when it runs, where it listens, whether it drains."""

from collections.abc import Callable

from hub.session.client import Transport


class Status:
    """Times are seconds on the loop's clock, `started_wall_s` is seconds since 1970."""

    def __init__(self, now: float, wall_s: float, log_dropped: Callable[[], int]) -> None:
        self.started_at = now
        self.started_wall_s = wall_s
        self.log_dropped = log_dropped
        """How many log records could not be written."""
        self.addresses: dict[Transport, tuple[str, ...]] = {}
        """Where the hub listens, for each transport that has a port."""
        self.page_port = 0
        """Where the page is served, once it is; 0: nowhere."""
        self.draining = False

    @property
    def hint(self) -> str:
        """A line for a client that speaks the wrong protocol."""
        return f"Its page is on port {self.page_port}." if self.page_port else "Try telnet."

    def wall_s(self, now: float) -> float:
        """Seconds since 1970 at this moment of the loop's clock; a step of the wall clock cannot move it."""
        return self.started_wall_s + now - self.started_at
