"""How the past is told: a history has a first line that says what follows, and a last line."""

from collections.abc import Sequence
from typing import Final

from hub.rooms.history import Said

END: Final = "end of history"


def beginning(room: str, said: Sequence[Said], now: float) -> str:
    """How many lines of which room follow, and how old the newest of them is."""
    lines = f"{len(said)} line{'s' if len(said) != 1 else ''}"
    return f"history: {lines} of {room}, the newest {span(now - said[-1][3])} old"


def span(seconds: float) -> str:
    """A time for people, in its two largest units: 3 d 4 h, 5 min 0 s, 12 s."""
    left, parts = max(0, int(seconds)), list[str]()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
