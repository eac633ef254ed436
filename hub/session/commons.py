"""The commons: the way of a line from the client that said it to the room that hears it.

A mode says lines here, and hears them from here. A hub alone hears them at once. A hub of a cluster hears
them when the cluster's record has them, with those of all other hubs, in one order (cluster/commons.py).
"""

from collections.abc import Callable
from math import inf

from mypy_extensions import mypyc_attr

from hub.rooms.registry import Registry
from hub.rooms.room import Room
from hub.session.ready_sets import ReadySets

Hear = Callable[[Room, list[bytes], int, int, float], None]
"""A room hears these lines, `size` canonical bytes in all; the sender is the id of a client here, 0 for a
hub, -1 for a client of another hub. The last is when they were said, on a clock that does not stand still."""
Holds = Callable[[Room], bool]
"""Whether a room is so congested that nobody may say anything in it."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Commons:
    """The commons of a hub alone."""

    def __init__(self, ready: ReadySets) -> None:
        self._ready = ready
        self.hub = ""
        """What other hubs call this one."""
        self.is_full = False
        """Senders wait: there is no place for what they say."""
        self.hear: Hear
        self.holds: Holds

    def open(self, hear: Hear, holds: Holds, rooms: Registry) -> None:
        """What the parts are that are made behind this one."""
        self.hear, self.holds = hear, holds

    def say(self, room: Room, lines: list[bytes], size: int, sender: int, now: float) -> None:
        """A client says lines, `size` canonical bytes, in its room; `now` as `Hear` has it."""
        self.hear(room, lines, size, sender, now)

    def note(self, room: Room, line: bytes) -> None:
        """The hub says who came and went."""
        room.append(line, sender=0)
        self._ready.rooms[room] = None

    def step(self, now: float) -> None:
        """Let the rooms hear what came since; seconds on the loop's clock."""

    def timeout(self, now: float) -> float:
        """Seconds until there is something to do by time alone."""
        return inf
