"""What chat may know of the hub around it."""

from collections.abc import Callable
from dataclasses import dataclass

from hub.control.snapshots import Summary
from hub.session.client import Client


@dataclass(frozen=True)
class Facts:
    """What chat may know of the hub around it, for reading only."""

    clock: Callable[[], float]
    """Seconds on the loop's clock."""
    steady_clock: Callable[[], float]
    """The same, but time passes on it during a suspend too: for what people are told of the past."""
    totals: Callable[[], Summary]
    client: Callable[[int], Client | None]
    """The open client with this id."""
