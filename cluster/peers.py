"""The other hubs: who is alive, and what their last beats said."""

from typing import Final, NamedTuple

from cluster.fold import Origin
from cluster.presence import Beat

DEAD_S: Final = 3.0
"""Without a beat for so long a hub is dead."""
MOST: Final = 4096
"""So many hubs are known; more are somebody's mischief."""


class Peer(NamedTuple):
    """A hub that is alive."""

    origin: Origin
    beat: Beat
    heard_at: float


class Peers:
    """Times are seconds on the loop's clock."""

    def __init__(self, me: Origin) -> None:
        self._me = me
        self._by_name: dict[str, Peer] = {}
        self.twin_at: float | None = None
        """When another hub of this hub's name was last heard."""

    def heard(self, origin: Origin, beat: Beat, now: float) -> None:
        """A beat came."""
        if origin.hub == self._me.hub:
            if origin != self._me and not beat.is_leaving:
                self.twin_at = now
        elif beat.is_leaving:
            known = self._by_name.get(origin.hub)
            if known is not None and known.origin == origin:
                del self._by_name[origin.hub]
        elif origin.hub in self._by_name or len(self._by_name) < MOST:
            self._by_name[origin.hub] = Peer(origin, beat, now)

    def __len__(self) -> int:
        return len(self._by_name)

    def living(self) -> list[Peer]:
        """Those that were not found dead, by name."""
        return [peer for _, peer in sorted(self._by_name.items())]

    def is_alive(self, origin: Origin) -> bool:
        """Whether this life of a hub still beats."""
        known = self._by_name.get(origin.hub)
        return known is not None and known.origin == origin

    def people_in(self, room: str) -> int:
        """How many people on other hubs are in the room of this key, as far as beats tell."""
        return sum(peer.beat.people.get(room, 0) for peer in self._by_name.values())

    def died(self, now: float) -> list[str]:
        """The hubs that were alive and are silent; each is told once."""
        dead = [name for name, peer in self._by_name.items() if now >= peer.heard_at + DEAD_S]
        for name in dead:
            del self._by_name[name]
        return dead

    def is_first(self) -> bool:
        """No living hub has a name before this one: what one hub is to say for all, this one says."""
        return all(self._me.hub < name for name in self._by_name)
