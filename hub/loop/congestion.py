"""The congestion record: what flow control (hub/loop/flow_control.py) knows of one room under pressure.

Each note costs the same however many subscribers lag, because in overload every turn takes some.
"""

from math import inf
from typing import Final

from hub.loop.limit_timers import BackdatedLimit
from hub.loop.limits import Limits
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from hub.session.client import Client

_SILENT_A_TURN: Final = 1024
ASKED_S: Final = 0.5
"""A line of another hub that waits is heard of more often than that."""


def last_sign(outbox: Outbox) -> float:
    """When the kernel last took a byte of this subscriber, or first refused one: a gap is no sign of life."""
    return max(outbox.took_at, outbox.blocked_at)


class Congestion:
    """Made when a subscriber of the room first lags. Sets are of the ids of subscribers, by rule."""

    __slots__ = (
        "_limits", "_signs", "alive", "asked_at", "changes", "deadline", "is_stale", "lagging", "majority",
        "near", "patience_at", "patience_s", "paused", "room", "since", "spends", "stuck_at", "unseen",
        "waited_for", "waits_for_all",
    )  # fmt: skip

    def __init__(
        self, room: Room, limits: Limits, patience_s: float, now: float, *, waits_for_all: bool
    ) -> None:
        self.room, self.changes = room, room.changes
        self.lagging: dict[int, Outbox] = {}
        """Blocked subscribers whose lag is over half of what is allowed."""
        self.alive: set[int] = set()
        """Those of them that gave a sign of life lately, as of the last look."""
        self.near: set[int] = set()
        """Those of them that were near the limit, and have not been below half of --max-lag since."""
        self.waits_for_all = waits_for_all
        """--slow wait: the room waits for all that are near, as nothing else bounds their lag."""
        self.waited_for: set[int] = self.near if waits_for_all else set()
        """Those that the room waits for, by rule 3 or under --slow wait."""
        self.paused: dict[int, Client] = {}
        """Senders that are not read until the room has caught up."""
        self.asked_at = -inf
        """When a line of another hub was last kept waiting; such lines wait like senders."""
        self.unseen = 0
        """So many of these have not been looked at since something changed."""
        self.majority = False
        """Most lagged while a sender waited, and not all have caught up that can."""
        self.since = inf
        """Since when senders wait, so that those that lag must take a byte (rule 5)."""
        self.stuck_at = inf
        """None of them fails to do so before this time."""
        self.patience_s, self.patience_at = patience_s, now
        self.spends = False
        """Patience goes, as it stands at `patience_at`; otherwise it comes back."""
        self.is_stale = True
        """Something changed since the last look."""
        self.deadline = inf
        """When the room has to be looked at though nothing happens."""
        self._limits = limits
        self._signs = BackdatedLimit(limits.alive_s)

    def stuck_after(self, outbox: Outbox) -> float:
        """Rule 5: when this subscriber will have taken nothing for too long while senders waited."""
        return max(last_sign(outbox), self.since) + self._limits.progress_s

    def pause(self, client: Client, now: float) -> None:
        """This sender waits from here on."""
        if not self.paused:
            self.since, self.stuck_at = now, now + self._limits.progress_s
        self.paused[client.id] = client
        self.is_stale = True

    def ask(self, now: float) -> None:
        """A line of another hub waits."""
        if self.since == inf:
            self.since, self.stuck_at = now, now + self._limits.progress_s
        if not self.is_asked(now):
            self.is_stale = True
        self.asked_at = now

    def is_asked(self, now: float) -> bool:
        """A line of another hub waits, as far as was heard lately."""
        return now < self.asked_at + ASKED_S

    def forget_asking(self, now: float) -> None:
        """Nobody waits, if no sender does and no line of another hub."""
        if self.since < inf and not self.paused and not self.is_asked(now):
            self.since = self.stuck_at = inf

    def resume(self, client: Client) -> None:
        """This sender waits no longer."""
        del self.paused[client.id]
        if not self.paused and self.asked_at == -inf:
            self.since = self.stuck_at = inf

    def fell_behind(self, outbox: Outbox, now: float, *, is_near: bool) -> None:
        """This subscriber lags."""
        id = outbox.id
        if id not in self.lagging:
            self.lagging[id] = outbox
            self.stuck_at = min(self.stuck_at, self.stuck_after(outbox))
            if last_sign(outbox) + self._limits.alive_s > now:
                self.gave_sign(id, last_sign(outbox))
            self.is_stale = True
        if is_near and id not in self.near:
            self.near.add(id)
            self.is_stale = True

    def caught_up(self, id: int) -> None:
        """This subscriber lags no longer, or is gone."""
        del self.lagging[id]
        for ids in (self.near, self.waited_for, self.alive):
            ids.discard(id)
        self._signs.forget(id)
        self.is_stale = True

    def gave_sign(self, id: int, at: float) -> None:
        """The kernel took bytes of a subscriber that lags."""
        self.alive.add(id)
        self._signs.touch(id, at)

    def forget_silent(self, now: float) -> None:
        """Those that gave no sign of life lately are alive no more."""
        for id, _ in self._signs.expired(now, _SILENT_A_TURN):
            self.alive.discard(id)

    def silent_at(self, now: float) -> float:
        """Not before this time is a further one silent; infinite where none is alive."""
        return now + self._signs.timeout(now)
