"""The commons: the way of a line from the client that said it to the room that hears it.

A mode says lines here, and hears them from here. A hub alone hears them at once. A hub of a cluster hears
them when the cluster's record has them, with those of all other hubs, in one order (cluster/commons.py).
"""

from collections.abc import Callable
from math import inf
from typing import Protocol

from mypy_extensions import mypyc_attr

from hub.control.snapshots import ClusterState
from hub.rooms.registry import Registry
from hub.rooms.room import Room
from hub.session.ready_sets import ReadySets

Holds = Callable[[Room, float], bool]
"""Whether a line of another hub has to wait for this room; seconds on the loop's clock."""
Totals = Callable[[], tuple[int, int, int]]
"""How many clients there are, and how many lines came in and went out since the start."""
Caught = Callable[[], None]
"""Logs the exception that is being handled: a fault of ours."""
Told = Callable[[list[list[str]], list[str]], None]
"""The answers of other hubs, and the names of those that gave none."""


def raise_it() -> None:
    """Let the exception that is being handled go on."""
    raise


class Audience(Protocol):
    """What a commons asks of the mode."""

    def heard(self, room: Room, lines: list[bytes], sender: int, said_at: float) -> None:
        """A room hears these lines.

        The sender is the id of a client here, 0 for a hub, -1 for a client of another hub. The last is when
        they were said, on a clock that does not stand still.
        """

    def asked(self, what: str, arguments: list[str]) -> list[str]:
        """Answer a question of another hub; nothing where there is no answer."""

    def lost_nick(self, key: str) -> None:
        """A client here had a nick of this key that is another's on another hub."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Commons:
    """The commons of a hub alone."""

    def __init__(self, ready: ReadySets) -> None:
        self._ready = ready
        self.hub = ""
        """What other hubs call this one."""
        self.is_alone = True
        """Lines are heard when they are said, so a mode need not say them here."""
        self.claiming: set[int] = set()
        """Clients, by id, that wait for the answer to a claim: their next lines wait with them."""
        self.audience: Audience
        self.holds: Holds
        self.caught: Caught

    def open(
        self, audience: Audience, holds: Holds, rooms: Registry, totals: Totals, caught: Caught = raise_it
    ) -> None:
        """What the parts are that are made behind this one."""
        self.audience, self.holds, self.caught = audience, holds, caught

    def say(self, room: Room, lines: list[bytes], sender: int, now: float) -> None:
        """A client says lines in its room; `now` as `heard` has it."""
        self.audience.heard(room, lines, sender, now)

    def note(self, room: Room, line: bytes) -> None:
        """The hub says who came and went."""
        room.append(line, sender=0)
        self._ready.rooms[room] = None

    def holds_up(self, client: int, *, at_end: bool, is_dead: bool = False) -> bool:
        """Whether this client is not read now: there is no place for what it says, or it waits for an answer.

        At its end it is held up until it has heard what it said; `is_dead`, for an answer alone.
        """
        return False

    def ask(self, what: str, arguments: list[str], then: Told) -> None:
        """Ask the other hubs; `then` is called once, perhaps at once."""
        then([], [])

    def claim(self, client: int, nick: str, then: Callable[[str], None]) -> None:
        """Have a nick, by its key, for a client of this id; `then` gets why it cannot be had, or nothing."""
        then("")

    def release(self, nick: str) -> None:
        """Nobody here has the nick of this key any more."""

    def people_elsewhere(self, room: str) -> int:
        """How many people on other hubs are in the room of this key."""
        return 0

    def step(self, now: float) -> None:
        """Let the rooms hear what came since; seconds on the loop's clock."""

    def state(self, now: float) -> ClusterState | None:
        """What the page shows of the cluster."""
        return None

    def timeout(self, now: float) -> float:
        """Seconds until there is something to do by time alone."""
        return inf
