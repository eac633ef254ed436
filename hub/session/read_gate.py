"""The read gate: why a client is not read now. Reading is wanted if and only if there is no reason."""

from typing import Final

from mypy_extensions import mypyc_attr

OUTBOX: Final = 1
"""Too much waits in its own outbox."""
ROOM: Final = 2
"""Its room is congested."""
RATE: Final = 4
"""The client has said its share of lines for now (--line-rate)."""
ENDED: Final = 8
"""The client sends nothing more, or nothing more of it is taken."""
COMMONS: Final = 16
"""There is no place for what it says: too much waits for the cluster."""

_NAMES: Final = {OUTBOX: "outbox", ROOM: "room", RATE: "rate", COMMONS: "cluster"}


@mypyc_attr(acyclic=True)
class ReadGate:
    """The set of pause reasons of one client, as bits.

    ENDED keeps the hub from receiving; the others keep it from taking lines that it has parsed already as
    well. When the last of those goes, the client has to be marked readable: edge triggering reports
    nothing again, and parsed lines have no event.
    """

    __slots__ = ("reasons",)

    def __init__(self) -> None:
        self.reasons = 0

    @property
    def is_held(self) -> bool:
        """Parsed lines of this client wait: the hub takes none of them now."""
        return self.reasons & ~ENDED != 0

    def has(self, reason: int) -> bool:
        """Whether this is one of the reasons."""
        return self.reasons & reason != 0

    def add(self, reason: int) -> None:
        """Add a reason not to read."""
        self.reasons |= reason

    def remove(self, reason: int) -> None:
        """Drop a reason not to read."""
        self.reasons &= ~reason

    def names(self) -> list[str]:
        """The reasons in words, but for the end."""
        return [name for bit, name in _NAMES.items() if self.reasons & bit]
