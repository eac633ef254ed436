"""A table of nicks with compare-and-set, and hubs that want one nick of it.

Every request and every answer is under way until the test brings or loses it. Requests of a hub reach the
table in their order, as on one connection; answers may overtake one another.
"""

from collections.abc import Callable
from typing import Final

from cluster.events import Owned
from cluster.fold import Origin
from cluster.names import CLAIM_S, Names, key_of

NICK: Final = "zoe"


class Table:
    """The bucket of the broker. A revision is never used again; a key that was dropped has 0."""

    def __init__(self) -> None:
        self._revision = 0
        self._rows: dict[str, tuple[Origin, int]] = {}

    def look_up(self, key: str) -> Owned:
        """Whose the key is."""
        return Owned(key, *self._rows.get(key, (None, 0)))

    def put(self, key: str, owner: Origin, revision: int) -> Owned | None:
        """Make the key somebody's; None where it does not stand at this revision."""
        if self.look_up(key).revision != revision:
            return None
        self._revision += 1
        self._rows[key] = owner, self._revision
        return self.look_up(key)

    def drop(self, key: str, revision: int) -> None:
        """Nobody's any more, if it still stands at this revision."""
        if self.look_up(key).revision == revision:
            self._rows.pop(key, None)


class Claimant:
    """A hub of which clients want the nick, one at a time: `has_nick` is what the last of them knows."""

    def __init__(self, origin: Origin, table: Table, is_alive: Callable[[Origin], bool]) -> None:
        self.origin, self._table, self.now = origin, table, 0.0
        self.names = Names(origin, self, is_alive)
        self.requests: list[Callable[[], Owned | None]] = []
        self.answers: list[Owned] = []
        self.refusals: list[str] = []
        self.has_nick = self.waits = False

    def wants(self) -> None:
        """A client claims the nick."""
        self.waits = True
        self.names.claim(NICK, self._told, self.now, is_linked=True)

    def gives_up(self) -> None:
        """The client has another nick from here on, or is gone."""
        self.has_nick = False
        self.names.release(NICK)

    def reach(self) -> None:
        """The first of the requests under way reaches the table; its answer is under way."""
        answer = self.requests.pop(0)()
        if answer is not None:
            self.answers.append(answer)

    def hear(self, at: int = 0) -> None:
        """An answer that is under way arrives."""
        if self.names.owned(self.answers.pop(at)) == NICK:
            self.has_nick = False

    def settle(self) -> None:
        """All that is under way arrives, in its order."""
        while self.requests or self.answers:
            while self.requests:
                self.reach()
            while self.answers:
                self.hear()

    def pass_s(self, seconds: float = CLAIM_S) -> None:
        """The time passes."""
        self.now += seconds
        self.names.step(self.now)

    # What the names ask of their store.

    def claim(self, key: str, revision: int) -> None:
        self.requests.append(lambda: self._put(key, revision))

    def release(self, key: str, revision: int) -> None:
        self.requests.append(lambda: self._table.drop(key, revision))

    def look_up(self, key: str) -> None:
        self.requests.append(lambda: self._table.look_up(key))

    def _put(self, key: str, revision: int) -> Owned | None:
        stored = self._table.put(key, self.origin, revision)
        if stored is None:
            self.look_up(key)
        return stored

    def _told(self, refusal: str) -> None:
        self.waits = False
        if refusal:
            self.refusals.append(refusal)
        else:
            self.has_nick = True


class Race:
    """Some hubs and one table. Those of `dead` are known to be dead."""

    def __init__(self, *origins: Origin) -> None:
        self.table, self.dead = Table(), set[Origin]()
        self.hubs = [
            Claimant(origin, self.table, lambda origin: origin not in self.dead) for origin in origins
        ]

    @property
    def owner(self) -> Origin | None:
        """Whose the nick is in the table."""
        return self.table.look_up(key_of(NICK)).owner

    @property
    def having(self) -> list[Origin]:
        """The living hubs here of which a client has the nick."""
        return [hub.origin for hub in self.hubs if hub.has_nick and hub.origin not in self.dead]

    def die(self, hub: Claimant) -> None:
        """The hub is gone, with what was under way to it; what it had asked may still reach the table."""
        self.dead.add(hub.origin)
        hub.answers.clear()
